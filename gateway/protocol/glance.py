"""Cheap reading where caller and provider speak the same dialect: bytes are passed on and only watched.

A glance never decides differently from the codec of its dialect: where it is not sure it says so, and the codec does
the work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.protocol.codec import NO_TARGET, Codec, EncodedRequest, Passed, Target
from gateway.protocol.conversation import NOTHING, JsonObject, ToolCall
from gateway.protocol.estimate import text_tokens
from gateway.protocol.problem import UpstreamFailure
from gateway.protocol.quirks.quirks import STANDARD, Quirks
from gateway.protocol.reply import (
    Done,
    Finished,
    ReasoningDelta,
    Reply,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    UsageReport,
    UsageSeen,
)

_KEPT_BYTES = 8 * 1024 * 1024
_BYTES_PER_TOKEN = 60  # of a stream's bytes, most of which wrap the text


@dataclass(slots=True)
class Asked:
    """What admission needs of a request. `prompt_tokens` is the upper estimate for most makers' vocabularies."""

    model: str
    stream: bool
    include_usage: bool
    max_output_tokens: int | None
    choices: int
    prompt_tokens: int
    source: JsonObject
    routing: JsonObject


@dataclass(slots=True)
class Seen:
    """What an answer says of itself. `text_tokens` is an estimate, made only where there is no usage."""

    usage: UsageReport | None = None
    service_tier: str = ""
    finish_reason: str = ""
    content: bool = False
    complete: bool = False
    text_tokens: float = 0.0


class Glance(Protocol):
    """One per dialect. Pure."""

    def glance_request(self, body: bytes, target: Target = NO_TARGET) -> Asked | None:
        """None: decode it. Raises ProtocolError for what is no JSON object."""

    def splice(
        self,
        body: bytes,
        asked: Asked,
        *,
        upstream_model: str,
        max_output_tokens: int | None,
        quirks: Quirks = STANDARD,
        client_headers: Mapping[str, str] = NOTHING,
    ) -> EncodedRequest:
        """As the codec's `splice_request`. Raises ProtocolError."""

    def glance_reply(self, body: bytes) -> Seen:
        """Raises ProtocolError where the codec's `decode_reply` does."""

    def stream_watch(self, *, include_usage: bool, choices: int) -> StreamWatch: ...


def seen_in(reply: Reply) -> Seen:
    """A decoded reply's facts."""
    parts = [part for choice in reply.choices for part in choice.parts]
    seen = Seen(
        usage=reply.usage,
        service_tier=reply.service_tier or "",
        finish_reason=next((choice.finish.value for choice in reply.choices if choice.finish), ""),
        content=bool(parts),
        complete=True,
    )
    if reply.usage is None:
        for part in parts:
            text = part.arguments if isinstance(part, ToolCall) else getattr(part, "text", None)
            seen.text_tokens += text_tokens(text) if isinstance(text, str) else 0
    return seen


class StreamWatch:
    """Watches one stream: bytes in, and out what the caller may see now.

    `is_plain` says of a chunk of whole events that it is nothing but deltas of what has begun; such a chunk passes
    unread. Everything else goes through the dialect's decoder. What comes from the finish on is kept back in `held`.
    """

    __slots__ = (
        "_at_border",
        "_codec",
        "_decoder",
        "_include_usage",
        "_is_plain",
        "_kept",
        "_kept_bytes",
        "_lost_bytes",
        "_tokens",
        "done",
        "failure",
        "held",
        "malformed",
        "seen",
    )

    def __init__(self, codec: Codec, is_plain: Callable[[bytes], bool], *, include_usage: bool) -> None:
        self._codec = codec
        self._include_usage = include_usage
        self._decoder = codec.stream_decoder(include_usage=include_usage)
        self._is_plain = is_plain
        self._at_border = True
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._lost_bytes = 0
        self._tokens = 0.0
        self.seen = Seen()
        self.failure: UpstreamFailure | None = None
        self.held = b""
        self.malformed = False
        self.done = False  # the terminal event was seen: nothing follows

    def feed(self, chunk: bytes) -> bytes:
        """What may go out now."""
        whole = chunk.endswith(b"\n\n")
        if whole and self._at_border and self.seen.content and not self.seen.complete and self._is_plain(chunk):
            self._keep(chunk)
            return chunk
        self._at_border = whole
        return self._read(self._decoder.feed(chunk))

    def end(self) -> bytes:
        """The provider closed."""
        return self._read(self._decoder.end())

    def text_tokens(self) -> float:
        """The likely number of tokens delivered so far."""
        again = self._codec.stream_decoder(include_usage=self._include_usage)
        unread = sum(
            _tokens_in(event) for chunk in self._kept for passed in again.feed(chunk) for event in passed.events
        )
        return self._tokens + unread + self._lost_bytes / _BYTES_PER_TOKEN

    def _keep(self, chunk: bytes) -> None:
        self._kept_bytes += len(chunk)
        if self._kept_bytes <= _KEPT_BYTES:
            self._kept.append(chunk)
        else:
            self._lost_bytes += len(chunk)

    def _read(self, passed: list[Passed]) -> bytes:
        out = b""
        for one in passed:
            for event in one.events:
                self._note(event)
            if self.failure is not None:
                self.seen.complete = False
                return out
            self.seen.complete = self._decoder.complete
            if not one.forward:
                continue
            if self.seen.complete or self.done:
                self.held += one.raw
            else:
                out += one.raw
        self.seen.complete = self._decoder.complete
        return out

    def _note(self, event: StreamEvent) -> None:
        seen = self.seen
        if isinstance(event, StreamError):
            self.failure = self.failure or event.failure
        elif isinstance(event, UsageSeen):
            seen.usage = event.report
            seen.service_tier = event.tier or seen.service_tier
        elif isinstance(event, Finished):
            seen.finish_reason = seen.finish_reason or event.reason.value
        elif isinstance(event, Done):
            self.done = True
        else:
            self._tokens += _tokens_in(event)
        seen.content = seen.content or event.is_content


def _tokens_in(event: StreamEvent) -> float:
    if isinstance(event, TextDelta | ReasoningDelta):
        return text_tokens(event.text)
    if isinstance(event, ToolCallDelta):
        return text_tokens(event.arguments or "") + text_tokens(event.name or "")
    return 0.0


class CodecGlance:
    """A glance that asks the dialect's codec, except for the deltas of streams."""

    def __init__(self, codec: Codec, unusual: tuple[bytes, ...]) -> None:
        """`unusual`: what a chunk of plain deltas can't have in it, but in the text of an answer by chance."""
        self.codec = codec
        self._unusual = unusual

    def glance_request(self, body: bytes, target: Target = NO_TARGET) -> Asked | None:
        return None

    def splice(
        self,
        body: bytes,
        asked: Asked,
        *,
        upstream_model: str,
        max_output_tokens: int | None,
        quirks: Quirks = STANDARD,
        client_headers: Mapping[str, str] = NOTHING,
    ) -> EncodedRequest:
        return self.codec.splice_request(
            body,
            upstream_model=upstream_model,
            max_output_tokens=max_output_tokens,
            client_headers=client_headers,
            parsed=asked.source,
            quirks=quirks,
        )

    def glance_reply(self, body: bytes) -> Seen:
        return seen_in(self.codec.decode_reply(body))

    def stream_watch(self, *, include_usage: bool, choices: int) -> StreamWatch:
        # With several choices each has to be seen, or the first finish would look like the last.
        plain = self._is_plain if choices == 1 else _never
        return StreamWatch(self.codec, plain, include_usage=include_usage)

    def _is_plain(self, chunk: bytes) -> bool:
        return chunk[:1] != b":" and not any(word in chunk for word in self._unusual)


def _never(chunk: bytes) -> bool:
    return False
