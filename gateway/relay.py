"""Provider events to client bytes: watches usage, keeps the line alive, and never ends in silence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from gateway.attempts import Opened
from gateway.config import GatewayConfig
from gateway.errors import UpstreamTrouble
from gateway.exchange import Exchange
from gateway.protocol.codec import Passed, ReplyContext, StreamEncoder
from gateway.protocol.dialects import CLIENT_CODECS
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


# Usage comes right after the finish, or never.
_AFTER_FINISH_S = 10.0


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
        self._last: list[bytes] = []  # what goes out only once the end is in the journal
        self._done = False
        self._left = asyncio.ensure_future(request.left.wait())
        self._left_at = 0.0

    async def stream(self, opened: Opened) -> bytes:
        """Send everything but the last bytes, which are returned: they go out once the end is in the journal.

        Raises StreamBroken, also when the client left and the provider was stopped.
        """
        delivery = self._exchange.delivery
        try:
            for passed in opened.held_back:
                await self._pass(opened, passed)
            assert opened.decoder is not None and opened.chunks is not None
            if not self._done:
                await self._pump(opened, opened.chunks)
        except (TransportFailure, ProtocolError) as failed:
            if not opened.decoder or not opened.decoder.complete:
                raise StreamBroken(failed.failure if isinstance(failed, TransportFailure) else "malformed") from None
            for passed in opened.decoder.end():
                await self._pass(opened, passed)
        finally:
            self._left.cancel()
            await opened.response.close()
        if not opened.decoder.complete:
            raise StreamBroken("cut")
        delivery.complete = True
        return b"".join(self._last) + (b"" if opened.same_dialect else self._encoder.end())

    async def _pump(self, opened: Opened, chunks: AsyncIterator[bytes]) -> None:
        decoder = opened.decoder
        assert decoder is not None
        iterator = aiter(chunks)
        while (chunk := await self._next(opened, iterator)) is not None:
            for passed in decoder.feed(chunk):
                await self._pass(opened, passed)
            if self._done:
                return
        for passed in decoder.end():
            await self._pass(opened, passed)

    async def _next(self, opened: Opened, iterator: AsyncIterator[bytes]) -> bytes | None:
        """The next chunk, with keep-alives meanwhile; None at the end, at the deadline, or when a leave has run out.

        Raises TransportFailure when the provider is silent for too long.
        """
        began = time.perf_counter()
        pending: asyncio.Future[bytes | None] = asyncio.ensure_future(_anext(iterator))
        try:
            while not pending.done():
                self._notice_leave()
                silent = time.perf_counter() - began
                patience = self._patience_s(opened, silent)
                if patience <= 0:
                    if not self._exchange.client_left and silent >= self._config.stall_timeout_s:
                        raise TransportFailure("stalled")
                    return None
                watched: set[asyncio.Future[Any]] = {pending} if self._exchange.client_left else {pending, self._left}
                beat = min(patience, self._config.keep_alive_s)
                done, _ = await asyncio.wait(watched, timeout=beat, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    await self._request.write(self._encoder.keep_alive())
            return pending.result()
        finally:
            pending.cancel()
            self._exchange.upstream_s += time.perf_counter() - began

    def _notice_leave(self) -> None:
        if self._left.done() and not self._exchange.client_left:
            self._exchange.client_left = True
            self._left_at = time.perf_counter()

    def _patience_s(self, opened: Opened, silent_s: float) -> float:
        """How much longer the provider's next chunk is worth waiting for."""
        limit = min(self._config.stall_timeout_s - silent_s, self._config.max_request_s - self._exchange.elapsed_s())
        if opened.decoder is not None and opened.decoder.complete:
            limit = min(limit, _AFTER_FINISH_S - silent_s)  # the client waits for the end meanwhile
        if not self._exchange.client_left:
            return limit
        if opened.deployment.on_client_leave == "stop":
            return 0.0
        return min(limit, self._left_at + self._config.read_on_s - time.perf_counter())

    async def _pass(self, opened: Opened, passed: Passed) -> None:
        for event in passed.events:
            if isinstance(event, StreamError):
                raise StreamBroken(event.failure.kind)
            self._done = self._done or isinstance(event, Done)
            self._watch(event)
        if opened.same_dialect:
            out = passed.raw if passed.forward else b""
        else:
            out = b"".join(self._encoder.encode(event) for event in passed.events)
        if self._done or (opened.decoder is not None and opened.decoder.complete):
            self._last.append(out)  # from the finish on, all is kept back until the end is in the journal
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


async def _anext(iterator: AsyncIterator[bytes]) -> bytes | None:
    return await anext(iterator, None)


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
    return CLIENT_CODECS[exchange.endpoint].stream_encoder(reply_context(exchange))


def reply_context(exchange: Exchange) -> ReplyContext:
    assert exchange.conversation is not None
    return ReplyContext(
        response_id=exchange.request_id,
        created=int(exchange.at.timestamp()),
        model=exchange.plan.model.slug if exchange.plan else exchange.conversation.model,
        include_usage=exchange.conversation.include_usage,
        input_tokens=round(exchange.prompt_tokens / 1.25),
        conversation=exchange.conversation,
    )
