"""Embeddings as a codec, so that a request for them takes the same walk as any other.

There is no conversation in it: the texts stand in one turn, for the estimate of tokens, and every answer goes to the
caller in the provider's own bytes. It is never translated to or from another dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from gateway.protocol import failures
from gateway.protocol.codec import (
    MAX_EVENT_BYTES,
    NO_TARGET,
    EncodedRequest,
    ReplyContext,
    StreamDecoder,
    StreamEncoder,
    Target,
)
from gateway.protocol.conversation import NOTHING, Conversation, JsonObject, Opaque, Text, Turn
from gateway.protocol.embeddings import reply, request
from gateway.protocol.embeddings.request import DIALECT
from gateway.protocol.json_text import dump
from gateway.protocol.openai_chat import problem as problems
from gateway.protocol.problem import Problem, ProtocolError, UpstreamFailure, invalid
from gateway.protocol.quirks.quirks import STANDARD, Quirks
from gateway.protocol.reply import Choice, FinishReason, Reply


class Embeddings:
    dialect = DIALECT

    def decode_request(self, body: bytes, target: Target = NO_TARGET) -> Conversation:
        asked = request.decode(body)
        parts = tuple(
            Text(item) if isinstance(item, str) else Opaque(DIALECT, "tokens", {"tokens": item})
            for item in asked.inputs
        )
        return Conversation(
            model=asked.model,
            turns=(Turn("user", parts),),
            user=asked.user,
            routing=asked.routing,
            dialect=DIALECT,
            source=asked.source,
        )

    def encode_request(
        self,
        conversation: Conversation,
        *,
        upstream_model: str,
        max_output_tokens: int | None,
        quirks: Quirks = STANDARD,
    ) -> EncodedRequest:
        raise invalid("This model makes embeddings: POST /v1/embeddings.", param="model", code="model_not_supported")

    def splice_request(
        self,
        body: bytes,
        *,
        upstream_model: str,
        max_output_tokens: int | None,
        client_headers: Mapping[str, str] = NOTHING,
        parsed: JsonObject = NOTHING,
        target: Target = NO_TARGET,
        quirks: Quirks = STANDARD,
    ) -> EncodedRequest:
        return request.splice(request.decode(body), upstream_model)

    def decode_reply(self, body: bytes) -> Reply:
        found = reply.read(body)
        vectors = tuple(Opaque(DIALECT, "embedding", NOTHING) for _ in range(found.count))
        return Reply(
            choices=(Choice(0, vectors, FinishReason.STOP),),
            usage=found.usage,
            upstream_id=found.upstream_id,
            upstream_model=found.upstream_model,
        )

    def encode_reply(self, reply: Reply, context: ReplyContext) -> bytes:
        return _never()

    def stream_decoder(self, *, include_usage: bool = True, max_event_bytes: int = MAX_EVENT_BYTES) -> StreamDecoder:
        return _never()

    def stream_encoder(self, context: ReplyContext) -> StreamEncoder:
        return _never()

    def decode_failure(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamFailure:
        return failures.decode_failure(status, headers, body)

    def encode_problem(self, problem: Problem, request_id: str) -> bytes:
        return problems.encode_problem(problem, request_id)


def answer(body: bytes, conversation: Conversation, model: str) -> bytes:
    """The provider's bytes, with the vectors in the encoding that the caller asked for."""
    try:
        return reply.answer(body, request.decode(dump(conversation.source)), model)
    except ProtocolError:
        return body


def _never() -> NoReturn:
    raise TypeError("embeddings are not streamed and not translated")
