"""What a codec of one dialect can do, and the small values that go in and come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.protocol.conversation import NOTHING, Conversation, JsonObject
from gateway.protocol.problem import Problem, UpstreamFailure
from gateway.protocol.quirks.quirks import STANDARD, Quirks
from gateway.protocol.reply import Reply, StreamEvent

# One event can hold a whole instruction text or an image; beyond this the stream counts as broken.
MAX_EVENT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """What the path of a request says of it, in dialects whose body does not (Gemini). None: the body says it."""

    model: str | None = None
    stream: bool | None = None


NO_TARGET = Target()


@dataclass(frozen=True, slots=True)
class EncodedRequest:
    """A request for an upstream. ``path`` is relative to the base URL of the dialect and may hold a query.

    ``headers`` are those the dialect needs beside content type and credentials; ``dropped`` names fields of the
    caller's request that this dialect cannot carry, in the caller's words.
    """

    path: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplyContext:
    """What an encoder of replies needs and cannot know: ids, time and the caller's wishes.

    ``created`` is in Unix seconds; ``model`` is the public id; ``extra_usage`` is added to the usage object as it is;
    ``input_tokens`` is an estimate for dialects that must report input before the upstream has.
    ``conversation`` is the caller's request: names of its tools get their own form back (namespaces, custom tools),
    and some dialects repeat it in their answer. ``begun``: the caller has had the beginning of the stream, as its
    provider wrote it.
    """

    response_id: str
    created: int
    model: str
    include_usage: bool = True
    extra_usage: Mapping[str, Any] = field(default_factory=dict)
    input_tokens: int = 0
    conversation: Conversation | None = field(default=None, repr=False)
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Passed:
    """One event of an upstream stream: its exact bytes, what it means, and whether a caller who speaks the same
    dialect may see those bytes."""

    raw: bytes = field(repr=False)
    events: tuple[StreamEvent, ...] = ()
    forward: bool = True


class StreamDecoder(Protocol):
    """Bytes in, events out. Never raises; a stream that cannot be read gives a StreamError."""

    @property
    def complete(self) -> bool:
        """Whether the dialect's terminal event, or every choice's finish, was seen."""

    def feed(self, chunk: bytes) -> list[Passed]: ...

    def end(self) -> list[Passed]:
        """The upstream closed. Gives a last unterminated event and, where the upstream finished without it, the
        terminal bytes that a caller of the same dialect expects."""


class StreamEncoder(Protocol):
    """Events in, bytes out. ``Done`` encodes to nothing: the caller of ``end`` decides when the stream closes."""

    def encode(self, event: StreamEvent) -> bytes: ...

    def end(self) -> bytes:
        """The terminal events, with usage if it was seen and is wanted. Nothing after ``problem``."""

    def problem(self, problem: Problem) -> bytes:
        """An error inside the stream; ends it."""

    def keep_alive(self) -> bytes: ...


class ClientCodec(Protocol):
    """What serving callers of a dialect takes. All methods are pure. Only ProtocolError is raised, and only by
    decode_request."""

    @property
    def dialect(self) -> str: ...

    def decode_request(self, body: bytes, target: Target = NO_TARGET) -> Conversation: ...

    def encode_reply(self, reply: Reply, context: ReplyContext) -> bytes: ...

    def stream_encoder(self, context: ReplyContext) -> StreamEncoder: ...

    def encode_problem(self, problem: Problem, request_id: str) -> bytes: ...


class Codec(ClientCodec, Protocol):
    """Both sides of a dialect: callers and providers. All methods are pure. Only ProtocolError is raised, and only by
    the decode and splice methods."""

    def encode_request(
        self,
        conversation: Conversation,
        *,
        upstream_model: str,
        max_output_tokens: int | None,
        quirks: Quirks = STANDARD,
    ) -> EncodedRequest:
        """``max_output_tokens`` is the limit to send; None keeps the conversation's own. ``quirks`` are the host's."""

    def splice_request(
        self,
        body: bytes,
        *,
        upstream_model: str,
        max_output_tokens: int | None,
        client_headers: Mapping[str, str] = NOTHING,
        parsed: JsonObject = NOTHING,
        target: Target = NO_TARGET,
        quirks: Quirks = STANDARD,
    ) -> EncodedRequest:
        """The same request for an upstream of this dialect: only the model, our own fields (``ROUTER_FIELDS``, sealed
        signatures), the wish for stream usage, a lowered output limit and what the host is known to refuse change.
        ``client_headers`` (lower-case names) are filtered to those the dialect passes on; ``parsed`` saves the
        parsing (``Conversation.source``)."""

    def decode_reply(self, body: bytes) -> Reply:
        """A 200 body. Raises ProtocolError of kind upstream when it is not a reply of this dialect."""

    def stream_decoder(self, *, include_usage: bool = True, max_event_bytes: int = MAX_EVENT_BYTES) -> StreamDecoder:
        """``include_usage``: whether a caller of the same dialect asked to see usage in the stream."""

    def decode_failure(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamFailure: ...
