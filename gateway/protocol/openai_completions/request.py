"""Legacy text completions: one prompt as a conversation of one user turn."""

from __future__ import annotations

from gateway.protocol import fields
from gateway.protocol.conversation import NOTHING, ROUTER_FIELDS, Conversation, JsonObject, Sampling, Text, Turn
from gateway.protocol.json_text import load_request
from gateway.protocol.problem import invalid

DIALECT = "openai_completions"
MOST_CHOICES = 128
# This API's own default where the caller sets no limit (OpenAI's reference, 2026-07).
DEFAULT_OUTPUT_TOKENS = 16

_KNOWN = ROUTER_FIELDS | {
    "model",
    "prompt",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "n",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "stream",
    "stream_options",
    "user",
}
# Fields of which one value means "off": they change nothing, so nothing is lost by leaving them out.
_WITHOUT_EFFECT: JsonObject = {"echo": False, "best_of": 1, "suffix": "", "logit_bias": {}, "logprobs": False}


def decode_request(body: bytes) -> Conversation:
    """What no chat model can do (``suffix``, ``echo``, ``logprobs``, ``best_of``) is among the extras, which every
    encoder names as dropped. Raises ProtocolError (invalid_request) for anything that is not a completions request."""
    source = load_request(body)
    model = fields.required_text(source, "model")
    options = fields.obj(source, "stream_options") or NOTHING
    return Conversation(
        model=model,
        turns=(Turn(role="user", parts=(Text(_prompt(source)),)),),
        sampling=_decode_sampling(source),
        stream=fields.flag(source, "stream") or False,
        include_usage=fields.flag(options, "include_usage", "stream_options.") or False,
        user=fields.text(source, "user"),
        routing={name: source[name] for name in ROUTER_FIELDS if source.get(name) is not None},
        extras=_extras(source, options),
        dialect=DIALECT,
        source=source,
    )


def _prompt(source: JsonObject) -> str:
    value = source.get("prompt")
    if value is None:
        raise invalid("'prompt' is required.", param="prompt", code="missing_required_parameter")
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        value = value[0]
    if isinstance(value, str):
        if not value:
            raise invalid("'prompt' must not be empty.", param="prompt", code="invalid_value")
        return value
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        raise invalid("Send one prompt per request: several in 'prompt' are not supported.", param="prompt")
    if value and isinstance(value, list):
        raise invalid("'prompt' must be text: arrays of tokens are not supported.", param="prompt")
    raise fields.wrong("", "prompt", "a string")


def _decode_sampling(source: JsonObject) -> Sampling:
    return Sampling(
        temperature=fields.number(source, "temperature"),
        top_p=fields.number(source, "top_p"),
        top_k=fields.integer(source, "top_k", least=0),
        stop=fields.texts(source, "stop"),
        max_output_tokens=fields.integer(source, "max_tokens", least=1) or DEFAULT_OUTPUT_TOKENS,
        n=fields.integer(source, "n", least=1, most=MOST_CHOICES) or 1,
        seed=fields.integer(source, "seed", least=-(2**63), most=2**63 - 1),
        frequency_penalty=fields.number(source, "frequency_penalty"),
        presence_penalty=fields.number(source, "presence_penalty"),
    )


def _extras(source: JsonObject, options: JsonObject) -> JsonObject:
    extras = dict(fields.rest(source, _KNOWN))
    for name, harmless in _WITHOUT_EFFECT.items():
        # By type too: `logprobs` 0 asks for the chosen token's own, and 0 == False.
        if type(extras.get(name)) is type(harmless) and extras[name] == harmless:
            del extras[name]
    further = fields.rest(options, ("include_usage",))
    if further:
        extras["stream_options"] = further
    return extras or NOTHING
