"""Requests and answers in few words, for the tests of this folder."""

from __future__ import annotations

import json
from typing import Any

from gateway.protocol.codec import EncodedRequest, ReplyContext
from gateway.protocol.conversation import Conversation, Text, Turn
from gateway.protocol.dialects import codec_of
from gateway.protocol.quirks.hosts import quirks_of

MESSAGES = codec_of("anthropic_messages")
CONTEXT = ReplyContext(response_id="msg_1", created=1, model="some/model", input_tokens=42)
OWN = "anthropic_messages"


def decoded(**body: Any) -> Conversation:
    return MESSAGES.decode_request(json.dumps({"model": "m", "max_tokens": 9000, "messages": [], **body}).encode())


def spliced(host: str = "anthropic", **body: Any) -> EncodedRequest:
    whole = json.dumps({"model": "m", "max_tokens": 9000, "messages": [], **body}).encode()
    return MESSAGES.splice_request(whole, upstream_model="up", max_output_tokens=None, quirks=quirks_of(host))


def asked(*turns: Turn, **fields: Any) -> Conversation:
    return Conversation(model="m", turns=turns or (Turn("user", (Text("q"),)),), **fields)


def encoded(conversation: Conversation, model: str = "claude-opus-4-6", host: str = "anthropic") -> EncodedRequest:
    return MESSAGES.encode_request(conversation, upstream_model=model, max_output_tokens=None, quirks=quirks_of(host))


def sent(request: EncodedRequest) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(request.body)
    return body
