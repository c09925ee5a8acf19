"""Answers with embeddings: what they say of themselves, and their bytes in the caller's encoding.

A vector is a list of numbers (``float``) or base64 text of little-endian 32-bit floats (``base64``). Some hosts know
only one of the two and answer in it whatever was asked.
"""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass, field
from typing import Any

from billing.pricing.usage import TokenUsage
from gateway.protocol.conversation import NOTHING, JsonObject
from gateway.protocol.counts import Counts
from gateway.protocol.embeddings.request import EmbeddingRequest
from gateway.protocol.json_text import dump, load_reply, unreadable_reply
from gateway.protocol.reply import UsageReport


@dataclass(frozen=True, slots=True)
class EmbeddingReply:
    """``count`` vectors. ``source`` is the parsed body, for ``answer``."""

    count: int
    usage: UsageReport | None = None
    upstream_id: str = ""
    upstream_model: str = ""
    source: JsonObject = field(default_factory=dict, repr=False, compare=False)


def read(body: bytes) -> EmbeddingReply:
    """A 200 body. Raises ProtocolError of kind upstream when it holds no list of vectors."""
    source = load_reply(body)
    data = source.get("data")
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise unreadable_reply()
    return EmbeddingReply(
        count=len(data),
        usage=_read_usage(source.get("usage")),
        upstream_id=_string(source.get("id")),
        upstream_model=_string(source.get("model")),
        source=source,
    )


def answer(body: bytes, request: EmbeddingRequest, model: str, parsed: JsonObject = NOTHING) -> bytes:
    """The provider's own bytes; where the caller asked for the other encoding, its answer with vectors converted and
    the public name of the model. ``parsed`` saves the parsing (``EmbeddingReply.source``).

    A caller that named no encoding gets what the provider chose: a host's own packing (8-bit numbers) cannot be told
    from floats. What cannot be converted stays as it is.
    """
    convert = {"float": _unpacked, "base64": _packed}.get(request.encoding_format or "")
    if convert is None:
        return body
    source = parsed or read(body).source
    vectors = [item.get("embedding") for item in source["data"]]
    converted = [convert(vector) for vector in vectors]
    if all(after is None for after in converted):
        return body
    data = [
        item if after is None else {**item, "embedding": after}
        for item, after in zip(source["data"], converted, strict=True)
    ]
    return dump({**source, "data": data, "model": model})


def _packed(vector: object) -> str | None:
    """None for what is no list of numbers."""
    if not isinstance(vector, list):
        return None
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except (struct.error, OverflowError):
        return None


def _unpacked(vector: object) -> list[float] | None:
    """None for what is no base64 text of whole floats."""
    if not isinstance(vector, str):
        return None
    try:
        packed = base64.b64decode(vector, validate=True)
        return list(struct.unpack(f"<{len(packed) // 4}f", packed))
    except (binascii.Error, ValueError, struct.error):
        return None


def _read_usage(value: Any) -> UsageReport | None:
    """All tokens are input. Some hosts report only the total (Voyage), some a completion count of 0 (Cohere)."""
    counts = Counts(value)
    if not counts.has("prompt_tokens", "input_tokens", "total_tokens"):
        return None
    total = counts.first("total_tokens")
    tokens = counts.first("prompt_tokens", "input_tokens") or total
    if total and total != tokens:
        counts.flag("total_mismatch")
    return UsageReport(TokenUsage(input=tokens), flags=counts.flags)


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""
