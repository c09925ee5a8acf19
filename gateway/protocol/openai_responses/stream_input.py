"""The output items of a stream, piece by piece.

Items are known by their id, or by their place in the output where a host changes ids on the way. What a ``done`` event
holds beyond the pieces before it (some hosts send no pieces) is told as one more piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.protocol.openai_responses.content import read_citation
from gateway.protocol.openai_responses.output import arguments_text, read_call, string
from gateway.protocol.openai_responses.reasoning import PARAGRAPH, read_item
from gateway.protocol.openai_responses.usage import SEARCH
from gateway.protocol.reply import (
    CitationDelta,
    ReasoningDelta,
    RefusalDelta,
    SignatureDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
)

_CALLS = ("function_call", "custom_tool_call")
# Event -> (what it is a piece of, the field of its index, the field of its text).
_PIECES: Mapping[str, tuple[str, str, str]] = {
    "response.output_text.delta": ("text", "content_index", "delta"),
    "response.output_text.done": ("text", "content_index", "text"),
    "response.refusal.delta": ("refusal", "content_index", "delta"),
    "response.refusal.done": ("refusal", "content_index", "refusal"),
    "response.reasoning_summary_text.delta": ("summary", "summary_index", "delta"),
    "response.reasoning_summary_text.done": ("summary", "summary_index", "text"),
    "response.reasoning_text.delta": ("content", "content_index", "delta"),
    "response.reasoning_text.done": ("content", "content_index", "text"),
    "response.function_call_arguments.delta": ("call", "", "delta"),
    "response.function_call_arguments.done": ("call", "", "arguments"),
    "response.custom_tool_call_input.delta": ("call", "", "delta"),
    "response.custom_tool_call_input.done": ("call", "", "input"),
}


def object_in(source: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = source.get(name)
    return found if isinstance(found, Mapping) else {}


def objects_in(source: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = source.get(name)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


class _Item:
    def __init__(self) -> None:
        self.call: int | None = None
        self.thought = ""  # which of summary and content is told; a host that sends both says the same twice
        self.citations = 0
        self.done = False
        # (what, index) -> how many characters of it were told.
        self._told: dict[tuple[str, int], int] = {}

    def next_piece(self, what: str, index: int, text: str) -> str:
        self._told[what, index] = self._told.get((what, index), 0) + len(text)
        return text

    def missing(self, what: str, index: int, whole: str) -> str:
        return self.next_piece(what, index, whole[self._told.get((what, index), 0) :])

    def is_next_paragraph(self, what: str, index: int) -> bool:
        return (what, index) not in self._told and any(self._told.values())


class StreamInput:
    def __init__(self) -> None:
        self.searches = 0
        self.has_refusal = False
        self._calls = 0
        self._by_id: dict[str, _Item] = {}
        self._by_index: dict[int, _Item] = {}

    @property
    def has_calls(self) -> bool:
        return self._calls > 0

    def events(self, kind: str, value: Mapping[str, Any]) -> Iterator[StreamEvent]:
        if kind in _PIECES:
            yield from self._piece(kind, value)
        elif kind == "response.output_item.added":
            item = object_in(value, "item")
            state = self._register(_Item(), string(item, "id"), value)
            yield from self._start_call(state, item)
        elif kind == "response.output_item.done":
            item = object_in(value, "item")
            yield from self._item_done(self._find(string(item, "id"), value), item)
        elif kind == "response.output_text.annotation.added":
            yield from self._citation(self._find(string(value, "item_id"), value), object_in(value, "annotation"))

    def missed(self, items: list[Any]) -> Iterator[StreamEvent]:
        """The output of the final response, where nothing of it came before."""
        if self._by_id or self._by_index:
            return
        for index, item in enumerate(items):
            if isinstance(item, Mapping):
                yield from self._item_done(self._register(_Item(), string(item, "id"), {"output_index": index}), item)

    def _register(self, state: _Item, item_id: str, value: Mapping[str, Any]) -> _Item:
        if item_id:
            self._by_id[item_id] = state
        index = value.get("output_index")
        if type(index) is int:
            self._by_index[index] = state
        return state

    def _find(self, item_id: str, value: Mapping[str, Any]) -> _Item:
        if item_id in self._by_id:
            return self._by_id[item_id]
        index = value.get("output_index")
        state = self._by_index.get(index) if type(index) is int else None
        # A new id in the place of an item that has ended is another item: some hosts do not count.
        return self._register(_Item(), item_id, value) if state is None or state.done else state

    def _piece(self, kind: str, value: Mapping[str, Any]) -> Iterator[StreamEvent]:
        what, index_name, text_name = _PIECES[kind]
        index = value.get(index_name)
        place = index if type(index) is int else 0
        text = arguments_text(value.get(text_name))
        state = self._find(string(value, "item_id"), value)
        yield from self._tell(state, what, place, text, whole=text_name != "delta")

    def _tell(self, state: _Item, what: str, index: int, text: str, *, whole: bool = True) -> Iterator[StreamEvent]:
        """A piece, or what is missing of a ``whole``."""
        if what == "call" and state.call is None:
            # Without a name yet; the whole call comes with its end.
            return
        if what in ("summary", "content"):
            state.thought = state.thought or (what if text else "")
            if state.thought != what:
                return
        gap = PARAGRAPH if state.is_next_paragraph(what, index) else ""
        told = state.missing(what, index, text) if whole else state.next_piece(what, index, text)
        if not told:
            return
        if what == "text":
            yield TextDelta(told)
        elif what == "refusal":
            self.has_refusal = True
            yield RefusalDelta(told)
        elif what == "call":
            yield ToolCallDelta(state.call or 0, arguments=told)
        else:
            yield ReasoningDelta(gap + told)

    def _start_call(self, state: _Item, item: Mapping[str, Any]) -> Iterator[StreamEvent]:
        call = read_call(item)
        if item.get("type") not in _CALLS or not call.name:
            return
        state.call = self._calls
        self._calls += 1
        yield ToolCallDelta(state.call, call.id, call.name, custom=call.custom, namespace=call.namespace)

    def _item_done(self, state: _Item, item: Mapping[str, Any]) -> Iterator[StreamEvent]:
        if state.done:
            return
        kind = string(item, "type")
        if kind in _CALLS:
            if state.call is None:
                yield from self._start_call(state, item)
            yield from self._tell(state, "call", 0, read_call(item).arguments)
        elif kind == "message":
            yield from self._message_done(state, item)
        elif kind == "reasoning":
            yield from self._reasoning_done(state, item)
        elif kind == SEARCH:
            self.searches += 1
        state.done = True

    def _message_done(self, state: _Item, item: Mapping[str, Any]) -> Iterator[StreamEvent]:
        for index, part in enumerate(objects_in(item, "content")):
            if part.get("type") == "refusal":
                yield from self._tell(state, "refusal", index, string(part, "refusal"))
                continue
            yield from self._tell(state, "text", index, string(part, "text"))
            for annotation in objects_in(part, "annotations")[state.citations :]:
                yield from self._citation(state, annotation)

    def _citation(self, state: _Item, annotation: Mapping[str, Any]) -> Iterator[StreamEvent]:
        state.citations += 1
        citation = read_citation(annotation)
        if citation is not None:
            yield CitationDelta(citation)

    def _reasoning_done(self, state: _Item, item: Mapping[str, Any]) -> Iterator[StreamEvent]:
        for what in ("summary", "content"):
            for index, part in enumerate(objects_in(item, what)):
                yield from self._tell(state, what, index, string(part, "text"))
        piece = read_item(item)
        if piece is not None and (piece.signature is not None or piece.redacted is not None):
            yield SignatureDelta(piece.signature, piece.redacted, piece.origin, id=piece.id)
