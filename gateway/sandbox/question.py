"""What the sandbox needs to know of a request, whatever its dialect; and how it refuses one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.sandbox.tokens import Segment

Json = Mapping[str, Any]


class Refused(Exception):
    """The request can't be answered. The dialect renders it in its own shape."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Tool:
    """A custom tool takes free text and has an empty schema. A namespace is not part of the name."""

    name: str
    schema: Json
    custom: bool = False
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """`results` are the tool results since the model last spoke; `schema` is set where JSON is asked for.

    `thoughts` says whether the text of the reasoning is shown, `sealed` whether it comes along in sealed form.
    `texts`, `dimensions` and `packed` (base64) are of a request for embeddings.
    """

    model: str
    text: str
    images: int
    results: tuple[str, ...]
    segments: tuple[Segment, ...]
    tools: tuple[Tool, ...] = ()
    may_call: bool = True
    forced: str | None = None
    parallel: bool = True
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    schema: Json | None = field(default=None, repr=False)
    choices: int = 1
    reasoning: bool = True
    stream: bool = False
    stream_usage: bool = True
    thoughts: bool = True
    sealed: bool = False
    texts: tuple[str, ...] = field(default=(), repr=False)
    dimensions: int = 0
    packed: bool = False


def whole_number(body: Json, name: str, *, least: int = 1, most: int = 10_000_000) -> int | None:
    """An optional whole number of the body. Raises Refused."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Refused(
            400, f"Invalid '{name}': expected a whole number from {least} to {most}.", code="invalid_value", param=name
        )
    return value


def check_temperature(body: Json, most: int) -> None:
    value = body.get("temperature")
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise Refused(
            400,
            f"Invalid 'temperature': expected a number from 0 to {most}.",
            code="invalid_value",
            param="temperature",
        )
