"""A provider's stream to a client: watches usage, and never ends in silence.

Bytes are passed on where both speak the same dialect, else events are translated. Either way what comes from the finish
on is kept back: it goes out once the end is in the journal. Signs of life, deadlines and leaving clients are
`gateway.guard`'s, which stops the reading by a cancellation.
"""

from __future__ import annotations

import asyncio
import time

from gateway.attempt import Opened
from gateway.errors import UpstreamTrouble
from gateway.exchange import Exchange
from gateway.guard import Guard
from gateway.plausible import is_believable
from gateway.protocol.codec import Passed, ReplyContext, StreamEncoder
from gateway.protocol.continuation import Joint, PlainAnswer
from gateway.protocol.dialects import CLIENT_CODECS
from gateway.protocol.estimate import likely_tokens
from gateway.protocol.glance import StreamWatch
from gateway.protocol.openai_chat.stream_encoder import ChatStreamEncoder
from gateway.protocol.problem import Problem, ProtocolError
from gateway.protocol.reply import (
    Done,
    Finished,
    ReasoningDelta,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    UsageReport,
    UsageSeen,
)
from gateway.request import ClientRequest
from gateway.upstream.client import TransportFailure, UpstreamResponse
from routing.catalogue import DeploymentInfo

_BROKEN = UpstreamTrouble(
    "The provider broke off its answer. You are charged only for what was delivered.", code="upstream_stream_broken"
).problem


class StreamBroken(Exception):
    """The upstream stream ended badly after content had gone out. Carries what to tell the client."""

    def __init__(self, error_class: str, problem: Problem = _BROKEN) -> None:
        super().__init__(error_class)
        self.error_class = error_class
        self.problem = problem


async def pass_on(exchange: Exchange, request: ClientRequest, guard: Guard, opened: Opened) -> bytes:
    """Send a watched stream's bytes as they come; returns the last ones, from the finish on.

    Raises StreamBroken, also when the client left and the provider was stopped.
    """
    watch = opened.watch
    assert watch is not None
    if watch.seen.content:
        exchange.first_token_s = exchange.elapsed_s()
    began = time.perf_counter()
    error_class = "malformed" if watch.malformed else "cut"
    try:
        if opened.first:
            await request.write(opened.first)
        await _pass_bytes(request, guard, opened.response, watch)
    except TransportFailure as failed:
        if watch.seen.complete:
            watch.end()
        error_class = failed.failure
    except asyncio.CancelledError:
        reason = guard.stopped()
        if not reason:
            raise
        error_class = reason
    finally:
        exchange.upstream_s += time.perf_counter() - began
        _note(exchange, watch)
        await opened.response.finish()
    if watch.failure is not None:
        raise StreamBroken(watch.failure.kind)
    if not watch.seen.complete:
        raise StreamBroken(error_class)
    exchange.delivery.complete = True
    return watch.held


async def _pass_bytes(request: ClientRequest, guard: Guard, response: UpstreamResponse, watch: StreamWatch) -> None:
    """A piece that the client's connection takes at once costs no turn of the event loop."""
    waiting = b""

    def take(chunk: bytes) -> bool:
        nonlocal waiting
        guard.chunks += 1
        out = watch.feed(chunk)
        guard.finished = watch.seen.complete
        if out and not request.write_at_once(out):
            waiting = out
            return False
        return not watch.done and watch.failure is None

    while not watch.done and watch.failure is None:
        is_over = await response.pump(take)
        if waiting:
            out, waiting = waiting, b""
            await request.write(out)
        if is_over:
            if out := watch.end():
                await request.write(out)
            return


def _note(exchange: Exchange, watch: StreamWatch) -> None:
    delivery, seen = exchange.delivery, watch.seen
    delivery.content = seen.content
    delivery.usage = seen.usage
    delivery.service_tier = seen.service_tier
    delivery.finish_reason = seen.finish_reason
    if seen.usage is None or not seen.complete or not is_believable(exchange, seen.usage):
        delivery.text_tokens = watch.text_tokens()


class Relay:
    """Passes one decoded stream on to one client."""

    def __init__(self, exchange: Exchange, request: ClientRequest, guard: Guard, encoder: StreamEncoder) -> None:
        self._exchange = exchange
        self._request = request
        self._guard = guard
        self._encoder = encoder
        self._last: list[bytes] = []  # what goes out only once the end is in the journal
        self._done = False
        self._joint: Joint | None = None
        self._writes = False  # waits for the client
        self.said: PlainAnswer | None = PlainAnswer() if exchange.continuable else None

    async def stream(self, opened: Opened) -> None:
        """Send everything but the last bytes, which `last` gives. Raises StreamBroken as `pass_on` does."""
        decoder = opened.decoder
        assert decoder is not None
        began = time.perf_counter()
        error_class = "cut"
        try:
            for passed in opened.held_back:
                await self._pass(opened, passed)
            if not self._done:
                await self._pump(opened)
        except (TransportFailure, ProtocolError) as failed:
            error_class = failed.failure if isinstance(failed, TransportFailure) else "malformed"
            if decoder.complete:
                for passed in decoder.end():
                    await self._pass(opened, passed)
        except asyncio.CancelledError:
            reason = self._guard.stopped()
            if not reason:
                raise
            error_class = reason
            if self._writes:
                self.said = None  # the client stood still, not the provider, and how much it got is not known
        finally:
            self._exchange.upstream_s += time.perf_counter() - began
            await opened.response.finish()
        if not decoder.complete:
            raise StreamBroken(error_class)
        self._exchange.delivery.complete = True

    async def go_on(self, opened: Opened) -> None:
        """The stream of another provider behind what was said. Raises StreamBroken as `stream` does."""
        assert self.said is not None
        self._joint = joint = Joint(self.said.text)
        self.said = None  # goes on once
        await self._request.write(_seam(self._encoder, opened.deployment))
        try:
            await self.stream(opened)
        finally:
            if joint.repeated or (joint.reasoned and not _reports_reasoning(self._exchange)):
                self._exchange.delivery.usage = None  # counts what was left out: what went out is estimated

    def last(self, opened: Opened) -> bytes:
        """The bytes that end the stream."""
        told = self._exchange.usage_told
        if told is not None:
            self._encoder.encode(UsageSeen(UsageReport(told)))
        return b"".join(self._last) + (b"" if opened.same_dialect else self._encoder.end())

    async def _pump(self, opened: Opened) -> None:
        decoder = opened.decoder
        assert decoder is not None
        while chunk := await opened.response.next_chunk():
            self._guard.chunks += 1
            for passed in decoder.feed(chunk):
                await self._pass(opened, passed)
            if self._done:
                return
            self._guard.finished = decoder.complete
        for passed in decoder.end():
            await self._pass(opened, passed)

    async def _pass(self, opened: Opened, passed: Passed) -> None:
        events = passed.events if self._joint is None else self._joint.feed(passed.events)
        error: StreamError | None = None
        for place, event in enumerate(events):
            if isinstance(event, StreamError):
                error, events = event, events[:place]  # what came before it still goes out
                break
            self._done = self._done or isinstance(event, Done)
            self._watch(event)
        if opened.same_dialect:
            out = passed.raw if passed.forward else b""
        else:
            out = b"".join(self._encoder.encode(event) for event in events)
        if self._done or (opened.decoder is not None and opened.decoder.complete):
            self._last.append(out)  # from the finish on, all is kept back until the end is in the journal
        elif out:
            self._writes = True
            await self._request.write(out)
            self._writes = False
        if self.said is not None:
            self.said.take(events)
        if error is not None:
            raise StreamBroken(error.failure.kind)

    def _watch(self, event: StreamEvent) -> None:
        delivery = self._exchange.delivery
        match event:
            case TextDelta() | ReasoningDelta():
                delivery.text_tokens += likely_tokens(event.text)
            case ToolCallDelta():
                delivery.text_tokens += likely_tokens(event.arguments or "") + likely_tokens(event.name or "")
            case UsageSeen():
                delivery.usage = event.report
                delivery.service_tier = event.tier or delivery.service_tier
            case Finished():
                delivery.finish_reason = delivery.finish_reason or event.reason.value
        if event.is_content and not delivery.content:
            delivery.content = True
            self._exchange.first_token_s = self._exchange.elapsed_s()


def _seam(encoder: StreamEncoder, deployment: DeploymentInfo) -> bytes:
    """What shows a client where another provider goes on: a comment, and in chat a field of the next chunk."""
    if isinstance(encoder, ChatStreamEncoder):
        encoder.router = {"continued": True, "provider": deployment.provider, "model": deployment.model}
    return f": continued by {deployment.provider} with {deployment.model}\n\n".encode()


def _reports_reasoning(exchange: Exchange) -> bool:
    report = exchange.delivery.usage
    return report is not None and report.usage.reasoning > 0


def stream_encoder(exchange: Exchange) -> StreamEncoder:
    """The encoder of the caller's dialect, with the id and time that every event of the answer carries."""
    return CLIENT_CODECS[exchange.endpoint].stream_encoder(reply_context(exchange))


def reply_context(exchange: Exchange) -> ReplyContext:
    asked, conversation = exchange.asked, exchange.conversation
    wants_usage = conversation.include_usage if conversation is not None else asked is None or asked.include_usage
    return ReplyContext(
        response_id=exchange.request_id,
        created=int(exchange.at.timestamp()),
        model=exchange.model.slug if exchange.model else exchange.model_asked,
        include_usage=wants_usage,
        extra_usage=exchange.usage_extra,
        input_tokens=round(exchange.prompt_tokens / 1.25),
        conversation=exchange.conversation,
        begun=exchange.first_token_s is not None,
    )
