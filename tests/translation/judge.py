"""What becomes of a probe between two dialects: found out by the codecs themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from gateway.protocol.codec import ReplyContext, Target
from gateway.protocol.conversation import Conversation, Reasoning, Text
from gateway.protocol.dialects import CODECS
from gateway.protocol.problem import ProtocolError
from gateway.protocol.reply import Choice, FinishReason, Reply
from tests.translation.probes import Answered, Asked, parts

# The encoders mind what a model can do.
MODELS = {
    "openai_chat": "some-model",
    "openai_responses": "gpt-5.5",
    "anthropic_messages": "claude-opus-4-5",
    "gemini_generate": "gemini-3-pro",
}
CONTEXT = ReplyContext(response_id="gen-1", created=1_700_000_000, model="some/model")
CARRIED, OTHER_FORM, LEFT_OUT, REFUSED = "yes", "other form", "left out", "refused"


def asked(probe: Asked, caller: str, provider: str) -> str | None:
    """None for what this caller's dialect cannot say."""
    said = _as_sent(probe.make(caller), caller)
    if said is None or not _says(probe, caller, said):
        return None
    try:
        body, dropped = written(said, provider)
    except ProtocolError:
        return REFUSED
    there = CODECS[provider].decode_request(body, Target("m", False))
    if probe.look(there) == probe.look(said):
        return CARRIED
    bare = _as_sent(probe.without(caller), caller)
    same = bare is not None and written(bare, provider)[0] == body
    if dropped:
        names = ", ".join(f"`{name}`" for name in dropped)
        return f"no: {names}" if same else f"in part: {names}"
    return LEFT_OUT if same else OTHER_FORM


def _says(probe: Asked, caller: str, said: Conversation) -> bool:
    """Whether it came through the caller's own dialect as it was meant."""
    if "unknown_field" in probe.make(caller).extras:
        return "unknown_field" in said.extras
    return bool(probe.look(said) == probe.look(probe.make(caller)))


def _as_sent(conversation: Conversation, caller: str) -> Conversation | None:
    """The conversation as our decoder has it from a caller of this dialect."""
    try:
        encoded = CODECS[caller].encode_request(conversation, upstream_model="m", max_output_tokens=None)
        return CODECS[caller].decode_request(encoded.body, Target("m", False))
    except ProtocolError:
        return None


def written(conversation: Conversation, provider: str) -> tuple[bytes, tuple[str, ...]]:
    encoded = CODECS[provider].encode_request(
        conversation, upstream_model=MODELS.get(provider, "m"), max_output_tokens=None
    )
    return encoded.body, encoded.dropped


def answered(probe: Answered, caller: str, provider: str) -> str | None:
    """None for what this provider's dialect cannot say."""
    try:
        given = CODECS[provider].decode_reply(CODECS[provider].encode_reply(probe.make(provider), CONTEXT))
    except ProtocolError:
        return None
    if probe.look(given) != probe.look(probe.make(provider)):
        return None
    body = CODECS[caller].encode_reply(given, CONTEXT)
    if probe.look(CODECS[caller].decode_reply(body)) == probe.look(given):
        return CARRIED
    bare = Reply((Choice(0, (Text("Hi"),), FinishReason.STOP),), given.usage)
    return LEFT_OUT if CODECS[caller].encode_reply(bare, CONTEXT) == body else OTHER_FORM


def signature_returns(caller: str, provider: str) -> str | None:
    """Whether a provider has its signature back when the caller sends the answer with its next request."""
    forms = {
        "anthropic_messages": Reasoning("hm", signature="QUJD", origin=provider),
        "openai_responses": Reasoning("hm", redacted="QUJD", id="rs_1", origin=provider),
        "gemini_generate": Reasoning("hm", signature="QUJD", origin=provider),
    }
    piece = forms.get(provider)
    if piece is None:
        return None
    reply = Reply((Choice(0, (piece, Text("Hi")), FinishReason.STOP),))
    shown = json.loads(CODECS[caller].encode_reply(reply, CONTEXT))
    again = CODECS[caller].decode_request(json.dumps(_sent_back(caller, shown)).encode(), Target("m", False))
    there = CODECS[provider].decode_request(written(replace(again), provider)[0], Target("m", False))
    kept = [part for part in parts(there, Reasoning) if isinstance(part, Reasoning)]
    tokens = [part.signature or part.redacted for part in kept]
    return CARRIED if "QUJD" in tokens else LEFT_OUT


def _sent_back(caller: str, shown: dict[str, Any]) -> dict[str, Any]:
    """The next request of a client that keeps the answer as it came."""
    hello: dict[str, Any] = {"role": "user", "content": "Hello"}
    if caller == "openai_chat":
        return {"model": "m", "messages": [hello, shown["choices"][0]["message"], hello]}
    if caller == "anthropic_messages":
        answer = {"role": "assistant", "content": shown["content"]}
        return {"model": "m", "max_tokens": 4000, "messages": [hello, answer, hello]}
    if caller == "openai_responses":
        return {"model": "m", "input": [hello, *shown["output"], hello]}
    said = {"role": "user", "parts": [{"text": "Hello"}]}
    return {"contents": [said, shown["candidates"][0]["content"], said]}
