"""OpenAI Responses, as one codec."""

from __future__ import annotations

from collections.abc import Mapping

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
from gateway.protocol.conversation import NOTHING, Conversation, JsonObject
from gateway.protocol.json_text import load_request
from gateway.protocol.openai_chat import problem as problems
from gateway.protocol.openai_responses import encode, request
from gateway.protocol.openai_responses import reply as replies
from gateway.protocol.openai_responses.content import DIALECT
from gateway.protocol.openai_responses.stream_decoder import ResponsesStreamDecoder
from gateway.protocol.openai_responses.stream_encoder import ResponsesStreamEncoder
from gateway.protocol.problem import Problem, UpstreamFailure
from gateway.protocol.quirks.quirks import STANDARD, Quirks
from gateway.protocol.reply import Reply


class OpenAIResponses:
    dialect = DIALECT

    def decode_request(self, body: bytes, target: Target = NO_TARGET) -> Conversation:
        return request.decode_request(body)

    def encode_request(
        self,
        conversation: Conversation,
        *,
        upstream_model: str,
        max_output_tokens: int | None,
        quirks: Quirks = STANDARD,
    ) -> EncodedRequest:
        return encode.encode_request(conversation, upstream_model=upstream_model, max_output_tokens=max_output_tokens)

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
        return request.splice_request(
            parsed or load_request(body),
            upstream_model=upstream_model,
            max_output_tokens=max_output_tokens,
            client_headers=client_headers,
        )

    def decode_reply(self, body: bytes) -> Reply:
        return replies.decode_reply(body)

    def encode_reply(self, reply: Reply, context: ReplyContext) -> bytes:
        return replies.encode_reply(reply, context)

    def stream_decoder(self, *, include_usage: bool = True, max_event_bytes: int = MAX_EVENT_BYTES) -> StreamDecoder:
        return ResponsesStreamDecoder(max_event_bytes=max_event_bytes)

    def stream_encoder(self, context: ReplyContext) -> StreamEncoder:
        return ResponsesStreamEncoder(context)

    def decode_failure(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamFailure:
        return failures.decode_failure(status, headers, body)

    def encode_problem(self, problem: Problem, request_id: str) -> bytes:
        """The shape of errors is OpenAI's for all of its dialects."""
        return problems.encode_problem(problem, request_id)
