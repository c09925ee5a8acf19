"""Events as a Responses stream: one item after the other, each opened, filled and closed."""

from __future__ import annotations

from gateway.protocol.codec import ReplyContext
from gateway.protocol.conversation import ToolCall
from gateway.protocol.openai_responses.output import Item, item_id, made_up_call_id
from gateway.protocol.openai_responses.problem import failed_error
from gateway.protocol.openai_responses.response_object import response_object, status_of
from gateway.protocol.openai_responses.stream_output import CallOutput, EventWriter, MessageOutput, ReasoningOutput
from gateway.protocol.openai_responses.words import REFUSED, is_refused
from gateway.protocol.problem import Problem
from gateway.protocol.reply import (
    CitationDelta,
    Done,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    SignatureDelta,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    UsageSeen,
)
from gateway.protocol.tool_names import CallRestorer, ToolNames

KEEP_ALIVE = b": keep-alive\n\n"
_OUT_OF_ORDER = Problem(kind="upstream", code="upstream_error", message="The provider's answer could not be read.")


class ResponsesStreamEncoder:
    def __init__(self, context: ReplyContext) -> None:
        self._context = context
        self._restorer = CallRestorer(ToolNames.of(context.conversation))
        self._writer = EventWriter()
        self._started = context.begun
        self._closed = False
        self._items = 0
        self._finished_items: dict[int, Item] = {}
        # What is open: a message, or reasoning, or calls (whose pieces may come in turns).
        self._message: MessageOutput | None = None
        self._reasoning: ReasoningOutput | None = None
        self._calls: dict[int, CallOutput] = {}
        self._seen_calls: set[int] = set()
        self._with_refusal = False
        self._finish: Finished | None = None
        self._usage: UsageSeen | None = None

    def encode(self, event: StreamEvent) -> bytes:
        if self._closed or getattr(event, "choice", 0) != 0:
            return b""
        return b"".join([self._encode(restored) for restored in self._restorer.feed(event)])

    def end(self) -> bytes:
        """Usage may come after the finish, so both are told here."""
        if self._closed:
            return b""
        head = b"".join([self._encode(restored) for restored in self._restorer.flush()]) + self._start()
        finish = self._finish.reason if self._finish is not None else None
        if is_refused(finish) and not self._with_refusal:
            head += self._content(RefusalDelta(REFUSED))
        status = status_of(finish)
        head += self._close_items(status)
        self._closed = True
        return head + self._writer.write(status, response=self._response(status))

    def problem(self, problem: Problem) -> bytes:
        if self._closed:
            return b""
        # Some clients cannot take an end without a beginning.
        head = self._start()
        self._closed = True
        response = self._response("failed", problem)
        return head + self._writer.write("failed", response=response)

    def keep_alive(self) -> bytes:
        return KEEP_ALIVE

    def _encode(self, event: StreamEvent) -> bytes:
        if self._closed:
            return b""
        if isinstance(event, UsageSeen):
            self._usage = event
            return b""
        if isinstance(event, Finished):
            self._finish = self._finish or event
            return b""
        if isinstance(event, StreamError):
            return self.problem(event.problem)
        if isinstance(event, Done):
            return b""
        return self._start() + self._content(event)

    def _start(self) -> bytes:
        if self._started:
            return b""
        self._started = True
        response = self._response("in_progress")
        return self._writer.write("created", response=response) + self._writer.write("in_progress", response=response)

    def _response(self, status: str, problem: Problem | None = None) -> Item:
        return response_object(
            self._context,
            status,
            [self._finished_items[index] for index in sorted(self._finished_items)],
            usage=self._usage.report if self._usage is not None and status != "in_progress" else None,
            tier=self._usage.tier if self._usage is not None else None,
            error=failed_error(problem) if problem is not None else None,
        )

    def _content(self, event: StreamEvent) -> bytes:
        if isinstance(event, TextDelta | RefusalDelta | CitationDelta):
            return self._say(event)
        if isinstance(event, ReasoningDelta):
            return self._think(event.text)
        if isinstance(event, SignatureDelta):
            return self._sign(event)
        if isinstance(event, ToolCallDelta):
            return self._call(event)
        return b""

    def _say(self, event: TextDelta | RefusalDelta | CitationDelta) -> bytes:
        if isinstance(event, CitationDelta):
            return self._message.cite(event.citation) if self._message is not None else b""
        if not event.text:
            return b""
        opening = b""
        message = self._message
        if message is None:
            opening = self._close_items("completed")
            message = self._message = MessageOutput(self._writer, *self._next_item("msg"))
            opening += message.open()
        if isinstance(event, TextDelta):
            return opening + message.text(event.text)
        self._with_refusal = True
        return opening + message.refusal(event.text)

    def _think(self, text: str) -> bytes:
        opening = b"" if self._reasoning is not None else self._open_reasoning()
        assert self._reasoning is not None
        return opening + self._reasoning.text(text) if text else opening

    def _open_reasoning(self) -> bytes:
        closing = self._close_items("completed")
        self._reasoning = ReasoningOutput(self._writer, *self._next_item("rs"))
        return closing + self._reasoning.open()

    def _sign(self, event: SignatureDelta) -> bytes:
        """A signature ends its reasoning; one without reasoning before it is an item of its own."""
        if not event.signature and event.redacted is None:
            return b""
        opening = b"" if self._reasoning is not None else self._open_reasoning()
        reasoning = self._reasoning
        assert reasoning is not None
        self._reasoning = None
        closing = reasoning.close(event)
        self._finished_items[reasoning.index] = reasoning.item
        return opening + closing

    def _call(self, event: ToolCallDelta) -> bytes:
        if event.index in self._calls:
            return self._calls[event.index].arguments(event.arguments)
        if event.index in self._seen_calls:
            # More of a call that was already given as whole: nothing good can come of it.
            return self.problem(_OUT_OF_ORDER)
        opening = b"" if self._calls else self._close_items("completed")
        place = self._next_item("ctc" if event.custom else "fc")
        call_id = event.id or made_up_call_id(self._context, place[1])
        whole = ToolCall(call_id, event.name or "", "", custom=event.custom, namespace=event.namespace)
        call = self._calls[event.index] = CallOutput(self._writer, *place, whole)
        self._seen_calls.add(event.index)
        return opening + call.open() + call.arguments(event.arguments)

    def _next_item(self, kind: str) -> tuple[str, int]:
        index = self._items
        self._items += 1
        return item_id(self._context, kind, index), index

    def _close_items(self, status: str) -> bytes:
        """Close what is open; ``status`` is that of the last item, which an output limit may have cut."""
        closing = b""
        if self._message is not None:
            closing += self._message.close(status)
            self._finished_items[self._message.index] = self._message.item
            self._message = None
        if self._reasoning is not None:
            closing += self._reasoning.close()
            self._finished_items[self._reasoning.index] = self._reasoning.item
            self._reasoning = None
        calls, self._calls = list(self._calls.values()), {}
        for call in calls:
            closing += call.close(status if call is calls[-1] else "completed")
            self._finished_items[call.index] = call.item
        return closing
