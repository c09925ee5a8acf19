"""Sources of a text, as this dialect writes them and as all dialects know them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.protocol.conversation import Citation

WEB = "web_search_result_location"


def read_citation(value: Any, text_size: int | None = None) -> Citation | None:
    """A place in a page, a document or a search result. Anthropic cites whole text blocks: ``text_size`` is the
    block's size in characters, None while it is still growing."""
    if not isinstance(value, Mapping):
        return None
    return Citation(
        url=_text(value, "url") or _text(value, "source"),
        title=_text(value, "title") or _text(value, "document_title"),
        cited_text=_text(value, "cited_text"),
        start=None if text_size is None else 0,
        end=text_size,
    )


def read_citations(values: Any, text_size: int) -> tuple[Citation, ...]:
    if not isinstance(values, list):
        return ()
    found = (read_citation(value, text_size) for value in values)
    return tuple(citation for citation in found if citation is not None)


def write_citation(citation: Citation) -> dict[str, Any] | None:
    """A page found by a search; None for a source without address, for which this dialect needs a document."""
    if not citation.url:
        return None
    return {
        "type": WEB,
        "url": citation.url,
        "title": citation.title or None,
        "cited_text": citation.cited_text,
        "encrypted_index": "",
    }


def write_citations(citations: Iterable[Citation]) -> dict[str, Any]:
    """The field ``citations``, to be merged into a text block; empty where there is none."""
    written = [value for value in map(write_citation, citations) if value is not None]
    return {"citations": written} if written else {}


def is_ours(value: Any) -> bool:
    """Whether we wrote this citation: Anthropic's always have an index, and it refuses others."""
    return isinstance(value, Mapping) and value.get("type") == WEB and value.get("encrypted_index") == ""


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""
