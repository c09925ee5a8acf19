"""Provider events to client bytes: watches usage, keeps the line alive, and never ends in silence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from gateway.attempts import Opened
from gateway.config import GatewayConfig
from gateway.errors import UpstreamTrouble
from gateway.exchange import Exchange
from gateway.protocol.codec import Passed, ReplyContext, StreamEncoder
from gateway.protocol.dialects import CODECS
from gateway.protocol.estimate import text_tokens
from gateway.protocol.problem import Problem, ProtocolError
from gateway.protocol.reply import (
    Done,
    Finished,
    ReasoningDelta,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    UsageSeen,
)
from gateway.request import ClientRequest, Header
from gateway.upstream.client import TransportFailure

_BROKEN = UpstreamTrouble(
    "The provider broke off its answer. You are charged only for what was delivered.", code="upstream_stream_broken"
).problem


class StreamBroken(Exception):
    """The upstream stream ended badly after content had gone out. Carries what to tell the client."""

    def __init__(self, error_class: str, problem: Problem = _BROKEN) -> None:
        super().__init__(error_class)
        self.error_class = error_class
        self.problem = problem


class Relay:
    """Passes one opened stream on to one client."""

    def __init__(
        self, exchange: Exchange, request: ClientRequest, config: GatewayConfig, encoder: StreamEncoder
    ) -> None:
        self._exchange = exchange
        self._request = request
        self._config = config
        self._encoder = encoder
        self._terminal: list[bytes] = []
        self._left_at: float | None = None

    async def stream(self, opened: Opened) -> bytes:
        """Send everything but the last bytes, which are returned: they go out once the end is in the journal.

        Raises StreamBroken, or CancelledError when the client left and the provider is to be stopped.
        """
        delivery = self._exchange.delivery
        try:
            for passed in opened.held_back:
                await self._pass(opened, passed)
            assert opened.decoder is not None and opened.chunks is not None
            if not self._terminal:
                await self._pump(opened, opened.chunks)
        except (TransportFailure, ProtocolError) as failed:
            if not opened.decoder or not opened.decoder.complete:
                raise StreamBroken(failed.failure if isinstance(failed, TransportFailure) else "malformed") from None
        finally:
            await opened.response.close()
        if not opened.decoder.complete:
            raise StreamBroken("cut")
        delivery.complete = True
        return b"".join(self._terminal) if opened.same_dialect else self._encoder.end()

    async def _pump(self, opened: Opened, chunks: AsyncIterator[bytes]) -> None:
        decoder = opened.decoder
        assert decoder is not None
        async for chunk in self._bounded(opened, chunks):
            for passed in decoder.feed(chunk):
                await self._pass(opened, passed)
            if self._terminal:
                return
        for passed in decoder.end():
            await self._pass(opened, passed)

    async def _bounded(self, opened: Opened, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Chunks until the end, a stall, the total deadline, or the client's leave has run out."""
        iterator = aiter(chunks)
        while True:
            limit = min(self._config.stall_timeout_s, self._config.max_request_s - self._exchange.elapsed_s())
            if self._request.left.is_set():
                if self._left_at is None:
                    self._left_at = time.monotonic()
                self._exchange.client_left = True
                if opened.deployment.on_client_leave == "stop":
                    return
                limit = min(limit, self._left_at + self._config.read_on_s - time.monotonic())
            if limit <= 0:
                return
            waited = time.perf_counter()
            try:
                chunk = await self._next(iterator, limit)
            except StopAsyncIteration:
                return
            finally:
                self._exchange.upstream_s += time.perf_counter() - waited
            yield chunk

    async def _next(self, iterator: AsyncIterator[bytes], limit: float) -> bytes:
        """The next chunk; keep-alives meanwhile. A client that leaves in a silence is noticed at the next beat."""
        pending: asyncio.Future[bytes] = asyncio.ensure_future(_anext(iterator))
        silent = 0.0
        try:
            while True:
                beat = min(self._config.keep_alive_s, 1.0 if self._request.left.is_set() else limit - silent)
                done, _ = await asyncio.wait({pending}, timeout=max(beat, 0.001))
                if done:
                    return pending.result()
                silent += beat
                if silent >= limit or self._request.left.is_set():
                    raise TransportFailure("stalled")
                await self._request.write(self._encoder.keep_alive())
        finally:
            if not pending.done():
                pending.cancel()

    async def _pass(self, opened: Opened, passed: Passed) -> None:
        terminal = False
        for event in passed.events:
            if isinstance(event, StreamError):
                raise StreamBroken(event.failure.kind)
            terminal = terminal or isinstance(event, Done)
            self._watch(event)
        if opened.same_dialect:
            out = passed.raw if passed.forward else b""
        else:
            out = b"".join(self._encoder.encode(event) for event in passed.events)
        if terminal:
            self._terminal.append(out)  # kept back until the end is in the journal
        elif out:
            await self._request.write(out)

    def _watch(self, event: StreamEvent) -> None:
        delivery = self._exchange.delivery
        match event:
            case TextDelta() | ReasoningDelta():
                delivery.text_tokens += text_tokens(event.text)
            case ToolCallDelta():
                delivery.text_tokens += text_tokens(event.arguments or "") + text_tokens(event.name or "")
            case UsageSeen():
                delivery.usage = event.report
                delivery.service_tier = event.tier or delivery.service_tier
            case Finished():
                delivery.finish_reason = delivery.finish_reason or event.reason.value
        if event.is_content and not delivery.content:
            delivery.content = True
            self._exchange.first_token_s = self._exchange.elapsed_s()


async def _anext(iterator: AsyncIterator[bytes]) -> bytes:
    return await anext(iterator)


async def wait_alive(
    work: Awaitable[Opened],
    request: ClientRequest,
    start: Callable[[], list[Header]],
    encoder: StreamEncoder,
    keep_alive_s: float,
) -> Opened:
    """Wait for the first content event of a stream; after a silence commit to 200 and keep the line alive.

    Until then the real HTTP status is still open; afterwards errors are in-band. A client that leaves cancels the work.
    """
    task = asyncio.ensure_future(work)
    left = asyncio.ensure_future(request.left.wait())
    try:
        while True:
            done, _ = await asyncio.wait({task, left}, timeout=keep_alive_s, return_when=asyncio.FIRST_COMPLETED)
            if task in done:
                return task.result()
            if left in done:
                raise asyncio.CancelledError
            if not request.started:
                await request.start(200, start())
            await request.write(encoder.keep_alive())
    finally:
        left.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def stream_encoder(exchange: Exchange) -> StreamEncoder:
    """The encoder of the caller's dialect, with the id and time that every event of the answer carries."""
    return CODECS[exchange.endpoint].stream_encoder(reply_context(exchange))


def reply_context(exchange: Exchange) -> ReplyContext:
    assert exchange.conversation is not None
    return ReplyContext(
        response_id=exchange.request_id,
        created=int(exchange.at.timestamp()),
        model=exchange.plan.model.slug if exchange.plan else exchange.conversation.model,
        include_usage=exchange.conversation.include_usage,
    )
