"""Cheap reading where caller and provider speak the same dialect: bytes are passed on and only watched.

A glance never decides differently from the codec of its dialect: where it is not sure it says so, and the codec does
the work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gateway.protocol.codec import NO_TARGET, Codec, EncodedRequest, Passed, Target
from gateway.protocol.conversation import NOTHING, JsonObject, ToolCall
from gateway.protocol.estimate import likely_tokens
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
from gateway.protocol.sse import is_nonsense

_KEPT_BYTES = 8 * 1024 * 1024
_MOST_APART = 8  # events that are looked at one by one
_LINE_END = ord("\n")
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
    images: int = 0


@dataclass(slots=True)
class Seen:
    """What an answer says of itself. `text_tokens` is an estimate, made only where there is no usage; `own_costs`: the
    provider says beside the usage what it takes."""

    usage: UsageReport | None = None
    service_tier: str = ""
    finish_reason: str = ""
    content: bool = False
    complete: bool = False
    text_tokens: float = 0.0
    own_costs: bool = field(default=False, compare=False)
    calls: bool = field(default=False, compare=False)  # of a stream: a tool call has begun


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
            seen.text_tokens += likely_tokens(text) if isinstance(text, str) else 0
    return seen


class StreamWatch:
    """Watches one stream: bytes in, and out what the caller may see now.

    `is_plain` says of whole events that they are nothing but deltas of what has begun; such a chunk, or the part of a
    chunk between its first content and what ends the answer, passes unread. Everything else goes through the dialect's
    decoder. What comes from the finish on is kept back in `held`.
    `malformed` says that something came which is no event: a stream that ends without its finish was then not cut.
    """

    __slots__ = (
        "_at_border",
        "_codec",
        "_decoder",
        "_is_plain",
        "_kept",
        "_kept_bytes",
        "_lost_bytes",
        "done",
        "failure",
        "held",
        "malformed",
        "seen",
    )

    def __init__(self, codec: Codec, is_plain: Callable[[bytes], bool], seen: Seen, *, include_usage: bool) -> None:
        self._codec = codec
        self._decoder = codec.stream_decoder(include_usage=include_usage)
        self._is_plain = is_plain
        self._at_border = True
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._lost_bytes = 0
        self.seen = seen
        self.failure: UpstreamFailure | None = None
        self.held = b""
        self.malformed = False
        self.done = False  # the terminal event was seen: nothing follows

    def feed(self, chunk: bytes) -> bytes:
        """What may go out now."""
        self._kept_bytes += len(chunk)
        if self._kept_bytes <= _KEPT_BYTES:
            self._kept.append(chunk)
        else:
            self._lost_bytes += len(chunk)
        seen = self.seen
        if self._at_border and seen.content and not seen.complete and chunk.endswith(b"\n\n") and self._is_plain(chunk):
            return chunk
        if seen.complete or self._is_plain is never or b"\r" in chunk:
            return self._decode(chunk)
        return self._feed_apart(chunk)

    def _feed_apart(self, chunk: bytes) -> bytes:
        """Read what comes up to the first content, event by event, and what follows the last of the plain deltas."""
        seen, out, start = self.seen, [], 0
        for _ in range(_MOST_APART):
            if self._at_border and seen.content:
                break
            end = chunk.find(b"\n\n", start) + 2
            if end < 2:
                break
            out.append(self._decode(chunk[start:end]))
            start = end
            if self.failure is not None:
                return b"".join(out)
            if seen.complete or self.done:
                break
        if self._at_border and seen.content and not seen.complete:
            end = self._plain_until(chunk, start)
            out.append(chunk[start:end])
            start = end
        if start < len(chunk):
            out.append(self._decode(chunk[start:]))
        return b"".join(out)

    def _plain_until(self, chunk: bytes, start: int) -> int:
        """Where the plain deltas end, of which the last events of the chunk may be none."""
        end = chunk.rfind(b"\n\n", start) + 2
        for _ in range(_MOST_APART):
            if end < start + 2:
                break
            if self._is_plain(chunk[start:end]):
                return end
            end = chunk.rfind(b"\n\n", start, end - 2) + 2
        return start

    def _decode(self, piece: bytes) -> bytes:
        # A third line end belongs to the event after it, which the decoder keeps until that has come.
        self._at_border = piece.endswith(b"\n\n") and len(piece) > 2 and piece[-3] != _LINE_END
        return self._read(self._decoder.feed(piece))

    def end(self) -> bytes:
        """The provider closed."""
        return self._read(self._decoder.end())

    def text_tokens(self) -> float:
        """The likely number of tokens delivered so far. All is read again: a decoder that has missed what passed
        unread would count it once more where the dialect repeats a text at its end."""
        again = self._codec.stream_decoder()
        passed = [one for chunk in self._kept for one in again.feed(chunk)] + again.end()
        read = sum(_tokens_in(event) for one in passed for event in one.events)
        return read + self._lost_bytes / _BYTES_PER_TOKEN

    def _read(self, passed: list[Passed]) -> bytes:
        was_complete = self.seen.complete or self.done
        finish_at = 0
        out: list[bytes] = []
        for one in passed:
            if one.events and self._note(one.events):
                finish_at = len(out)
            if self.failure is not None:
                self.seen.complete = False
                break
            if one.forward:
                out.append(one.raw)
            elif not one.events:
                self.malformed = self.malformed or is_nonsense(one.raw)
        else:
            self.seen.complete = self._decoder.complete
        is_over = self.failure is None and (self.seen.complete or self.done)
        if not (is_over or was_complete):
            return b"".join(out)
        held_from = 0 if was_complete else finish_at
        self.held += b"".join(out[held_from:])
        return b"".join(out[:held_from])

    def _note(self, events: tuple[StreamEvent, ...]) -> bool:
        """Whether a finish is among them."""
        seen, finished = self.seen, False
        for event in events:
            if isinstance(event, StreamError):
                self.failure = self.failure or event.failure
                self.malformed = self.malformed or event.failure.kind == "malformed"
            elif isinstance(event, UsageSeen):
                seen.usage = event.report
                seen.service_tier = event.tier or seen.service_tier
            elif isinstance(event, Finished):
                finished = True
                seen.finish_reason = seen.finish_reason or event.reason.value
            elif isinstance(event, Done):
                self.done = True
            elif event.is_content:
                seen.content = True
                seen.calls = seen.calls or isinstance(event, ToolCallDelta)
        return finished


def _tokens_in(event: StreamEvent) -> float:
    if isinstance(event, TextDelta | ReasoningDelta):
        return likely_tokens(event.text)
    if isinstance(event, ToolCallDelta):
        return likely_tokens(event.arguments or "") + likely_tokens(event.name or "")
    return 0.0


class CodecGlance:
    """A glance that asks the dialect's codec for all that its dialect has no shorter way for."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec

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
            target=Target(asked.model, asked.stream),
            quirks=quirks,
        )

    def glance_reply(self, body: bytes) -> Seen:
        return seen_in(self.codec.decode_reply(body))

    def stream_watch(self, *, include_usage: bool, choices: int) -> StreamWatch:
        # With several choices each has to be seen, or the first finish would look like the last.
        seen = Seen()
        plain = self.plain_deltas(seen) if choices == 1 else never
        return StreamWatch(self.codec, plain, seen, include_usage=include_usage)

    def plain_deltas(self, seen: Seen) -> Callable[[bytes], bool]:
        """What tells the plain deltas of one stream, of which `seen` is what was read so far."""
        return never


def never(chunk: bytes) -> bool:
    return False
