"""A Messages stream as events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.protocol.anthropic_messages.blocks import DIALECT
from gateway.protocol.anthropic_messages.citations import read_citation
from gateway.protocol.anthropic_messages.reply import explanation_of, string, tier_of
from gateway.protocol.anthropic_messages.usage import opening_report, overlay, read_usage
from gateway.protocol.anthropic_messages.words import read_finish
from gateway.protocol.codec import Passed
from gateway.protocol.cost import without_costs
from gateway.protocol.failures import failure_in_stream, malformed, oversized
from gateway.protocol.json_text import dump_text, load_lenient
from gateway.protocol.reply import (
    CitationDelta,
    Done,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    SignatureDelta,
    Started,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    UsageSeen,
)
from gateway.protocol.sse import EventTooLarge, SseDecoder, SseEvent, encode_event, terminated

MESSAGE_STOP = encode_event(b'{"type":"message_stop"}', "message_stop")
_KNOWN = frozenset(
    [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
    ]
)
_WITH_USAGE = frozenset(("message_start", "message_delta"))


class MessagesStreamDecoder:
    def __init__(self, *, max_event_bytes: int) -> None:
        self._sse = SseDecoder(max_event_bytes)
        self._usage: dict[str, Any] = {}
        # Block number -> number of the call, for the blocks that are calls for the client.
        self._calls: dict[int, int] = {}
        self._unsent_input: dict[int, str] = {}
        self._finished = False
        self._done = False
        self._failed = False
        self._broken = False

    @property
    def complete(self) -> bool:
        """The stop reason ends the answer; a missing ``message_stop`` after it does no harm."""
        return not self._failed and (self._done or self._finished)

    def feed(self, chunk: bytes) -> list[Passed]:
        if self._broken:
            return []
        try:
            events = self._sse.feed(chunk)
        except EventTooLarge:
            self._broken = self._failed = True
            return [Passed(b"", (StreamError(oversized()),), forward=False)]
        return [self._read(event) for event in events]

    def end(self) -> list[Passed]:
        if self._broken:
            return []
        passed = [self._read(event, at_end=True) for event in self._sse.end()]
        passed = [Passed(terminated(item.raw), item.events, item.forward) for item in passed]
        if self.complete and not self._done:
            self._done = True
            passed.append(Passed(MESSAGE_STOP, (Done(),)))
        return passed

    def _read(self, event: SseEvent, *, at_end: bool = False) -> Passed:
        if event.bare is not None:
            value = load_lenient(event.bare)
            failure = failure_in_stream(value) if isinstance(value, dict | list) else malformed(at_end=at_end)
            return self._fail(event.raw, StreamError(failure))
        if event.data is None or event.data.strip() == b"[DONE]":
            # Comments, and the ending of another dialect, which the official client cannot read.
            return Passed(event.raw, forward=False)
        value = load_lenient(event.data)
        if not isinstance(value, dict):
            return self._fail(event.raw, StreamError(malformed(at_end=at_end)))
        kind = string(value, "type") or event.event
        if kind == "error" or event.event == "error":
            return self._fail(event.raw, StreamError(failure_in_stream(value)))
        raw = event.raw if kind not in _WITH_USAGE else without_costs(event.raw)
        return Passed(raw, tuple(self._events(kind, value)), forward=kind in _KNOWN)

    def _fail(self, raw: bytes, error: StreamError) -> Passed:
        self._failed = True
        return Passed(raw, (error,), forward=False)

    def _events(self, kind: str, value: Mapping[str, Any]) -> Iterator[StreamEvent]:
        if kind == "content_block_delta":
            yield from self._delta(_index(value), _object(value, "delta"))
        elif kind == "content_block_start":
            yield from self._block(_index(value), _object(value, "content_block"))
        elif kind == "content_block_stop":
            yield from self._block_stop(_index(value))
        elif kind == "message_start":
            yield from self._start(_object(value, "message"))
        elif kind == "message_delta":
            yield from self._message_delta(value)
        elif kind == "message_stop" and not self._done:
            self._done = True
            yield Done()

    def _start(self, message: Mapping[str, Any]) -> Iterator[StreamEvent]:
        yield Started(upstream_id=string(message, "id"), upstream_model=string(message, "model"))
        usage = _object(message, "usage")
        self._usage = overlay(self._usage, usage)
        report = opening_report(usage)
        if report is not None:
            yield UsageSeen(report, tier_of(self._usage))

    def _block(self, index: int, block: Mapping[str, Any]) -> Iterator[StreamEvent]:
        kind = string(block, "type")
        if kind == "text" and string(block, "text"):
            yield TextDelta(string(block, "text"))
        elif kind == "thinking":
            if string(block, "thinking"):
                yield ReasoningDelta(string(block, "thinking"))
            if string(block, "signature"):
                yield SignatureDelta(signature=string(block, "signature"), origin=DIALECT)
        elif kind == "redacted_thinking":
            yield SignatureDelta(redacted=string(block, "data"), origin=DIALECT)
        elif kind == "tool_use":
            number = self._calls[index] = len(self._calls)
            whole = block.get("input")
            if isinstance(whole, dict) and whole:
                # Usually {} here with the text to come; a relay may send the whole input at once.
                self._unsent_input[index] = dump_text(whole)
            yield ToolCallDelta(number, id=string(block, "id"), name=string(block, "name"))

    def _delta(self, index: int, delta: Mapping[str, Any]) -> Iterator[StreamEvent]:
        kind = string(delta, "type")
        if kind == "text_delta" and string(delta, "text"):
            yield TextDelta(string(delta, "text"))
        elif kind == "thinking_delta" and string(delta, "thinking"):
            yield ReasoningDelta(string(delta, "thinking"))
        elif kind == "signature_delta" and string(delta, "signature"):
            yield SignatureDelta(signature=string(delta, "signature"), origin=DIALECT)
        elif kind == "citations_delta":
            citation = read_citation(delta.get("citation"))
            if citation is not None:
                yield CitationDelta(citation)
        elif kind == "input_json_delta" and index in self._calls and string(delta, "partial_json"):
            self._unsent_input.pop(index, None)
            yield ToolCallDelta(self._calls[index], arguments=string(delta, "partial_json"))

    def _block_stop(self, index: int) -> Iterator[StreamEvent]:
        whole = self._unsent_input.pop(index, None)
        if whole is not None:
            yield ToolCallDelta(self._calls[index], arguments=whole)

    def _message_delta(self, value: Mapping[str, Any]) -> Iterator[StreamEvent]:
        delta = _object(value, "delta")
        native = string(delta, "stop_reason")
        if native and not self._finished:
            self._finished = True
            if explanation_of(delta):
                yield RefusalDelta(explanation_of(delta))
            stop_sequence = string(delta, "stop_sequence") or None
            yield Finished(read_finish(native, has_calls=bool(self._calls)), 0, native, stop_sequence)
        if isinstance(value.get("usage"), Mapping):
            self._usage = overlay(self._usage, value["usage"])
            report = read_usage(self._usage)
            if report is not None:
                yield UsageSeen(report, tier_of(self._usage))


def _index(value: Mapping[str, Any]) -> int:
    index = value.get("index")
    return index if type(index) is int else 0


def _object(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}
