"""Go through the route plan until a provider's first content event is in hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace

from gateway.config import GatewayConfig
from gateway.errors import BadRequest, NotAvailable
from gateway.exchange import Exchange
from gateway.protocol.codec import Codec, Passed, StreamDecoder, Target
from gateway.protocol.conversation import Conversation
from gateway.protocol.dialects import UPSTREAM_CODECS
from gateway.protocol.problem import ProtocolError
from gateway.protocol.quirks.hosts import quirks_of
from gateway.protocol.reply import Reply, StreamError
from gateway.protocol.sampling import without_sampling
from gateway.upstream.address import auth_headers, dialect_for, url_of
from gateway.upstream.client import TransportFailure, UpstreamClient, UpstreamRequest, UpstreamResponse
from gateway.upstream.failures import AttemptFailure, from_transport, from_upstream, to_caller
from observability.records import AttemptRecord
from routing.catalogue import DeploymentInfo
from routing.planner import RouteStep

_SPOKEN = frozenset(UPSTREAM_CODECS)
MAX_REPLY_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 256 * 1024


@dataclass(slots=True)
class Opened:
    """An attempt that has begun to answer. Exactly one of `reply` and `decoder` is set."""

    number: int
    step: RouteStep
    dialect: str
    same_dialect: bool
    started: float
    response: UpstreamResponse
    raw: bytes = b""
    reply: Reply | None = None
    decoder: StreamDecoder | None = None
    held_back: list[Passed] = field(default_factory=list)  # preamble and the first content event
    chunks: AsyncIterator[bytes] | None = None

    @property
    def deployment(self) -> DeploymentInfo:
        return self.step.deployment


@dataclass(frozen=True, slots=True)
class Untranslatable(Exception):
    """This request can't be put into the dialect of this deployment, or not without a loss that was forbidden."""

    message: str
    code: str = "invalid_request"
    param: str | None = None


class Attempts:
    """Tries the steps of one exchange in order."""

    def __init__(
        self,
        exchange: Exchange,
        body: bytes,
        target: Target,
        client_headers: Mapping[str, str],
        client: UpstreamClient,
        config: GatewayConfig,
    ) -> None:
        self._exchange = exchange
        self._body = body
        self._target = target
        self._client_headers = client_headers
        self._client = client
        self._config = config
        self._current: DeploymentInfo | None = None

    @property
    def reads_on(self) -> bool:
        """True where the provider goes on billing for a caller who left, so that we had better learn its figure."""
        return self._current is not None and self._current.on_client_leave == "read_on"

    @property
    def read_on_s(self) -> float:
        return self._config.read_on_s

    async def open(self) -> Opened:
        """The first attempt that answers. Raises GatewayError when none does, or the request is at fault."""
        plan = self._exchange.plan
        assert plan is not None
        failure: AttemptFailure | None = None
        untold: Untranslatable | None = None
        for number, step in enumerate(plan.steps, 1):
            started = time.perf_counter()
            try:
                async with asyncio.timeout(self._config.max_request_s - self._exchange.elapsed_s()):
                    return await self._try(number, step, started)
            except TimeoutError:
                failure = AttemptFailure("deadline")
            except AttemptFailure as failed:
                failure = failed
            except Untranslatable as lossy:
                untold = untold or lossy  # nothing was sent: another deployment may speak a dialect that has it
                continue
            except asyncio.CancelledError:
                self._record(number, step, started, AttemptFailure("client_left"))
                raise
            finally:
                self._exchange.upstream_s += time.perf_counter() - started
            self._exchange.delivery.began = False
            self._record(number, step, started, failure)
            if failure.is_callers_own or failure.error_class == "deadline":
                break
        if failure is None and untold is not None:
            raise BadRequest(untold.message, code=untold.code, param=untold.param)
        if failure is None:
            raise NotAvailable("No provider is available for this model.", retry_after_s=5)
        raise to_caller(failure, len(self._exchange.attempts))

    async def _try(self, number: int, step: RouteStep, started: float) -> Opened:
        deployment = self._current = self._exchange.deployment = step.deployment
        conversation = self._exchange.conversation
        assert conversation is not None
        dialect = dialect_for(deployment, self._exchange.endpoint, _SPOKEN)
        if dialect is None:
            raise Untranslatable("No provider of this model speaks a dialect that this endpoint can be translated to.")
        codec = UPSTREAM_CODECS[dialect]
        request = self._build(deployment, dialect, codec, conversation)
        self._exchange.delivery.began = True
        try:
            response = await self._client.send(request)
        except TransportFailure as failed:
            raise from_transport(failed) from None
        opened = Opened(number, step, dialect, dialect == self._exchange.endpoint, started, response)
        try:
            if response.status != 200:
                raise from_upstream(
                    codec.decode_failure(response.status, response.headers, await _read(response, MAX_ERROR_BYTES))
                )
            await (self._open_stream(opened, codec) if conversation.stream else self._open_reply(opened, codec))
        except BaseException:
            await response.close()
            raise
        return opened

    def _build(
        self, deployment: DeploymentInfo, dialect: str, codec: Codec, conversation: Conversation
    ) -> UpstreamRequest:
        wanted = conversation.sampling.max_output_tokens
        cap = self._exchange.output_cap
        limit = cap or _output_limit(wanted, self._most_output_tokens(deployment))
        quirks = quirks_of(deployment.provider)
        if dialect == self._exchange.endpoint:
            encoded = codec.splice_request(
                self._body,
                upstream_model=deployment.upstream_id,
                # A caller that set no limit gets the provider's own.
                max_output_tokens=limit if cap or (wanted is not None and limit != wanted) else None,
                client_headers=self._client_headers,
                parsed=conversation.source,
                target=self._target,
                quirks=quirks,
            )
        else:
            lost: tuple[str, ...] = ()
            if self._takes_no_sampling:
                conversation, lost = without_sampling(conversation)
            try:
                encoded = codec.encode_request(
                    conversation,
                    upstream_model=deployment.upstream_id,
                    max_output_tokens=limit,
                    quirks=quirks,
                )
            except ProtocolError as error:
                problem = error.problem
                raise Untranslatable(problem.message, problem.code or "invalid_request", problem.param) from None
            encoded = replace(encoded, dropped=(*lost, *encoded.dropped))
        if encoded.dropped and self._exchange.strict:
            raise Untranslatable(
                f"A translation for this model would lose: {', '.join(encoded.dropped)}. Leave that out, choose"
                " another model, or send without x-router-strict.",
                "translation_loss",
                encoded.dropped[0],
            )
        self._exchange.dropped = encoded.dropped
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream" if conversation.stream else "application/json",
            "accept-encoding": "gzip, deflate" if not conversation.stream else "identity",
            "user-agent": "router-one",
            **deployment.extra_headers,
            **encoded.headers,
            **auth_headers(deployment, dialect),
        }
        return UpstreamRequest(
            url=url_of(deployment, dialect, encoded.path),
            headers=headers,
            body=encoded.body,
            connect_timeout_s=self._config.connect_timeout_s,
            read_timeout_s=self._config.first_byte_timeout_s,
        )

    @property
    def _takes_no_sampling(self) -> bool:
        plan = self._exchange.plan
        return plan is not None and plan.model.capabilities.get("sampling_params") is False

    def _most_output_tokens(self, deployment: DeploymentInfo) -> int | None:
        assert self._exchange.plan is not None
        known = [most for most in (deployment.max_output_tokens, self._exchange.plan.model.max_output_tokens) if most]
        return min(known, default=None)

    async def _open_reply(self, opened: Opened, codec: Codec) -> None:
        opened.raw = await _read(opened.response, MAX_REPLY_BYTES)
        try:
            opened.reply = codec.decode_reply(opened.raw)
        except ProtocolError:
            failure = codec.decode_failure(200, opened.response.headers, opened.raw)
            raise AttemptFailure("malformed", status=200, error_code=failure.code) from None

    async def _open_stream(self, opened: Opened, codec: Codec) -> None:
        conversation = self._exchange.conversation
        assert conversation is not None
        if not opened.response.headers.get("content-type", "text/event-stream").startswith("text/event-stream"):
            # An error in plain JSON, although the status says 200.
            raw = await _read(opened.response, MAX_ERROR_BYTES)
            failure = codec.decode_failure(200, opened.response.headers, raw)
            raise AttemptFailure("malformed", status=200, error_code=failure.code)
        opened.decoder = codec.stream_decoder(include_usage=conversation.include_usage)
        opened.chunks = opened.response.chunks()
        try:
            async for chunk in opened.chunks:
                if _take(opened, opened.decoder.feed(chunk)):
                    return
            if _take(opened, opened.decoder.end()):
                return
        except TransportFailure as failed:
            raise from_transport(failed) from None
        except ProtocolError:
            raise AttemptFailure("malformed", status=200) from None
        if not opened.decoder.complete:
            raise AttemptFailure("cut", status=200)

    def _record(self, number: int, step: RouteStep, started: float, failure: AttemptFailure) -> None:
        exchange = self._exchange
        exchange.attempts.append(
            AttemptRecord(
                number=number,
                provider=step.deployment.provider,
                deployment_id=step.deployment.id,
                dialect=dialect_for(step.deployment, exchange.endpoint, _SPOKEN) or step.deployment.dialect,
                reason=step.reason if number == 1 else "failover",
                started_ms=int((started - exchange.started) * 1000),
                first_token_ms=None,
                duration_ms=int((time.perf_counter() - started) * 1000),
                status=failure.status,
                error_class=failure.error_class,
                error_code=failure.error_code,
            )
        )


def _take(opened: Opened, passed: list[Passed]) -> bool:
    """Hold events back; True once content or a finished answer is among them. Raises on an error in the stream."""
    done = False
    for one in passed:
        opened.held_back.append(one)
        for event in one.events:
            if isinstance(event, StreamError):
                if done:
                    return True  # content came first: the relay tells the client in-band
                raise AttemptFailure(
                    event.failure.kind, status=200, error_code=event.failure.code, message=event.failure.message
                )
            done = done or event.is_content
    return done or bool(opened.decoder and opened.decoder.complete)


async def _read(response: UpstreamResponse, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in response.chunks():
            size += len(chunk)
            if size > limit:
                raise AttemptFailure("oversized", status=response.status)
            chunks.append(chunk)
    except TransportFailure as failed:
        raise from_transport(failed) from None
    await response.close()
    return b"".join(chunks)


def _output_limit(wanted: int | None, most: int | None) -> int | None:
    """The client's own limit, lowered to what the deployment can do: no more than that was held."""
    if wanted is None or most is None:
        return wanted or most
    return min(wanted, most)
