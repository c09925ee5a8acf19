"""One tiny real request to a deployment, as the gateway would send it; and what it told.

The worker runs this for staff and for synthetic probes. Nothing of the answer is kept but times, counts and classes.
What it tells of the deployment's health is told to the gateway's processes like an attempt of their own.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import orjson
from redis import Redis

from billing.pricing.usage import TokenUsage
from gateway.gossip import MOST_ENTRIES, STREAM
from gateway.protocol.codec import Codec, EncodedRequest
from gateway.protocol.dialects import CLIENT_CODECS, UPSTREAM_CODECS
from gateway.protocol.problem import ProtocolError
from gateway.protocol.quirks.hosts import quirks_of
from gateway.protocol.reply import StreamError, UsageSeen
from gateway.protocol.sampling import without_sampling
from gateway.upstream.address import dialect_for, prepared
from gateway.upstream.client import Oversized, TransportFailure, UpstreamClient, UpstreamRequest, UpstreamResponse
from gateway.upstream.pooled import PooledClient
from routing.catalogue import DeploymentInfo, ModelInfo
from routing.policy.candidate import CredentialInfo
from routing.policy.health import Record, Sample

NEVER_SENT = frozenset(("no_address", "no_credential", "not_in_catalogue", "untranslatable"))
CONNECT_S, ANSWER_S, WHOLE_S = 10.0, 45.0, 60.0
OUTPUT_TOKENS = 16
MAX_BYTES = 256 * 1024
_EMBEDDINGS = "openai_embeddings"
_SPOKEN = frozenset(UPSTREAM_CODECS)
_WORDS = "Reply with the single word: ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check told. `error_class` as in `docs/errors.md`, "" where it went well. Times in seconds from sending."""

    error_class: str = ""
    status: int | None = None
    first_token_s: float | None = None
    total_s: float = 0.0
    usage: TokenUsage | None = None

    @property
    def output_tokens(self) -> int:
        return 0 if self.usage is None else self.usage.output_size


def look(deployment: DeploymentInfo, model: ModelInfo, credential: CredentialInfo | None) -> Finding:
    """Send it and wait for the whole answer, a minute at most. Never raises for what a provider does."""
    return asyncio.run(_look(deployment, model, credential))


def tell(redis: Redis, deployment_id: int, finding: Finding) -> None:
    """Let the gateway's processes count it like an attempt of their own."""
    now = time.time()
    record = Record()
    first, whole = finding.first_token_s, finding.total_s
    written_s = max(0.0, whole - first) if first is not None else 0.0
    record.record(Sample(deployment_id, finding.error_class, first, finding.output_tokens, written_s), now)
    news = {"health": {"d": record.take_delta(now) or [], "b": []}}
    entry = {"p": "probe", "t": f"{now:.3f}", "n": orjson.dumps(news)}
    redis.xadd(STREAM, entry, maxlen=MOST_ENTRIES, approximate=True)  # type: ignore[arg-type]


async def _look(deployment: DeploymentInfo, model: ModelInfo, credential: CredentialInfo | None) -> Finding:
    client = PooledClient(max_connections=1, max_per_origin=1)
    clock = _Clock()
    try:
        async with asyncio.timeout(WHOLE_S):
            return await _Attempt(client, clock).of(deployment, model, credential)
    except TimeoutError:
        return clock.finding("stalled")
    finally:
        await client.close()


class _Clock:
    """What is known so far, for whichever end it comes to."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.status: int | None = None
        self.first_token_s: float | None = None
        self.usage: TokenUsage | None = None

    def elapsed_s(self) -> float:
        return time.monotonic() - self._started

    def content(self) -> None:
        if self.first_token_s is None:
            self.first_token_s = self.elapsed_s()

    def finding(self, error_class: str = "") -> Finding:
        return Finding(error_class, self.status, self.first_token_s, self.elapsed_s(), self.usage)


class _Attempt:
    def __init__(self, client: UpstreamClient, clock: _Clock) -> None:
        self._client = client
        self._clock = clock

    async def of(self, deployment: DeploymentInfo, model: ModelInfo, credential: CredentialInfo | None) -> Finding:
        embeds = deployment.dialect == _EMBEDDINGS
        dialect = dialect_for(deployment, _EMBEDDINGS if embeds else "openai_chat", _SPOKEN)
        if dialect is None:
            return self._clock.finding("no_address")
        codec = UPSTREAM_CODECS[dialect]
        try:
            encoded = _encoded(deployment, model, dialect, codec)
            target = prepared(deployment, credential, dialect, encoded.path, stream=not embeds)
            request = UpstreamRequest(
                url=target.url,
                headers=encoded.headers,
                body=encoded.body,
                connect_timeout_s=CONNECT_S,
                read_timeout_s=ANSWER_S,
                stall_timeout_s=ANSWER_S,
                target=target,
            )
            response = await self._client.send(request)
        except TransportFailure as failed:
            return self._clock.finding(failed.failure)
        except ProtocolError:
            return self._clock.finding("untranslatable")
        try:
            return await self._read(response, codec, is_stream=not embeds)
        except TransportFailure as failed:
            return self._clock.finding(failed.failure)
        except (ProtocolError, Oversized):
            return self._clock.finding("malformed")
        finally:
            await response.close()

    async def _read(self, response: UpstreamResponse, codec: Codec, *, is_stream: bool) -> Finding:
        self._clock.status = response.status
        if response.status != 200:
            body = await response.read_all(MAX_BYTES)
            return self._clock.finding(codec.decode_failure(response.status, response.headers, body).kind)
        if not is_stream:
            reply = codec.decode_reply(await response.read_all(MAX_BYTES))
            self._clock.content()
            self._clock.usage = None if reply.usage is None else reply.usage.usage
            return self._clock.finding()
        return await self._read_stream(response, codec)

    async def _read_stream(self, response: UpstreamResponse, codec: Codec) -> Finding:
        decoder, size, is_over = codec.stream_decoder(), 0, False
        while not is_over:
            chunk = await response.next_chunk()
            size += len(chunk)
            if size > MAX_BYTES:
                raise Oversized
            is_over = not chunk
            for event in (event for one in (decoder.feed(chunk) if chunk else decoder.end()) for event in one.events):
                if isinstance(event, StreamError):
                    return self._clock.finding(event.failure.kind)
                if isinstance(event, UsageSeen):
                    self._clock.usage = event.report.usage
                if event.is_content:
                    self._clock.content()
        if not decoder.complete:
            return self._clock.finding("cut")
        # A model that thinks first may use up the few tokens on that, and show nothing.
        used = self._clock.usage is not None and self._clock.usage.output_size > 0
        return self._clock.finding("" if used or self._clock.first_token_s is not None else "empty")


def _encoded(deployment: DeploymentInfo, model: ModelInfo, dialect: str, codec: Codec) -> EncodedRequest:
    quirks = quirks_of(deployment.provider)
    if dialect == _EMBEDDINGS:
        body = orjson.dumps({"model": model.slug, "input": "ok"})
        return codec.splice_request(
            body,
            upstream_model=deployment.upstream_id,
            max_output_tokens=None,
            parsed=orjson.loads(body),
            quirks=quirks,
        )
    asked = {
        "model": model.slug,
        "messages": [{"role": "user", "content": _WORDS}],
        "max_completion_tokens": OUTPUT_TOKENS,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    conversation = CLIENT_CODECS["openai_chat"].decode_request(orjson.dumps(asked))
    if model.capabilities.get("sampling_params") is False:
        conversation, _lost = without_sampling(conversation)
    return codec.encode_request(
        conversation, upstream_model=deployment.upstream_id, max_output_tokens=OUTPUT_TOKENS, quirks=quirks
    )
