"""Content of messages and of tool results to parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.protocol import fields
from gateway.protocol.conversation import (
    NOTHING,
    Audio,
    Citation,
    File,
    Image,
    JsonObject,
    Opaque,
    Part,
    Refusal,
    Text,
)

DIALECT = "openai_responses"


def decode_content(item: JsonObject, name: str, where: str) -> tuple[Part, ...]:
    """A field that holds text or a list of content parts."""
    content = item.get(name)
    if isinstance(content, str):
        return (Text(content),) if content else ()
    listed = fields.objects(item, name, where)
    return tuple(_decode_part(part, f"{where}{name}[{index}].") for index, part in enumerate(listed))


def _decode_part(item: JsonObject, where: str) -> Part:
    kind = fields.required_text(item, "type", where)
    if kind in ("input_text", "text"):
        return Text(fields.required_text(item, "text", where), cache=_cache(item, where))
    if kind == "output_text":
        text = fields.required_text(item, "text", where)
        return Text(text, citations=read_citations(item.get("annotations")))
    if kind == "refusal":
        return Refusal(fields.required_text(item, "refusal", where))
    if kind == "input_image":
        return _decode_image(item, where)
    if kind == "input_file":
        return _decode_file(item, where)
    if kind == "input_audio":
        audio = fields.obj(item, "input_audio", where) or NOTHING
        where += "input_audio."
        return Audio(fields.required_text(audio, "data", where), fields.required_text(audio, "format", where))
    return Opaque(origin=DIALECT, kind=kind, value=item)


def _cache(item: JsonObject, where: str) -> str | None:
    """OpenAI's lifetimes of 30 minutes and 12 hours, as the shorter and the longer one."""
    point = fields.obj(item, "prompt_cache_breakpoint", where)
    if point is None:
        return None
    return "1h" if point.get("ttl") == "12h" else "5m"


def _decode_image(item: JsonObject, where: str) -> Part:
    url = fields.text(item, "image_url", where)
    if url is None:
        # By id only: its own provider alone has it.
        return Opaque(origin=DIALECT, kind="input_image", value=item)
    detail = fields.text(item, "detail", where)
    inline = fields.data_url(url)
    if inline is None:
        return Image(url=url, detail=detail, cache=_cache(item, where))
    return Image(media_type=inline[0], data=inline[1], detail=detail, cache=_cache(item, where))


def _decode_file(item: JsonObject, where: str) -> File:
    data = fields.text(item, "file_data", where)
    inline = fields.data_url(data) if data else None
    return File(
        url=fields.text(item, "file_url", where),
        data=inline[1] if inline else data,
        media_type=inline[0] if inline else None,
        file_id=fields.text(item, "file_id", where),
        name=fields.text(item, "filename", where),
        cache=_cache(item, where),
    )


def read_citations(annotations: Any) -> tuple[Citation, ...]:
    """The web citations among annotations; those of files stored at the provider mean nothing elsewhere."""
    listed = annotations if isinstance(annotations, list) else []
    found = [read_citation(item) for item in listed if isinstance(item, Mapping)]
    return tuple(citation for citation in found if citation is not None)


def read_citation(item: Mapping[str, Any]) -> Citation | None:
    url = item.get("url")
    if item.get("type") != "url_citation" or not isinstance(url, str) or not url:
        return None
    title, start, end = item.get("title"), item.get("start_index"), item.get("end_index")
    return Citation(
        url=url,
        title=title if isinstance(title, str) else "",
        start=start if type(start) is int else None,
        end=end if type(end) is int else None,
    )


def write_citation(citation: Citation, text: str) -> dict[str, Any] | None:
    """The annotation; None without an address, which the dialect requires.

    A citation without a place stands at the end of the text so far.
    """
    if not citation.url:
        return None
    end = citation.end if citation.end is not None else len(text)
    return {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title,
        "start_index": citation.start if citation.start is not None else end,
        "end_index": end,
    }
