"""OpenAI's legacy Completions: a dialect of callers only. No provider is ever called in it, so it is no full codec."""

from __future__ import annotations

from gateway.protocol.codec import NO_TARGET, ReplyContext, StreamEncoder, Target
from gateway.protocol.conversation import Conversation
from gateway.protocol.openai_chat import problem as problems
from gateway.protocol.openai_completions import reply as replies
from gateway.protocol.openai_completions import request
from gateway.protocol.openai_completions.stream_encoder import CompletionsStreamEncoder
from gateway.protocol.problem import Problem
from gateway.protocol.reply import Reply


class OpenAICompletions:
    dialect = request.DIALECT

    def decode_request(self, body: bytes, target: Target = NO_TARGET) -> Conversation:
        return request.decode_request(body)

    def encode_reply(self, reply: Reply, context: ReplyContext) -> bytes:
        return replies.encode_reply(reply, context)

    def stream_encoder(self, context: ReplyContext) -> StreamEncoder:
        return CompletionsStreamEncoder(context)

    def encode_problem(self, problem: Problem, request_id: str) -> bytes:
        return problems.encode_problem(problem, request_id)
