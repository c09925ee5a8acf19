"""Events as a stream of text completions."""

from __future__ import annotations

from typing import Any

from gateway.protocol.codec import ReplyContext
from gateway.protocol.json_text import dump
from gateway.protocol.openai_chat.problem import error_object
from gateway.protocol.openai_chat.stream_decoder import DONE
from gateway.protocol.openai_chat.stream_encoder import KEEP_ALIVE
from gateway.protocol.openai_chat.usage import write_usage
from gateway.protocol.openai_completions.reply import choice_object, envelope, finish_word
from gateway.protocol.problem import Problem
from gateway.protocol.reply import (
    Finished,
    FinishReason,
    RefusalDelta,
    StreamError,
    StreamEvent,
    TextDelta,
    UsageReport,
    UsageSeen,
)
from gateway.protocol.sse import encode_event


class CompletionsStreamEncoder:
    def __init__(self, context: ReplyContext) -> None:
        self._context = context
        self._opened: set[int] = set()
        self._finished: set[int] = set()
        self._usage: UsageReport | None = None
        self._closed = False

    def encode(self, event: StreamEvent) -> bytes:
        if self._closed:
            return b""
        if isinstance(event, TextDelta | RefusalDelta):
            self._opened.add(event.choice)
            return self._chunk([choice_object(event.choice, event.text, None)])
        if isinstance(event, Finished):
            return self._finish(event.choice, event.reason)
        if isinstance(event, StreamError):
            return self.problem(event.problem)
        if isinstance(event, UsageSeen):
            self._usage = event.report
        return b""

    def end(self) -> bytes:
        if self._closed:
            return b""
        # A client that never sees a finish asks again and pays again.
        unfinished = sorted(self._opened - self._finished) if self._opened or self._finished else [0]
        endings = b"".join(self._finish(choice, FinishReason.STOP) for choice in unfinished)
        self._closed = True
        usage = b""
        if self._context.include_usage and self._usage is not None:
            usage = self._chunk([], usage=write_usage(self._usage.usage, self._context.extra_usage))
        return endings + usage + DONE

    def problem(self, problem: Problem) -> bytes:
        if self._closed:
            return b""
        self._closed = True
        return encode_event(dump({"error": error_object(problem)}))

    def keep_alive(self) -> bytes:
        return KEEP_ALIVE

    def _finish(self, choice: int, reason: FinishReason) -> bytes:
        if choice in self._finished:
            return b""
        self._finished.add(choice)
        return self._chunk([choice_object(choice, "", finish_word(reason))])

    def _chunk(self, choices: list[dict[str, Any]], **further: Any) -> bytes:
        return encode_event(dump({**envelope(self._context, choices), **further}))
