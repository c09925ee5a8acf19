"""What an answer rests on: ``annotations`` of kind url_citation, and Perplexity's lists beside the answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.protocol import fields
from gateway.protocol.conversation import Citation


def read_annotations(value: Any) -> tuple[Citation, ...]:
    """The citations in a list of annotations; those of other kinds have no canonical form."""
    found = [_read_annotation(item) for item in value] if isinstance(value, list) else []
    return tuple(item for item in found if item is not None)


def _read_annotation(item: Any) -> Citation | None:
    inner = item.get("url_citation") if isinstance(item, Mapping) else None
    if not isinstance(inner, Mapping) or not _text(inner, "url"):
        return None
    return Citation(
        url=_text(inner, "url"),
        title=_text(inner, "title"),
        cited_text=_text(inner, "content"),
        start=_place(inner, "start_index"),
        end=_place(inner, "end_index"),
    )


def read_sources(body: Mapping[str, Any]) -> tuple[Citation, ...]:
    """Perplexity's ``search_results``, else its ``citations``, which are bare URLs."""
    results = body.get("search_results")
    if isinstance(results, list) and results:
        listed = [item for item in results if isinstance(item, Mapping) and _text(item, "url")]
        return tuple(Citation(_text(item, "url"), _text(item, "title"), _text(item, "snippet")) for item in listed)
    urls = body.get("citations")
    return tuple(Citation(url=url) for url in urls if isinstance(url, str)) if isinstance(urls, list) else ()


def write_annotations(citations: Iterable[Citation]) -> list[dict[str, Any]]:
    """Annotations for those with an address; the places in the text where they are known."""
    return [{"type": "url_citation", "url_citation": _write(item)} for item in citations if item.url]


def shifted(citations: Sequence[Citation], by: int) -> list[Citation]:
    """The citations of a text that begins ``by`` characters into the whole."""
    if not by:
        return list(citations)
    return [
        Citation(item.url, item.title, item.cited_text, _moved(item.start, by), _moved(item.end, by))
        for item in citations
    ]


def _moved(place: int | None, by: int) -> int | None:
    return None if place is None else place + by


def _write(citation: Citation) -> dict[str, Any]:
    return fields.without_none(
        url=citation.url,
        title=citation.title,
        start_index=citation.start if citation.start is not None else 0,
        end_index=citation.end if citation.end is not None else 0,
        content=citation.cited_text or None,
    )


def _text(source: Mapping[str, Any], name: str) -> str:
    value = source.get(name)
    return value if isinstance(value, str) else ""


def _place(source: Mapping[str, Any], name: str) -> int | None:
    value = source.get(name)
    return value if type(value) is int and value >= 0 else None
