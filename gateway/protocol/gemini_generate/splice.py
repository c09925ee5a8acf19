"""A body for an upstream of this dialect from the caller's own: all that nobody has to change stays as it is."""

from __future__ import annotations

from typing import Any

from gateway.protocol import fields
from gateway.protocol.codec import EncodedRequest
from gateway.protocol.conversation import ROUTER_FIELDS, JsonObject
from gateway.protocol.gemini_generate.encode import path_of
from gateway.protocol.gemini_generate.names import DIALECT, snake
from gateway.protocol.gemini_generate.seals import open_signature
from gateway.protocol.gemini_generate.thinking import wants_signatures
from gateway.protocol.gemini_generate.turns import sign_calls
from gateway.protocol.json_text import dump


def splice_request(
    source: JsonObject, *, upstream_model: str, max_output_tokens: int | None, stream: bool
) -> EncodedRequest:
    """The caller's own body with the output limit lowered, our seals opened and our fields out. Calls that another
    model made get the signature without which newer models refuse them."""
    body = {name: value for name, value in source.items() if name not in ROUTER_FIELDS and name != "model"}
    if isinstance(body.get("contents"), list):
        body["contents"] = [content for item in body["contents"] if (content := _opened(item)) is not None]
        if wants_signatures(upstream_model):
            sign_calls(body["contents"])
    if max_output_tokens is not None:
        _lower_limit(body, max_output_tokens)
    return EncodedRequest(path=path_of(upstream_model, stream=stream), body=dump(body))


def _lower_limit(body: dict[str, Any], limit: int) -> None:
    outer = _name_in(body, "generationConfig")
    config = fields.obj(body, outer) or {}
    name = _name_in(config, "maxOutputTokens")
    own = fields.integer(config, name, outer + ".", least=1)
    if own is None or own > limit:
        body[outer] = {**config, name: limit}


def _name_in(source: JsonObject, name: str) -> str:
    """The spelling that the caller chose."""
    return snake(name) if snake(name) in source else name


def _opened(content: Any) -> Any:
    """The content without other makers' signed thoughts; None where nothing is left of it."""
    parts = content.get("parts") if isinstance(content, dict) else None
    if not isinstance(parts, list) or not any(_sealed(part) for part in parts):
        return content
    kept: list[Any] = []
    for part in parts:
        piece = _sealed(part)
        if piece is None:
            kept.append(part)
            continue
        name = _name_in(part, "thoughtSignature")
        bare = {key: value for key, value in part.items() if key != name}
        if piece.origin == DIALECT:
            kept.append({**bare, name: piece.signature or ""})
        elif not part.get("thought"):
            if bare.get("text") != "" or len(bare) > 1:
                kept.append(bare)
        else:
            while kept and _is_unsigned_thought(kept[-1]):
                kept.pop()
    return {**content, "parts": kept} if kept else None


def _is_unsigned_thought(part: Any) -> bool:
    return isinstance(part, dict) and bool(part.get("thought")) and not part.get(_name_in(part, "thoughtSignature"))


def _sealed(part: Any) -> Any:
    signature = part.get(_name_in(part, "thoughtSignature")) if isinstance(part, dict) else None
    return open_signature(signature) if isinstance(signature, str) else None
