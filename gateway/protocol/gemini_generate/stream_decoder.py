"""A Gemini stream as events. There is no terminal event: the body ends after every candidate's finish."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.protocol.codec import Passed
from gateway.protocol.conversation import Citation, JsonObject, Part, Reasoning, Text, ToolCall
from gateway.protocol.failures import failure_in_stream, malformed, oversized
from gateway.protocol.gemini_generate.citations import count_searches, read_citations
from gateway.protocol.gemini_generate.names import DIALECT, inner, listed, string
from gateway.protocol.gemini_generate.partial_calls import PartialCall
from gateway.protocol.gemini_generate.reply import block_reason, index_of, read_part
from gateway.protocol.gemini_generate.usage import read_usage, tier_of
from gateway.protocol.gemini_generate.words import read_finish
from gateway.protocol.json_text import load_lenient
from gateway.protocol.reply import (
    CitationDelta,
    Done,
    Finished,
    ReasoningDelta,
    SignatureDelta,
    Started,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    UsageSeen,
)
from gateway.protocol.sse import EventTooLarge, SseDecoder, SseEvent, terminated


class GeminiStreamDecoder:
    def __init__(self, *, max_event_bytes: int) -> None:
        self._sse = SseDecoder(max_event_bytes)
        self._candidates: dict[int, _Candidate] = {}
        self._started = False
        self._failed = False
        self._broken = False

    @property
    def complete(self) -> bool:
        finished = [candidate.finished for candidate in self._candidates.values()]
        return not self._failed and bool(finished) and all(finished)

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
        if not self._failed:
            endings = tuple(item.ending() for item in self._candidates.values() if item.finished)
            passed.append(Passed(b"", (*endings, Done()) if self.complete else endings))
        return passed

    def _read(self, event: SseEvent, *, at_end: bool = False) -> Passed:
        if event.bare is not None:
            value = load_lenient(event.bare)
            failure = failure_in_stream(value) if isinstance(value, dict | list) else malformed(at_end=at_end)
            return self._fail(event.raw, failure)
        if event.data is None or event.data.strip() == b"[DONE]":
            return Passed(event.raw, forward=False)
        value = load_lenient(event.data)
        if not isinstance(value, dict):
            return self._fail(event.raw, malformed(at_end=at_end))
        if "error" in value:
            return self._fail(event.raw, failure_in_stream(value))
        return Passed(event.raw, tuple(self._events(value)))

    def _fail(self, raw: bytes, failure: Any) -> Passed:
        self._failed = True
        return Passed(raw, (StreamError(failure),), forward=False)

    def _events(self, value: JsonObject) -> Iterator[StreamEvent]:
        if not self._started:
            self._started = True
            yield Started(upstream_id=string(value, "responseId"), upstream_model=string(value, "modelVersion"))
        candidates = listed(value, "candidates")
        for order, item in enumerate(candidates):
            index = index_of(item, order)
            yield from self._candidates.setdefault(index, _Candidate(index)).events(item)
        blocked = block_reason(value)
        if blocked and not self._candidates:
            self._candidates[0] = _Candidate(0)
            yield from self._candidates[0].finish(blocked)
        searches = sum(candidate.searches for candidate in self._candidates.values())
        report = read_usage(value.get("usageMetadata"), searches)
        if report is not None:
            yield UsageSeen(report, tier_of(value.get("usageMetadata")))


class _Candidate:
    """What has been seen of one candidate."""

    def __init__(self, index: int) -> None:
        self.finished = False
        self.searches = 0
        self._native = ""
        self._index = index
        self._calls = 0
        self._partial: PartialCall | None = None
        self._text = ""
        self._cited: set[Citation] = set()

    def events(self, candidate: JsonObject) -> Iterator[StreamEvent]:
        for item in listed(inner(candidate, "content"), "parts"):
            yield from self._part(item)
        self.searches = max(self.searches, count_searches(candidate))
        for citation in read_citations(candidate, self._text):
            if citation not in self._cited:
                self._cited.add(citation)
                yield CitationDelta(citation, self._index)
        native = string(candidate, "finishReason")
        if native:
            yield from self.finish(native)

    def finish(self, native: str) -> Iterator[StreamEvent]:
        yield from self._end_call()
        self.finished = True
        self._native = native

    def ending(self) -> Finished:
        """Told at the end of the stream: some models give a reason with every piece, and only the last one counts."""
        return Finished(read_finish(self._native, has_calls=self._calls > 0), self._index, self._native)

    def _part(self, item: JsonObject) -> Iterator[StreamEvent]:
        call = inner(item, "functionCall")
        if self._partial is not None and "functionCall" in item and not string(call, "name"):
            self._partial.add(call)
            if call.get("willContinue") is not True:
                yield from self._end_call()
            return
        if "functionCall" in item:
            yield from self._end_call()
        found: list[Part] = []
        read_part(found, item)
        for part in found:
            yield from self._event(part, call)

    def _event(self, part: Part, call: JsonObject) -> Iterator[StreamEvent]:
        if isinstance(part, Text):
            self._text += part.text
            yield TextDelta(part.text, self._index)
        elif isinstance(part, Reasoning):
            if part.text:
                yield ReasoningDelta(part.text, self._index)
            if part.signature:
                yield SignatureDelta(part.signature, origin=DIALECT, choice=self._index)
        elif isinstance(part, ToolCall):
            number, self._calls = self._calls, self._calls + 1
            goes_on = call.get("willContinue") is True
            if goes_on:
                self._partial = PartialCall(number, inner(call, "args"))
                self._partial.add(call)
            arguments = "" if goes_on else part.arguments
            yield ToolCallDelta(number, part.id, part.name, arguments, self._index)

    def _end_call(self) -> Iterator[StreamEvent]:
        partial, self._partial = self._partial, None
        if partial is not None:
            yield ToolCallDelta(partial.number, arguments=partial.arguments(), choice=self._index)
