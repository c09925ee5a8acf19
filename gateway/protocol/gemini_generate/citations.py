"""Sources of an answer: ``groundingMetadata`` and ``citationMetadata``. Google counts bytes of UTF-8, we characters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.protocol.conversation import Citation, JsonObject
from gateway.protocol.gemini_generate.names import inner, listed, string


def read_citations(candidate: JsonObject, text: str) -> tuple[Citation, ...]:
    """The sources that a candidate names, each once; ``text`` is the whole text of the answer so far."""
    grounding = inner(candidate, "groundingMetadata")
    encoded = text.encode("utf-8", "replace")
    sources = [_source(chunk) for chunk in listed(grounding, "groundingChunks")]
    found: list[Citation] = []
    named: set[int] = set()
    for support in listed(grounding, "groundingSupports"):
        segment = inner(support, "segment")
        for index in _indices(support, len(sources)):
            named.add(index)
            found.append(_placed(sources[index], segment, encoded, string(segment, "text")))
    found.extend(source for index, source in enumerate(sources) if index not in named)
    metadata = inner(candidate, "citationMetadata")
    for item in [*listed(metadata, "citations"), *listed(metadata, "citationSources")]:
        found.append(_placed(Citation(url=string(item, "uri"), title=string(item, "title")), item, encoded, ""))
    return tuple(dict.fromkeys(citation for citation in found if citation.url or citation.title))


def _source(chunk: JsonObject) -> Citation:
    value = inner(chunk, "web") or inner(chunk, "retrievedContext") or inner(chunk, "maps")
    return Citation(url=string(value, "uri"), title=string(value, "title"))


def _indices(support: JsonObject, size: int) -> list[int]:
    value = support.get("groundingChunkIndices")
    return [index for index in value if type(index) is int and 0 <= index < size] if isinstance(value, list) else []


def _placed(source: Citation, segment: JsonObject, encoded: bytes, cited: str) -> Citation:
    end = segment.get("endIndex")
    if type(end) is not int:
        return Citation(source.url, source.title, cited)
    start = segment.get("startIndex")
    begin = start if type(start) is int else 0
    return Citation(source.url, source.title, cited, _characters(encoded, begin), _characters(encoded, end))


def _characters(encoded: bytes, size: int) -> int:
    return len(encoded[: max(size, 0)].decode("utf-8", "replace"))


def write_citations(citations: Iterable[Citation], text: str) -> dict[str, Any]:
    """The field ``groundingMetadata``, to be merged into a candidate; empty where there is no source."""
    chunks: dict[tuple[str, str], int] = {}
    supports: list[dict[str, Any]] = []
    for citation in citations:
        index = chunks.setdefault((citation.url, citation.title), len(chunks))
        if citation.start is None or citation.end is None:
            continue
        segment = {
            "startIndex": len(text[: citation.start].encode("utf-8", "replace")),
            "endIndex": len(text[: citation.end].encode("utf-8", "replace")),
            "text": citation.cited_text or text[citation.start : citation.end],
        }
        supports.append({"segment": segment, "groundingChunkIndices": [index]})
    if not chunks:
        return {}
    grounding: dict[str, Any] = {"groundingChunks": [{"web": {"uri": url, "title": title}} for url, title in chunks]}
    if supports:
        grounding["groundingSupports"] = supports
    return {"groundingMetadata": grounding}


def count_searches(candidate: JsonObject) -> int:
    value = inner(candidate, "groundingMetadata").get("webSearchQueries")
    return len(value) if isinstance(value, list) else 0
