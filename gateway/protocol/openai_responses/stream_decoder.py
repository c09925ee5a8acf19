"""A Responses stream as events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.protocol.codec import Passed
from gateway.protocol.failures import failure_in_stream, malformed, oversized
from gateway.protocol.json_text import load_lenient
from gateway.protocol.openai_responses.output import string
from gateway.protocol.openai_responses.stream_input import StreamInput, object_in
from gateway.protocol.openai_responses.usage import count_searches, read_usage
from gateway.protocol.openai_responses.words import native_finish, read_finish
from gateway.protocol.reply import Done, Finished, Started, StreamError, StreamEvent, UsageSeen
from gateway.protocol.sse import EventTooLarge, SseDecoder, SseEvent, terminated

_OPENING = frozenset(("response.created", "response.in_progress", "response.queued"))
_ENDING = {"response.completed": "completed", "response.incomplete": "incomplete"}


class ResponsesStreamDecoder:
    def __init__(self, *, max_event_bytes: int) -> None:
        self._sse = SseDecoder(max_event_bytes)
        self._input = StreamInput()
        self._started = False
        self._done = False
        self._failed = False
        self._broken = False

    @property
    def complete(self) -> bool:
        """Exactly one of completed, incomplete and failed ends an answer; the last of them is an error."""
        return self._done and not self._failed

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
        return [Passed(terminated(item.raw), item.events, item.forward) for item in passed]

    def _read(self, event: SseEvent, *, at_end: bool = False) -> Passed:
        if event.bare is not None:
            value = load_lenient(event.bare)
            return self._fail(event.raw, value if isinstance(value, dict | list) else None, at_end=at_end)
        if event.data is None or event.data.strip() == b"[DONE]":
            # Comments, and the ending of another dialect.
            return Passed(event.raw, forward=False)
        value = load_lenient(event.data)
        if not isinstance(value, dict):
            return self._fail(event.raw, None, at_end=at_end)
        kind = string(value, "type") or event.event
        if kind == "response.failed":
            return self._fail(event.raw, value, object_in(value, "response").get("usage"))
        if kind == "error" or event.event == "error" or (not kind and value.get("error")):
            return self._fail(event.raw, value)
        # Events that are not known here go on as well: clients of this dialect pass over them.
        return Passed(event.raw, () if self._done else tuple(self._events(kind, value)))

    def _fail(self, raw: bytes, value: Any, usage: Any = None, *, at_end: bool = False) -> Passed:
        """An ``error`` event and the failed response after it are one failure; what it used is told all the same."""
        report = read_usage(usage, self._input.searches)
        events: tuple[StreamEvent, ...] = () if report is None else (UsageSeen(report),)
        if not self._failed:
            failure = malformed(at_end=at_end) if value is None else failure_in_stream(value)
            events = (*events, StreamError(failure))
        self._failed = True
        return Passed(raw, events, forward=False)

    def _events(self, kind: str, value: Mapping[str, Any]) -> Iterator[StreamEvent]:
        if kind in _OPENING:
            yield from self._start(object_in(value, "response"))
        elif kind in _ENDING:
            yield from self._end(_ENDING[kind], object_in(value, "response"))
        else:
            yield from self._input.events(kind, value)

    def _start(self, response: Mapping[str, Any]) -> Iterator[StreamEvent]:
        if not self._started:
            self._started = True
            yield Started(upstream_id=string(response, "id"), upstream_model=string(response, "model"))

    def _end(self, status: str, response: Mapping[str, Any]) -> Iterator[StreamEvent]:
        output = response.get("output")
        items = output if isinstance(output, list) else []
        yield from self._input.missed(items)
        self._done = True
        native = native_finish({**response, "status": status})
        has_calls, has_refusal = self._input.has_calls, self._input.has_refusal
        yield Finished(read_finish(native, has_calls=has_calls, has_refusal=has_refusal), 0, native)
        report = read_usage(response.get("usage"), max(self._input.searches, count_searches(items)))
        if report is not None:
            yield UsageSeen(report, string(response, "service_tier") or None)
        yield Done()
