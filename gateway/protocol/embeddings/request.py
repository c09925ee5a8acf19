"""Requests for embeddings: a body to what the gateway must know of it, and a body for the provider."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.protocol import fields
from gateway.protocol.codec import EncodedRequest
from gateway.protocol.conversation import ROUTER_FIELDS, JsonObject
from gateway.protocol.estimate import text_tokens_upper
from gateway.protocol.json_text import dump, load_request
from gateway.protocol.problem import ProtocolError, invalid

DIALECT = "openai_embeddings"
PATH = "/embeddings"
# OpenAI's limit, which most hosts share.
MOST_INPUTS = 2048
# Tokens that some models put around each input.
_PER_INPUT = 4


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """``inputs`` are texts or arrays of token numbers, one for each vector that is asked for.

    ``encoding_format`` is the caller's word, None when it left the choice to the provider.
    """

    model: str
    inputs: tuple[str | tuple[int, ...], ...] = field(repr=False)
    encoding_format: str | None = None
    dimensions: int | None = None
    user: str | None = None
    # The fields of ROUTER_FIELDS that the caller sent.
    routing: JsonObject = field(default_factory=dict)
    # The parsed body. Never stored, never logged.
    source: JsonObject = field(default_factory=dict, repr=False, compare=False)

    @property
    def characters(self) -> int:
        """Of all texts; token arrays have none."""
        return sum(len(item) for item in self.inputs if isinstance(item, str))

    @property
    def prompt_tokens_upper(self) -> int:
        """A number of tokens that the request will hardly exceed."""
        return sum(_PER_INPUT + _tokens_upper(item) for item in self.inputs)


def _tokens_upper(item: str | tuple[int, ...]) -> int:
    return text_tokens_upper(item) if isinstance(item, str) else len(item)


def decode(body: bytes) -> EmbeddingRequest:
    """Raises ProtocolError (invalid_request) for anything that is not a request for embeddings."""
    source = load_request(body)
    return EmbeddingRequest(
        model=fields.required_text(source, "model"),
        inputs=_inputs(source),
        encoding_format=fields.text(source, "encoding_format"),
        dimensions=fields.integer(source, "dimensions", least=1),
        user=fields.text(source, "user"),
        routing={name: source[name] for name in ROUTER_FIELDS if source.get(name) is not None},
        source=source,
    )


def splice(request: EmbeddingRequest, upstream_model: str) -> EncodedRequest:
    """The caller's own body with another model name and without our own fields."""
    body = {name: value for name, value in request.source.items() if name not in ROUTER_FIELDS}
    return EncodedRequest(path=PATH, body=dump({**body, "model": upstream_model}))


def _inputs(source: JsonObject) -> tuple[str | tuple[int, ...], ...]:
    value = source.get("input")
    if value is None:
        raise invalid("'input' is required.", param="input", code="missing_required_parameter")
    if isinstance(value, str):
        return (_text(value),)
    if not isinstance(value, list):
        raise _wrong("input")
    if not value:
        raise _empty("input")
    if all(isinstance(item, str) for item in value):
        return tuple(_text(item) for item in _few(value))
    if all(type(item) is int for item in value):
        return (_numbers(value, "input"),)
    return tuple(_numbers(item, f"input[{index}]") for index, item in enumerate(_few(value)))


def _few(items: list[Any]) -> list[Any]:
    if len(items) > MOST_INPUTS:
        raise invalid(f"'input' may hold {MOST_INPUTS} items at most.", param="input", code="invalid_value")
    return items


def _text(value: str) -> str:
    if not value:
        raise _empty("input")
    return value


def _numbers(value: object, name: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(item) is int and item >= 0 for item in value):
        raise _wrong(name)
    if not value:
        raise _empty(name)
    return tuple(value)


def _wrong(name: str) -> ProtocolError:
    return fields.wrong("", name, "a text, a list of texts, an array of tokens, or a list of such arrays")


def _empty(name: str) -> ProtocolError:
    return invalid(f"'{name}' must not be empty, nor hold an empty text.", param=name, code="invalid_value")
