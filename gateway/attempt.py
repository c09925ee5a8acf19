"""One attempt: the request in the deployment's dialect, sent, and read until its first content event is in hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gateway.config import GatewayConfig
from gateway.exchange import Exchange
from gateway.protocol.codec import Codec, EncodedRequest, Passed, StreamDecoder, Target
from gateway.protocol.continuation import resumed, takes_prefill
from gateway.protocol.conversation import NOTHING, Conversation
from gateway.protocol.dialects import CLIENT_CODECS, GLANCES, UPSTREAM_CODECS
from gateway.protocol.embeddings.request import DIALECT as EMBEDDINGS
from gateway.protocol.glance import Glance, Seen, StreamWatch, seen_in
from gateway.protocol.problem import ProtocolError
from gateway.protocol.quirks.hosts import quirks_of
from gateway.protocol.reply import Finished, Reply, StreamError, UsageReport, UsageSeen
from gateway.protocol.sampling import without_sampling
from gateway.request import ClientRequest, text_headers
from gateway.upstream.address import dialect_for, prepared
from gateway.upstream.client import Oversized, TransportFailure, UpstreamClient, UpstreamRequest, UpstreamResponse
from gateway.upstream.failures import AttemptFailure, from_transport, from_upstream
from routing.catalogue import DeploymentInfo
from routing.planner import RouteStep
from routing.policy.candidate import CredentialInfo

SPOKEN = frozenset(UPSTREAM_CODECS)
_PLAIN_ENDS = frozenset(("", "stop"))
_SILENT_TOKENS = 1  # some count the end itself
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
    credential: CredentialInfo | None = None
    dropped: tuple[str, ...] = ()
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

    @property
    def usage(self) -> UsageReport | None:
        """What a stream has reported so far."""
        if self.watch is not None:
            return self.watch.seen.usage
        events = (event for passed in self.held_back for event in passed.events)
        return next((event.report for event in events if isinstance(event, UsageSeen)), None)

    def is_empty(self, stream: bool) -> bool:
        """A good end without a word, and without a reason for it."""
        if self.dialect == EMBEDDINGS:
            return False
        if stream and self.decoder is not None:
            events = [event for passed in self.held_back for event in passed.events]
            usage = next((event.report for event in events if isinstance(event, UsageSeen)), None)
            finish = next((event.reason.value for event in events if isinstance(event, Finished)), "")
            return not any(event.is_content for event in events) and _is_silence(finish, usage)
        seen = self.watch.seen if self.watch is not None else self.seen
        if seen is None and self.reply is not None:
            seen = seen_in(self.reply)
        return seen is not None and not seen.content and _is_silence(seen.finish_reason, seen.usage)


@dataclass(frozen=True, slots=True)
class Untranslatable(Exception):
    """This request can't be put into the dialect of this deployment, or not without a loss that was forbidden."""

    message: str
    code: str = "invalid_request"
    param: str | None = None


class Sender:
    """Makes the attempts of one request. Keeps nothing of an attempt: two may run at once."""

    __slots__ = ("_body", "_client", "_config", "_delivered", "_exchange", "_request", "_said", "_target")

    def __init__(
        self,
        exchange: Exchange,
        body: bytes,
        target: Target,
        request: ClientRequest,
        client: UpstreamClient,
        config: GatewayConfig,
    ) -> None:
        self._exchange = exchange
        self._body = body
        self._target = target
        self._request = request
        self._client = client
        self._config = config
        self._said = ""
        self._delivered = 0

    def goes_on_from(self, said: str, delivered_tokens: int) -> None:
        """From now on attempts ask for the rest of an answer of which the client has `said`."""
        self._said = said
        self._delivered = delivered_tokens

    async def open(
        self,
        number: int,
        step: RouteStep,
        credential: CredentialInfo | None,
        started: float,
        accepted: list[Opened] | None = None,
    ) -> Opened:
        """Send it and read up to the first content. Raises AttemptFailure; Untranslatable before anything is sent.

        `accepted`: takes in the attempt as soon as the provider has said that it answers.
        """
        endpoint = self._exchange.endpoint
        dialect = dialect_for(step.deployment, endpoint, SPOKEN)
        if dialect is None:
            raise Untranslatable("No provider of this model speaks a dialect that this endpoint can be translated to.")
        same = dialect == endpoint and not self._exchange.continuable
        glance = GLANCES.get(dialect) if same else None
        codec = UPSTREAM_CODECS[dialect]
        try:
            request, dropped = self._build(step, credential, dialect, codec, glance)
            if self._exchange.elapsed_s() >= self._config.max_request_s:
                raise AttemptFailure("deadline")  # this process stood still, and its lease of credit may be over
            response = await self._client.send(request)
        except TransportFailure as failed:
            raise from_transport(failed) from None
        opened = Opened(number, step, dialect, same, started, response, credential, dropped)
        try:
            if response.status != 200:
                raise from_upstream(
                    codec.decode_failure(response.status, response.headers, await _read(response, MAX_ERROR_BYTES))
                )
            if accepted is not None:
                accepted.append(opened)
            if self._exchange.stream:
                await self._open_stream(opened, codec, glance)
            else:
                await self._open_reply(opened, codec, glance)
        except BaseException:
            await response.close()
            raise
        return opened

    def _build(
        self, step: RouteStep, credential: CredentialInfo | None, dialect: str, codec: Codec, glance: Glance | None
    ) -> tuple[UpstreamRequest, tuple[str, ...]]:
        encoded = self._encode(step, dialect, codec, glance)
        if encoded.dropped and self._exchange.strict:
            raise Untranslatable(
                f"A translation for this model would lose: {', '.join(encoded.dropped)}. Leave that out, choose"
                " another model, or send without x-router-strict.",
                "translation_loss",
                encoded.dropped[0],
            )
        target = prepared(step.deployment, credential, dialect, encoded.path, stream=self._exchange.stream)
        request = UpstreamRequest(
            url=target.url,
            headers=encoded.headers,
            body=encoded.body,
            connect_timeout_s=self._config.connect_timeout_s,
            read_timeout_s=self._config.first_byte_timeout_s,
            stall_timeout_s=self._config.stall_timeout_s,
            target=target,
        )
        return request, encoded.dropped

    def _encode(self, step: RouteStep, dialect: str, codec: Codec, glance: Glance | None) -> EncodedRequest:
        exchange, deployment = self._exchange, step.deployment
        wanted = exchange.max_output_tokens
        cap = exchange.output_cap
        limit = cap or _output_limit(wanted, _most_output_tokens(step))
        quirks = quirks_of(deployment.provider)
        if self._said and limit is not None:
            limit = max(1, limit - self._delivered)
        if dialect == exchange.endpoint and not self._said:
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
                parsed=self.conversation().source,
                target=self._target,
                quirks=quirks,
            )
        conversation = self.conversation()
        lost: tuple[str, ...] = ()
        if self._said:
            prefill = takes_prefill(conversation, dialect, deployment.upstream_id, quirks)
            conversation = resumed(conversation, self._said, prefill=prefill)
        if step.model.capabilities.get("sampling_params") is False:
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

    def conversation(self) -> Conversation:
        """The whole request, decoded now if a glance was enough until here. Raises ProtocolError."""
        exchange = self._exchange
        if exchange.conversation is None:
            exchange.conversation = CLIENT_CODECS[exchange.endpoint].decode_request(self._body, self._target)
        return exchange.conversation

    def _client_headers(self) -> Mapping[str, str]:
        """Chat passes none of them on."""
        return NOTHING if self._exchange.endpoint == "openai_chat" else text_headers(self._request)

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
        asked = exchange.asked or self.conversation()
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
        conversation = self.conversation()
        opened.decoder = decoder = codec.stream_decoder(include_usage=conversation.include_usage)
        while chunk := await opened.response.next_chunk():
            if _take(opened, decoder.feed(chunk)):
                return
        if _take(opened, decoder.end()):
            return
        if not decoder.complete:
            raise AttemptFailure("cut", status=200)


def _is_silence(finish: str, usage: UsageReport | None) -> bool:
    return finish in _PLAIN_ENDS and (usage is None or usage.usage.output_size <= _SILENT_TOKENS)


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


def _most_output_tokens(step: RouteStep) -> int | None:
    here, anywhere = step.deployment.max_output_tokens, step.model.max_output_tokens
    return min(here, anywhere) if here and anywhere else here or anywhere or None


def _output_limit(wanted: int | None, most: int | None) -> int | None:
    """The client's own limit, lowered to what the deployment can do: no more than that was held."""
    if wanted is None or most is None:
        return wanted or most
    return min(wanted, most)
