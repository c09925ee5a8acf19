"""Go through the route plan until a provider's first content event is in hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gateway.config import GatewayConfig
from gateway.errors import BadRequest, NotAvailable
from gateway.exchange import Exchange
from gateway.guard import Guard
from gateway.protocol.codec import Codec, EncodedRequest, Passed, StreamDecoder, Target
from gateway.protocol.conversation import NOTHING, Conversation
from gateway.protocol.dialects import CLIENT_CODECS, GLANCES, UPSTREAM_CODECS
from gateway.protocol.glance import Glance, Seen, StreamWatch
from gateway.protocol.problem import ProtocolError
from gateway.protocol.quirks.hosts import quirks_of
from gateway.protocol.reply import Reply, StreamError
from gateway.protocol.sampling import without_sampling
from gateway.request import ClientRequest, text_headers
from gateway.upstream.address import dialect_for, prepared
from gateway.upstream.client import Oversized, TransportFailure, UpstreamClient, UpstreamRequest, UpstreamResponse
from gateway.upstream.failures import AttemptFailure, from_transport, from_upstream, to_caller
from observability.records import AttemptRecord
from routing.catalogue import DeploymentInfo
from routing.planner import RouteStep

_SPOKEN = frozenset(UPSTREAM_CODECS)
MAX_REPLY_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 256 * 1024


@dataclass(slots=True)
class Opened:
    """An attempt that has begun to answer.

    A whole answer has `seen` where its bytes are passed on, else `reply`. A stream has `watch` and `first` (bytes up to
    its first content event) where they are passed on, else `decoder` and `held_back`.
    """

    number: int
    step: RouteStep
    dialect: str
    same_dialect: bool
    started: float
    response: UpstreamResponse
    raw: bytes = b""
    seen: Seen | None = None
    reply: Reply | None = None
    watch: StreamWatch | None = None
    first: bytes = b""
    decoder: StreamDecoder | None = None
    held_back: list[Passed] = field(default_factory=list)

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
        request: ClientRequest,
        guard: Guard,
        client: UpstreamClient,
        config: GatewayConfig,
    ) -> None:
        self._exchange = exchange
        self._body = body
        self._target = target
        self._request = request
        self._guard = guard
        self._client = client
        self._config = config
        self._current: DeploymentInfo | None = None

    @property
    def reads_on(self) -> bool:
        """True where the provider goes on billing for a caller who left, so that we had better learn its figure."""
        return self._current is not None and self._current.on_client_leave == "read_on"

    async def open(self) -> Opened:
        """The first attempt that answers. Raises GatewayError when none does, or the request is at fault."""
        plan = self._exchange.plan
        assert plan is not None
        failure: AttemptFailure | None = None
        untold: Untranslatable | None = None
        for number, step in enumerate(plan.steps, 1):
            started = time.perf_counter()
            try:
                return await self._try(number, step, started)
            except AttemptFailure as failed:
                failure = failed
            except Untranslatable as lossy:
                untold = untold or lossy  # nothing was sent: another deployment may speak a dialect that has it
                continue
            except asyncio.CancelledError:
                if self._guard.stopped() != "deadline":
                    self._record(number, step, started, AttemptFailure("client_left"))
                    raise
                failure = AttemptFailure("deadline")
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
        endpoint = self._exchange.endpoint
        dialect = dialect_for(deployment, endpoint, _SPOKEN)
        if dialect is None:
            raise Untranslatable("No provider of this model speaks a dialect that this endpoint can be translated to.")
        same = dialect == endpoint
        glance = GLANCES.get(dialect) if same else None
        codec = UPSTREAM_CODECS[dialect]
        try:
            request = self._build(deployment, dialect, codec, glance)
            if self._exchange.elapsed_s() >= self._config.max_request_s:
                raise AttemptFailure("deadline")  # this process stood still, and its lease of credit may be over
            self._exchange.delivery.began = True
            response = await self._client.send(request)
        except TransportFailure as failed:
            raise from_transport(failed) from None
        opened = Opened(number, step, dialect, same, started, response)
        try:
            if response.status != 200:
                raise from_upstream(
                    codec.decode_failure(response.status, response.headers, await _read(response, MAX_ERROR_BYTES))
                )
            if self._exchange.stream:
                await self._open_stream(opened, codec, glance)
            else:
                await self._open_reply(opened, codec, glance)
        except BaseException:
            await response.close()
            raise
        return opened

    def _build(self, deployment: DeploymentInfo, dialect: str, codec: Codec, glance: Glance | None) -> UpstreamRequest:
        exchange = self._exchange
        encoded = self._encode(deployment, dialect, codec, glance)
        if encoded.dropped and exchange.strict:
            raise Untranslatable(
                f"A translation for this model would lose: {', '.join(encoded.dropped)}. Leave that out, choose"
                " another model, or send without x-router-strict.",
                "translation_loss",
                encoded.dropped[0],
            )
        exchange.dropped = encoded.dropped
        target = prepared(deployment, dialect, encoded.path, stream=exchange.stream)
        return UpstreamRequest(
            url=target.url,
            headers=encoded.headers,
            body=encoded.body,
            connect_timeout_s=self._config.connect_timeout_s,
            read_timeout_s=self._config.first_byte_timeout_s,
            stall_timeout_s=self._config.stall_timeout_s,
            target=target,
        )

    def _encode(self, deployment: DeploymentInfo, dialect: str, codec: Codec, glance: Glance | None) -> EncodedRequest:
        exchange = self._exchange
        wanted = exchange.max_output_tokens
        cap = exchange.output_cap
        limit = cap or _output_limit(wanted, self._most_output_tokens(deployment))
        quirks = quirks_of(deployment.provider)
        if dialect == exchange.endpoint:
            # A caller that set no limit gets the provider's own.
            own_limit = limit if cap or (wanted is not None and limit != wanted) else None
            if glance is not None and exchange.asked is not None:
                return glance.splice(
                    self._body,
                    exchange.asked,
                    upstream_model=deployment.upstream_id,
                    max_output_tokens=own_limit,
                    quirks=quirks,
                    client_headers=self._client_headers(),
                )
            return codec.splice_request(
                self._body,
                upstream_model=deployment.upstream_id,
                max_output_tokens=own_limit,
                client_headers=self._client_headers(),
                parsed=self._conversation().source,
                target=self._target,
                quirks=quirks,
            )
        conversation = self._conversation()
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
        return replace(encoded, dropped=(*lost, *encoded.dropped))

    def _conversation(self) -> Conversation:
        """The whole request, decoded now if a glance was enough until here. Raises ProtocolError."""
        exchange = self._exchange
        if exchange.conversation is None:
            exchange.conversation = CLIENT_CODECS[exchange.endpoint].decode_request(self._body, self._target)
        return exchange.conversation

    def _client_headers(self) -> Mapping[str, str]:
        """Chat passes none of them on."""
        return NOTHING if self._exchange.endpoint == "openai_chat" else text_headers(self._request)

    @property
    def _takes_no_sampling(self) -> bool:
        plan = self._exchange.plan
        return plan is not None and plan.model.capabilities.get("sampling_params") is False

    def _most_output_tokens(self, deployment: DeploymentInfo) -> int | None:
        assert self._exchange.plan is not None
        known = [most for most in (deployment.max_output_tokens, self._exchange.plan.model.max_output_tokens) if most]
        return min(known, default=None)

    async def _open_reply(self, opened: Opened, codec: Codec, glance: Glance | None) -> None:
        opened.raw = raw = await _read(opened.response, MAX_REPLY_BYTES)
        try:
            if glance is not None:
                opened.seen = glance.glance_reply(raw)
            else:
                opened.reply = codec.decode_reply(raw)
        except ProtocolError:
            failure = codec.decode_failure(200, opened.response.headers, raw)
            raise AttemptFailure("malformed", status=200, error_code=failure.code) from None

    async def _open_stream(self, opened: Opened, codec: Codec, glance: Glance | None) -> None:
        response = opened.response
        if not response.headers.get("content-type", "text/event-stream").startswith("text/event-stream"):
            # An error in plain JSON, although the status says 200.
            raw = await _read(response, MAX_ERROR_BYTES)
            failure = codec.decode_failure(200, response.headers, raw)
            raise AttemptFailure("malformed", status=200, error_code=failure.code)
        try:
            if glance is not None:
                await self._watch_until_content(opened, glance)
            else:
                await self._decode_until_content(opened, codec)
        except TransportFailure as failed:
            raise from_transport(failed) from None
        except ProtocolError:
            raise AttemptFailure("malformed", status=200) from None

    async def _watch_until_content(self, opened: Opened, glance: Glance) -> None:
        exchange = self._exchange
        asked = exchange.asked or self._conversation()
        opened.watch = watch = glance.stream_watch(include_usage=asked.include_usage, choices=exchange.choices)
        first = b""
        while not watch.seen.content and not watch.seen.complete and watch.failure is None:
            chunk = await opened.response.next_chunk()
            first += watch.feed(chunk) if chunk else watch.end()
            if not chunk:
                break
        opened.first = first
        if watch.failure is not None and not watch.seen.content:
            failure = watch.failure
            raise AttemptFailure(failure.kind, status=200, error_code=failure.code, message=failure.message)
        if not watch.seen.content and not watch.seen.complete:
            raise AttemptFailure("malformed" if watch.malformed else "cut", status=200)

    async def _decode_until_content(self, opened: Opened, codec: Codec) -> None:
        conversation = self._conversation()
        opened.decoder = decoder = codec.stream_decoder(include_usage=conversation.include_usage)
        while chunk := await opened.response.next_chunk():
            if _take(opened, decoder.feed(chunk)):
                return
        if _take(opened, decoder.end()):
            return
        if not decoder.complete:
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
    try:
        raw = await response.read_all(limit)
    except TransportFailure as failed:
        raise from_transport(failed) from None
    except Oversized:
        raise AttemptFailure("oversized", status=response.status) from None
    await response.close()
    return raw


def _output_limit(wanted: int | None, most: int | None) -> int | None:
    """The client's own limit, lowered to what the deployment can do: no more than that was held."""
    if wanted is None or most is None:
        return wanted or most
    return min(wanted, most)
