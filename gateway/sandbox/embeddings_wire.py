"""The OpenAI Embeddings dialect: read and check a request, write vectors or an error. There are no streams. Pure."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Iterator
from typing import Any

from gateway.sandbox import openai_wire
from gateway.sandbox.answers import Reply
from gateway.sandbox.question import Json, Question, Refused, whole_number
from gateway.sandbox.responses_items import invalid, missing, unsupported
from gateway.sandbox.tokens import Segment, segment
from gateway.sandbox.wire import Frame

NAME = "openai_embeddings"
DIMENSIONS = 256
MOST_DIMENSIONS = 4096
MOST_INPUTS = 2048
MOST_TOKENS = 8192  # of one input
_PARAMETERS = frozenset(("model", "input", "dimensions", "encoding_format", "user"))

fault = openai_wire.fault
headers = openai_wire.headers
no_key = openai_wire.no_key
problem = openai_wire.problem
unknown_model = openai_wire.unknown_model
error_frame = openai_wire.error_frame
broken_frame = openai_wire.broken_frame


def read(body: Json) -> Question:
    """Raises Refused with the vendor's words."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Refused(400, "you must provide a model parameter")
    for name in body:
        if name not in _PARAMETERS:
            raise Refused(400, f"Unrecognized request argument supplied: {name[:80]}")
    form = body.get("encoding_format", "float")
    if form not in ("float", "base64"):
        raise unsupported("encoding_format", form, ("float", "base64"))
    inputs = _inputs(body)
    return Question(
        model=model,
        text="",
        images=0,
        results=(),
        segments=tuple(_segment(one, at) for at, one in enumerate(inputs)),
        texts=tuple(one if isinstance(one, str) else " ".join(map(str, one)) for one in inputs),
        dimensions=whole_number(body, "dimensions", most=MOST_DIMENSIONS) or DIMENSIONS,
        packed=form == "base64",
    )


def _inputs(body: Json) -> list[str | list[int]]:
    """A text, a list of texts, a list of token numbers, or a list of such lists."""
    given = body.get("input")
    if given is None:
        raise missing("input")
    inputs = [given] if isinstance(given, str) or _are_tokens(given) else given
    if not isinstance(inputs, list) or not 0 < len(inputs) <= MOST_INPUTS:
        raise invalid("input", f"a text or a list of 1 to {MOST_INPUTS} texts")
    if not (all(isinstance(one, str) for one in inputs) or all(_are_tokens(one) for one in inputs)):
        raise Refused(400, "'$.input' is invalid. Please check the API reference.")
    if "" in inputs:
        raise Refused(400, "'$.input' is invalid: an input cannot be an empty string.")
    return inputs


def _are_tokens(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(token) is int and token >= 0 for token in value)


def _segment(given: str | list[int], at: int) -> Segment:
    found = segment(given) if isinstance(given, str) else Segment(b"", len(given))
    if found.tokens > MOST_TOKENS:
        message = f"Invalid 'input[{at}]': maximum input length is {MOST_TOKENS} tokens."
        raise Refused(400, message, param="input")
    return found


def whole(reply: Reply) -> dict[str, Any]:
    question = reply.question
    vectors = (_packed(block.content, question.dimensions) for block in reply.answer.blocks)
    body: dict[str, Any] = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": at, "embedding": _written(vector, packed=question.packed)}
            for at, vector in enumerate(vectors)
        ],
        "model": question.model,
    }
    if reply.usage:
        body["usage"] = {"prompt_tokens": reply.prompt.total, "total_tokens": reply.prompt.total}
    return body


def _packed(text: str, dimensions: int) -> bytes:
    """A vector of length 1 from a hash of the text, as little-endian float32. A shorter one begins like a longer."""
    digest = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(4 * dimensions)
    values = [number / 2**31 - 1 for number in struct.unpack(f"<{dimensions}I", digest)]
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    return struct.pack(f"<{dimensions}f", *(value / length for value in values))


def _written(vector: bytes, *, packed: bool) -> str | list[float]:
    if packed:
        return base64.b64encode(vector).decode()
    return list(struct.unpack(f"<{len(vector) // 4}f", vector))


def frames(reply: Reply) -> Iterator[Frame]:
    """None: a request for embeddings is never streamed."""
    return iter(())
