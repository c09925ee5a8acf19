"""A chat stream as events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gateway.protocol.codec import Passed
from gateway.protocol.conversation import Citation, Reasoning, Text
from gateway.protocol.cost import event_without_outer_costs, without_costs
from gateway.protocol.failures import failure_in_stream, malformed, oversized
from gateway.protocol.json_text import dump, load_lenient
from gateway.protocol.openai_chat.citations import read_annotations, read_sources
from gateway.protocol.openai_chat.messages import DIALECT
from gateway.protocol.openai_chat.reasoning import read_reasoning
from gateway.protocol.openai_chat.reply import content_part, string
from gateway.protocol.openai_chat.usage import usage_in_body
from gateway.protocol.openai_chat.words import read_finish, write_finish
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

DONE = encode_event(b"[DONE]")
_ENVELOPE = ("id", "object", "created", "model")


class ChatStreamDecoder:
    def __init__(self, *, include_usage: bool, max_event_bytes: int) -> None:
        self._sse = SseDecoder(max_event_bytes)
        self._include_usage = include_usage
        self._choices: dict[int, _ChoiceState] = {}
        self._started = False
        self._envelope: dict[str, Any] = {}
        self._done = False
        self._failed = False
        self._broken = False
        self._sources: tuple[Citation, ...] = ()

    @property
    def complete(self) -> bool:
        """[DONE] is a habit, not a rule: a finish of every choice is enough. An error in the stream is no end."""
        return not self._failed and (self._done or self._all_finished())

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
            passed.append(Passed(DONE, (Done(),)))
        return passed

    def _all_finished(self) -> bool:
        return bool(self._choices) and all(state.finished for state in self._choices.values())

    def _read(self, event: SseEvent, *, at_end: bool = False) -> Passed:
        if event.data is None or event.bare is not None:
            return self._read_bare(event, at_end)
        if event.data.strip() == b"[DONE]":
            return self._read_done(event.raw)
        value = load_lenient(event.data)
        if not isinstance(value, dict):
            return self._fail(event.raw, StreamError(malformed(at_end=at_end)))
        if event.event == "error" or value.get("error"):
            return self._fail(event.raw, StreamError(failure_in_stream(value)), self._chunk_events(value))
        if not isinstance(value.get("choices"), list):
            # Some vendor's own event: strict clients refuse it. It may still hold the usage.
            return Passed(event.raw, self._chunk_events(value), forward=False)
        events = self._chunk_events(value)
        raw = event.raw if "cost" not in value else event_without_outer_costs(event)
        if events and isinstance(events[-1], UsageSeen):
            raw = without_costs(raw)
        return Passed(raw, events, forward=self._may_see(value))

    def _read_done(self, raw: bytes) -> Passed:
        """The end. A choice whose finish never came gets one: without it some clients ask again for ever."""
        if self._done:
            return Passed(raw, forward=False)
        self._done = True
        unfinished = [] if self._failed else [state for state in self._choices.values() if not state.finished]
        endings = [state.finish_now() for state in unfinished]
        chunks = [{"index": end.choice, "delta": {}, "finish_reason": write_finish(end.reason)} for end in endings]
        if chunks:
            raw = encode_event(dump({**self._envelope, "choices": chunks})) + raw
        return Passed(raw, (*endings, Done()))

    def _read_bare(self, event: SseEvent, at_end: bool) -> Passed:
        """A comment, or an error that stands in the stream as plain JSON."""
        if event.bare is None:
            return Passed(event.raw, forward=False)
        value = load_lenient(event.bare)
        failure = failure_in_stream(value) if isinstance(value, dict | list) else malformed(at_end=at_end)
        return self._fail(event.raw, StreamError(failure))

    def _fail(self, raw: bytes, error: StreamError, before: tuple[StreamEvent, ...] = ()) -> Passed:
        self._failed = True
        return Passed(raw, (*before, error), forward=False)

    def _may_see(self, chunk: Mapping[str, Any]) -> bool:
        """A chunk without choices is usage, seen by those who asked, or a provider's preamble, seen by nobody."""
        if chunk["choices"]:
            return True
        return self._include_usage and isinstance(chunk.get("usage"), dict)

    def _chunk_events(self, chunk: Mapping[str, Any]) -> tuple[StreamEvent, ...]:
        events: list[StreamEvent] = []
        if not self._started and string(chunk, "id"):
            self._started = True
            self._envelope = {name: chunk[name] for name in _ENVELOPE if name in chunk}
            events.append(Started(upstream_id=string(chunk, "id"), upstream_model=string(chunk, "model")))
        self._sources = read_sources(chunk) or self._sources
        choices = chunk.get("choices")
        for order, item in enumerate(choices if isinstance(choices, list) else []):
            if isinstance(item, dict):
                events.extend(self._choice_events(item, order))
        report = usage_in_body(chunk)
        if report is not None:
            events.append(UsageSeen(report, string(chunk, "service_tier") or None))
        return tuple(events)

    def _choice_events(self, item: Mapping[str, Any], order: int) -> Iterator[StreamEvent]:
        index = item.get("index")
        choice = index if type(index) is int and index >= 0 else order
        state = self._choices.setdefault(choice, _ChoiceState(choice))
        delta = item.get("delta")
        if isinstance(delta, dict):
            yield from state.content_events(delta)
        native = string(item, "finish_reason")
        if native and not state.finished:
            state.finished = True
            if choice == 0 and not state.has_citations:
                yield from (CitationDelta(citation) for citation in self._sources)
            yield Finished(read_finish(native, has_calls=state.has_calls), choice, native)


def _reasoning_events(thought: Reasoning, choice: int) -> Iterator[StreamEvent]:
    if thought.text:
        yield ReasoningDelta(thought.text, choice)
    if thought.origin != DIALECT and (thought.signature is not None or thought.redacted is not None):
        yield SignatureDelta(thought.signature, thought.redacted, thought.origin, choice, thought.id)


def _text_events(delta: Mapping[str, Any], choice: int) -> Iterator[StreamEvent]:
    content = delta.get("content")
    if isinstance(content, str) and content:
        yield TextDelta(content, choice)
    for item in content if isinstance(content, list) else []:
        part = content_part(item) if isinstance(item, dict) else None
        if isinstance(part, Text) and part.text:
            yield TextDelta(part.text, choice)
        elif isinstance(part, Reasoning) and part.text:
            yield ReasoningDelta(part.text, choice)
    if string(delta, "refusal"):
        yield RefusalDelta(string(delta, "refusal"), choice)


class _ChoiceState:
    """The calls of one choice. Providers number them from 0, all as 0, or not at all; ours are numbered in order."""

    def __init__(self, choice: int) -> None:
        self.finished = False
        self.has_citations = False
        self._choice = choice
        # By number from the provider, and by id: where a call's next pieces go.
        self._by_index: dict[int, int] = {}
        self._by_id: dict[str, int] = {}
        self._ids: list[str] = []

    def finish_now(self) -> Finished:
        self.finished = True
        return Finished(read_finish("stop", has_calls=self.has_calls), self._choice)

    @property
    def has_calls(self) -> bool:
        return bool(self._ids)

    def content_events(self, delta: Mapping[str, Any]) -> Iterator[StreamEvent]:
        for thought in read_reasoning(delta):
            if isinstance(thought, Reasoning):
                yield from _reasoning_events(thought, self._choice)
        yield from _text_events(delta, self._choice)
        for citation in read_annotations(delta.get("annotations")):
            self.has_citations = True
            yield CitationDelta(citation, self._choice)
        yield from self._call_events(delta)

    def _call_events(self, delta: Mapping[str, Any]) -> Iterator[StreamEvent]:
        calls = delta.get("tool_calls")
        for item in calls if isinstance(calls, list) else []:
            if not isinstance(item, dict):
                continue
            function, custom = item.get("function"), item.get("custom")
            if isinstance(function, dict):
                yield self._call_event(item.get("index"), string(item, "id"), function)
            elif isinstance(custom, dict):
                call = {"name": custom.get("name"), "arguments": custom.get("input")}
                yield replace(self._call_event(item.get("index"), string(item, "id"), call), custom=True)
        legacy = delta.get("function_call")
        if isinstance(legacy, dict):
            yield self._call_event(0, "", legacy)

    def _call_event(self, index: Any, call_id: str, function: Mapping[str, Any]) -> ToolCallDelta:
        name = string(function, "name")
        number = index if type(index) is int else None
        slot = self._slot(number, call_id, name)
        is_new = slot is None
        if slot is None:
            slot = len(self._ids)
            self._ids.append(call_id)
        if number is not None:
            self._by_index[number] = slot
        if call_id:
            self._by_id[call_id] = slot
        return ToolCallDelta(
            index=slot,
            # An id of "" is as good as none; the encoder makes one up.
            id=call_id if is_new else None,
            name=name if is_new else None,
            arguments=string(function, "arguments"),
            choice=self._choice,
        )

    def _slot(self, number: int | None, call_id: str, name: str) -> int | None:
        """Which call a piece belongs to; None for a new one."""
        if call_id and call_id in self._by_id:
            return self._by_id[call_id]
        if number is not None and number in self._by_index:
            slot = self._by_index[number]
            # The same number with another id and a name is another call: some number every call 0.
            return None if call_id and name and self._ids[slot] else slot
        if number is None and not name and self._ids:
            return len(self._ids) - 1
        return None
