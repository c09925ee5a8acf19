"""Events as a Messages stream: one block after the other, each opened and closed."""

from __future__ import annotations

from typing import Any

from gateway.protocol.anthropic_messages.citations import write_citation
from gateway.protocol.anthropic_messages.problem import error_body
from gateway.protocol.anthropic_messages.reply import estimated_usage, made_up_id, stop_details
from gateway.protocol.anthropic_messages.seals import DIALECT, seal_block, signature_of
from gateway.protocol.anthropic_messages.stream_decoder import MESSAGE_STOP
from gateway.protocol.anthropic_messages.turns import plain_id
from gateway.protocol.anthropic_messages.usage import write_usage
from gateway.protocol.anthropic_messages.words import write_finish
from gateway.protocol.codec import ReplyContext
from gateway.protocol.conversation import Reasoning
from gateway.protocol.json_text import dump
from gateway.protocol.problem import Problem
from gateway.protocol.reply import (
    CitationDelta,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    SignatureDelta,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    UsageReport,
    UsageSeen,
)
from gateway.protocol.sse import encode_event
from gateway.protocol.tool_names import ToolNames

PING = encode_event(b'{"type":"ping"}', "ping")


class MessagesStreamEncoder:
    def __init__(self, context: ReplyContext) -> None:
        self._context = context
        self._names = ToolNames.of(context.conversation)
        self._started = False
        self._closed = False
        self._blocks = 0
        # What the open block holds: "text", "thinking", "tool", or "" when none is open.
        self._open = ""
        # Call number -> block number.
        self._calls: dict[int, int] = {}
        self._waiting = _WaitingInput()
        self._finish: Finished | None = None
        self._refusal = ""
        self._usage: UsageReport | None = None

    def encode(self, event: StreamEvent) -> bytes:
        if self._closed or getattr(event, "choice", 0) != 0:
            return b""
        if isinstance(event, UsageSeen):
            self._usage = event.report
            return b""
        if isinstance(event, Finished):
            self._finish = self._finish or event
            return b""
        if isinstance(event, StreamError):
            return self.problem(event.problem)
        return self._start() + self._content(event)

    def end(self) -> bytes:
        """Usage may come after the finish, so both are told here."""
        if self._closed:
            return b""
        head = self._start() + self._close_block()
        self._closed = True
        finish = self._finish
        stop_sequence = finish.stop_sequence if finish else None
        reason = write_finish(
            finish.reason if finish else None, has_calls=bool(self._calls), stop_sequence=stop_sequence
        )
        context = self._context
        usage = write_usage(self._usage.usage, context.extra_usage) if self._usage else estimated_usage(context)
        delta = {"stop_reason": reason, "stop_sequence": stop_sequence, **stop_details(reason, self._refusal)}
        return head + _event("message_delta", delta=delta, usage=usage) + MESSAGE_STOP

    def problem(self, problem: Problem) -> bytes:
        if self._closed:
            return b""
        self._closed = True
        return encode_event(dump(error_body(problem)), "error")

    def keep_alive(self) -> bytes:
        return PING

    def _content(self, event: StreamEvent) -> bytes:
        if isinstance(event, RefusalDelta):
            self._refusal += event.text
        if isinstance(event, TextDelta | RefusalDelta):
            return self._text(event.text) if event.text else b""
        if isinstance(event, ReasoningDelta):
            return self._block("thinking", {"type": "thinking", "thinking": "", "signature": ""}) + self._delta(
                self._blocks - 1, {"type": "thinking_delta", "thinking": event.text}
            )
        if isinstance(event, SignatureDelta):
            return self._signature(event)
        if isinstance(event, CitationDelta):
            return self._citation(event)
        if isinstance(event, ToolCallDelta):
            return self._call(event)
        return b""

    def _start(self) -> bytes:
        if self._started:
            return b""
        self._started = True
        context = self._context
        message: dict[str, Any] = {
            "id": context.response_id,
            "type": "message",
            "role": "assistant",
            "model": context.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self._opening_usage(),
        }
        return _event("message_start", message=message)

    def _opening_usage(self) -> dict[str, Any]:
        usage = write_usage(self._usage.usage) if self._usage else estimated_usage(self._context)
        return {**usage, "output_tokens": 0}

    def _text(self, text: str) -> bytes:
        return self._block("text", {"type": "text", "text": ""}) + self._delta(
            self._blocks - 1, {"type": "text_delta", "text": text}
        )

    def _signature(self, event: SignatureDelta) -> bytes:
        """A signature ends its block; a redacted piece, or one without text, is a block of its own.

        What another maker signed comes sealed: its text, if any, stands in the block itself.
        """
        piece = Reasoning(signature=event.signature, redacted=event.redacted, origin=event.origin, id=event.id)
        if event.redacted is not None and event.origin == DIALECT:
            return self._block("redacted", seal_block(piece), again=True) + self._close_block()
        signature = signature_of(piece)
        if not signature:
            return b""
        opening = self._block("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        delta = {"type": "signature_delta", "signature": signature}
        return opening + self._delta(self._blocks - 1, delta) + self._close_block()

    def _citation(self, event: CitationDelta) -> bytes:
        citation = write_citation(event.citation)
        if citation is None:
            return b""
        delta = {"type": "citations_delta", "citation": citation}
        return self._block("text", {"type": "text", "text": ""}) + self._delta(self._blocks - 1, delta)

    def _call(self, event: ToolCallDelta) -> bytes:
        opening = b""
        if event.index not in self._calls:
            call_id = plain_id(event.id) if event.id else made_up_id(self._context, event.index)
            tool = self._names.find(event.name)
            name = event.name or "" if tool is None else tool.name
            block = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
            opening = self._block("tool", block, again=True)
            self._calls[event.index] = self._blocks - 1
        block_index = self._calls[event.index]
        is_open = self._open == "tool" and block_index == self._blocks - 1
        # A late piece of an earlier call goes to its own block: clients collect by block number.
        text = self._waiting.add(event.arguments) if is_open else event.arguments
        if not text:
            return opening
        return opening + self._delta(block_index, {"type": "input_json_delta", "partial_json": text})

    def _block(self, kind: str, block: dict[str, Any], *, again: bool = False) -> bytes:
        """Open a block unless one of this kind is open; ``again``: in any case."""
        if self._open == kind and not again:
            return b""
        closing = self._close_block()
        self._open = kind
        self._blocks += 1
        return closing + _event("content_block_start", index=self._blocks - 1, content_block=block)

    def _close_block(self) -> bytes:
        if not self._open:
            return b""
        rest = b""
        if self._open == "tool":
            text = self._waiting.close()
            if text:
                rest = self._delta(self._blocks - 1, {"type": "input_json_delta", "partial_json": text})
        self._open = ""
        return rest + _event("content_block_stop", index=self._blocks - 1)

    def _delta(self, index: int, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", index=index, delta=delta)


class _WaitingInput:
    """Holds back the text ``null``, which some models write for "no arguments" and clients cannot take as input."""

    def __init__(self) -> None:
        self._held = ""
        self._passed = False

    def add(self, text: str) -> str:
        if self._passed:
            return text
        self._held += text
        if "null".startswith(self._held.strip()):
            return ""
        self._passed = True
        return self._held

    def close(self) -> str:
        held = "" if self._passed else self._held
        self._held, self._passed = "", False
        return "" if held.strip() in ("", "null") else held


def _event(kind: str, **fields: Any) -> bytes:
    return encode_event(dump({"type": kind, **fields}), kind)
