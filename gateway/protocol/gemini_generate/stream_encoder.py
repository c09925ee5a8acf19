"""Events as a Gemini stream: chunks of parts, a call in one piece, finish and usage in the last chunk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.protocol.codec import ReplyContext
from gateway.protocol.conversation import Citation, Reasoning, ToolCall
from gateway.protocol.gemini_generate.citations import write_citations
from gateway.protocol.gemini_generate.names import DIALECT
from gateway.protocol.gemini_generate.problem import error_body
from gateway.protocol.gemini_generate.reply import encode_call, encode_thought, estimated_usage, made_up_id
from gateway.protocol.gemini_generate.seals import bare_signature
from gateway.protocol.gemini_generate.usage import write_usage
from gateway.protocol.gemini_generate.words import write_finish
from gateway.protocol.json_text import dump
from gateway.protocol.problem import Problem
from gateway.protocol.reply import (
    CitationDelta,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    SignatureDelta,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    UsageSeen,
)
from gateway.protocol.sse import encode_event
from gateway.protocol.tool_names import ToolNames

Wire = dict[str, Any]


class GeminiStreamEncoder:
    def __init__(self, context: ReplyContext) -> None:
        self._context = context
        self._closed = False
        self._candidates: dict[int, _Candidate] = {}
        self._usage: UsageSeen | None = None

    def encode(self, event: StreamEvent) -> bytes:
        if self._closed:
            return b""
        if isinstance(event, StreamError):
            return self.problem(event.problem)
        if isinstance(event, UsageSeen):
            self._usage = event
            return b""
        choice = getattr(event, "choice", None)
        if choice is None:
            return b""
        candidate = self._candidates.setdefault(choice, _Candidate(choice, self._context))
        parts = candidate.feed(event)
        return self._chunk([candidate.wire(parts)]) if parts else b""

    def end(self) -> bytes:
        """Usage may come after the finish, so both are told here."""
        if self._closed:
            return b""
        self._closed = True
        candidates = self._candidates or {0: _Candidate(0, self._context)}
        last = [candidate.last() for _, candidate in sorted(candidates.items())]
        return self._chunk(last, usageMetadata=self._write_usage())

    def problem(self, problem: Problem) -> bytes:
        if self._closed:
            return b""
        self._closed = True
        return encode_event(dump(error_body(problem, self._context.response_id)))

    def keep_alive(self) -> bytes:
        return b": keep-alive\n\n"

    def _write_usage(self) -> Wire:
        if self._usage is None:
            return estimated_usage(self._context)
        usage = write_usage(self._usage.report.usage, self._context.extra_usage)
        return {**usage, "serviceTier": self._usage.tier} if self._usage.tier is not None else usage

    def _chunk(self, candidates: list[Wire], **more: Any) -> bytes:
        context = self._context
        chunk = {"candidates": candidates, **more, "modelVersion": context.model, "responseId": context.response_id}
        return encode_event(dump(chunk))


@dataclass(slots=True)
class _Candidate:
    index: int
    context: ReplyContext
    text: str = ""
    thoughts: str = ""
    # A signature of Gemini's own that waits for the part it belongs to.
    signature: str = ""
    call: ToolCallDelta | None = None
    finish: FinishReason | None = None
    citations: list[Citation] = field(default_factory=list)

    def feed(self, event: StreamEvent) -> list[Wire]:
        """The parts that are complete with this event."""
        if isinstance(event, ToolCallDelta):
            return self._feed_call(event)
        if isinstance(event, CitationDelta):
            self.citations.append(event.citation)
            return []
        parts = self._end_call()
        if isinstance(event, Finished):
            self.finish = self.finish or event.reason
        elif isinstance(event, TextDelta | RefusalDelta):
            self.text += event.text
            self.thoughts = ""
            parts += self._signed({"text": event.text}) if event.text else []
        elif isinstance(event, ReasoningDelta):
            self.thoughts += event.text
            parts += [{"text": event.text, "thought": True}] if event.text else []
        elif isinstance(event, SignatureDelta):
            parts += self._feed_signature(event)
        return parts

    def wire(self, parts: list[Wire]) -> Wire:
        return {"content": {"role": "model", "parts": parts}, "index": self.index}

    def last(self) -> Wire:
        parts = self._end_call()
        if self.signature:
            parts.append(bare_signature(self.signature))
        sources = write_citations(self.citations, self.text)
        return {**self.wire(parts), "finishReason": write_finish(self.finish), **sources}

    def _feed_call(self, event: ToolCallDelta) -> list[Wire]:
        self.thoughts = ""
        if self.call is not None and event.index == self.call.index:
            self.call = ToolCallDelta(
                self.call.index, self.call.id, self.call.name, self.call.arguments + event.arguments
            )
            return []
        parts = self._end_call()
        self.call = event
        return parts

    def _end_call(self) -> list[Wire]:
        call, self.call = self.call, None
        if call is None:
            return []
        whole = ToolCall(call.id or "", call.name or "", call.arguments, custom=call.custom, namespace=call.namespace)
        return self._signed(
            encode_call(whole, made_up_id(self.context, call.index), ToolNames.of(self.context.conversation))
        )

    def _feed_signature(self, event: SignatureDelta) -> list[Wire]:
        """Another maker's signature closes its thoughts, in a part of its own that holds the whole piece."""
        text, self.thoughts = self.thoughts, ""
        if event.origin == DIALECT:
            earlier, self.signature = self.signature, event.signature or self.signature
            return [bare_signature(earlier)] if earlier and event.signature else []
        piece = Reasoning(text, event.signature, event.redacted, event.origin, id=event.id)
        part = encode_thought(piece)
        return [] if part is None else [{**part, "text": ""}]

    def _signed(self, part: Wire) -> list[Wire]:
        signature, self.signature = self.signature, ""
        return [{**part, "thoughtSignature": signature}] if signature else [part]
