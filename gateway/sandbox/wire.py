"""What a dialect must be able to do for the sandbox. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from gateway.sandbox.answers import Reply
from gateway.sandbox.question import Json, Question, Refused


@dataclass(frozen=True, slots=True)
class Frame:
    """One event of a stream, ready to send. `content` is true where text, reasoning or arguments are inside."""

    data: bytes
    content: bool = False


class Wire(Protocol):
    """A module per dialect: `openai_wire`, `responses_wire`, `anthropic_wire`, `gemini_wire`, `embeddings_wire`."""

    NAME: str

    def read(self, body: Json) -> Question:
        """Raises Refused, as the vendor would."""

    def fault(self, status: int, question: Question, retry_after: int | None) -> Refused:
        """What the vendor says with this status."""

    def unknown_model(self, model: str) -> Refused:
        """What the vendor says to a model that it does not have."""

    def no_key(self) -> Refused:
        """What the vendor says where no key was sent."""

    def problem(self, refused: Refused, seed: str) -> dict[str, Any]:
        """The body of an error."""

    def whole(self, reply: Reply) -> dict[str, Any]:
        """The body of an answer that is not streamed."""

    def frames(self, reply: Reply) -> Iterator[Frame]:
        """The answer as a stream."""

    def error_frame(self, reply: Reply, sent: int) -> Frame:
        """An error in the middle of a stream, after `sent` frames."""

    def broken_frame(self) -> Frame:
        """An event that is no JSON."""

    def headers(self, seed: str) -> Mapping[str, str]:
        """The vendor's own headers on every answer."""


def sse(data: Json, event: str | None = None) -> bytes:
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + orjson.dumps(data) + b"\n\n"


def as_text(value: object) -> str:
    """JSON of anything that came in, for counting and comparing."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
