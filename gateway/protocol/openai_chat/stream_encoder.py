"""Events as a chat stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.protocol.codec import ReplyContext
from gateway.protocol.conversation import Reasoning
from gateway.protocol.json_text import dump
from gateway.protocol.openai_chat.citations import write_annotations
from gateway.protocol.openai_chat.problem import error_object
from gateway.protocol.openai_chat.reasoning import write_details
from gateway.protocol.openai_chat.reply import made_up_id
from gateway.protocol.openai_chat.stream_decoder import DONE
from gateway.protocol.openai_chat.usage import write_usage
from gateway.protocol.openai_chat.words import write_finish
from gateway.protocol.problem import Problem
from gateway.protocol.reply import (
    CitationDelta,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    SignatureDelta,
    Started,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    UsageReport,
    UsageSeen,
)
from gateway.protocol.sse import encode_event
from gateway.protocol.tool_names import CallRestorer, ToolNames

KEEP_ALIVE = b": keep-alive\n\n"


class ChatStreamEncoder:
    def __init__(self, context: ReplyContext) -> None:
        self._context = context
        self._restorer = CallRestorer(ToolNames.of(context.conversation))
        self._opened: set[int] = set()
        self._finished: set[int] = set()
        self._with_calls: set[int] = set()
        # (choice, index) of the functions whose arguments have not begun.
        self._bare: dict[tuple[int, int], None] = {}
        self._with_refusal: set[int] = set()
        # Of each choice: how many signed pieces were written, and the text since the last of them.
        self._signed: dict[int, int] = {}
        self._thoughts: dict[int, str] = {}
        self._usage: UsageReport | None = None
        self._closed = False
        self.router: Mapping[str, Any] | None = None  # what we say of our own with the next chunk

    def encode(self, event: StreamEvent) -> bytes:
        return b"".join(self._encode(item) for item in self._restorer.feed(event))

    def _encode(self, event: StreamEvent) -> bytes:
        if self._closed:
            return b""
        if isinstance(event, UsageSeen):
            self._usage = event.report
            return b""
        if isinstance(event, StreamError):
            return self.problem(event.problem)
        if isinstance(event, Started):
            return self._open(0)
        if isinstance(event, Finished):
            return self._finish(event)
        delta = self._delta(event)
        if delta is None:
            return b""
        choice = getattr(event, "choice", 0)
        return self._open(choice) + self._chunk(choice, delta)

    def end(self) -> bytes:
        if self._closed:
            return b""
        rest = b"".join(self._encode(item) for item in self._restorer.flush())
        # A client that never sees a finish asks again and pays again.
        unfinished = sorted(self._opened - self._finished) if self._opened else [0]
        endings = b"".join(self._finish(Finished(FinishReason.STOP, choice)) for choice in unfinished)
        self._closed = True
        usage = b""
        if self._context.include_usage and self._usage is not None:
            body = self._envelope([])
            body["usage"] = write_usage(self._usage.usage, self._context.extra_usage)
            usage = encode_event(dump(body))
        return rest + endings + usage + DONE

    def problem(self, problem: Problem) -> bytes:
        if self._closed:
            return b""
        self._closed = True
        return encode_event(dump({"error": error_object(problem)}))

    def keep_alive(self) -> bytes:
        return KEEP_ALIVE

    def _delta(self, event: StreamEvent) -> dict[str, Any] | None:
        if isinstance(event, TextDelta):
            return {"content": event.text}
        if isinstance(event, ReasoningDelta):
            self._thoughts[event.choice] = self._thoughts.get(event.choice, "") + event.text
            return {"reasoning_content": event.text}
        if isinstance(event, RefusalDelta):
            self._with_refusal.add(event.choice)
            return {"refusal": event.text}
        if isinstance(event, ToolCallDelta):
            self._with_calls.add(event.choice)
            self._note_bare(event)
            return {"tool_calls": [self._call(event)]}
        if isinstance(event, SignatureDelta):
            return self._signature(event)
        if isinstance(event, CitationDelta):
            annotations = write_annotations([event.citation])
            return {"annotations": annotations} if annotations else None
        return None

    def _note_bare(self, event: ToolCallDelta) -> None:
        key = (event.choice, event.index)
        if event.arguments:
            self._bare.pop(key, None)
        elif event.name and not event.custom:
            self._bare[key] = None

    def _empty_arguments(self, choice: int) -> bytes:
        """Clients parse the arguments: those of a call that gave none are an empty object."""
        found = [index for of_choice, index in self._bare if of_choice == choice]
        return b"".join(
            self._chunk(choice, {"tool_calls": [{"index": index, "function": {"arguments": "{}"}}]}) for index in found
        )

    def _call(self, event: ToolCallDelta) -> dict[str, Any]:
        kind, text = ("custom", "input") if event.custom else ("function", "arguments")
        if event.id is None and event.name is None:
            return {"index": event.index, kind: {text: event.arguments}}
        return {
            "index": event.index,
            "id": event.id or made_up_id(self._context, event.index, event.choice),
            "type": kind,
            kind: {"name": event.name or "", text: event.arguments},
        }

    def _signature(self, event: SignatureDelta) -> dict[str, Any] | None:
        """The signed piece whole: a caller that sends it back unchanged need not put pieces together."""
        index = self._signed.get(event.choice, 0)
        has_text = event.redacted is None or event.origin == "openai_responses"
        text = self._thoughts.pop(event.choice, "") if has_text else ""
        details = write_details(
            Reasoning(text, event.signature, event.redacted, event.origin, id=event.id), index, call_id=""
        )
        if not details:
            return None
        self._signed[event.choice] = index + 1
        return {"reasoning_details": details}

    def _open(self, choice: int) -> bytes:
        if choice in self._opened:
            return b""
        self._opened.add(choice)
        return self._chunk(choice, {"role": "assistant", "content": ""})

    def _finish(self, event: Finished) -> bytes:
        if event.choice in self._finished:
            return b""
        self._finished.add(event.choice)
        word = write_finish(
            event.reason,
            has_calls=event.choice in self._with_calls,
            has_refusal=event.choice in self._with_refusal,
        )
        head = self._open(event.choice) + self._empty_arguments(event.choice)
        return head + self._chunk(event.choice, {}, word)

    def _chunk(self, choice: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        body = self._envelope([{"index": choice, "delta": delta, "logprobs": None, "finish_reason": finish}])
        if self.router is not None:
            body["router"], self.router = self.router, None
        return encode_event(dump(body))

    def _envelope(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        context = self._context
        return {
            "id": context.response_id,
            "object": "chat.completion.chunk",
            "created": context.created,
            "model": context.model,
            "choices": choices,
        }
