"""Server-sent events from bytes, cut anywhere, and the bytes of one event.

Every maker frames a little differently (LF, CRLF, comments, a last event without its blank line, an error as bare
JSON between events), so events keep their exact bytes and say what they hold. The same bytes give the same events
however they were cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# Two line ends in a row. A CR at the very end of what has come is no line end yet: its LF may still be under way.
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?=[^\n])){2}")
_LONGEST_BLANK_LINE = 4
_BOM = b"\xef\xbb\xbf"
_FIELDS = frozenset((b"", b"data", b"event", b"id", b"retry"))


class EventTooLarge(Exception):
    """More bytes than allowed have come without an event's end."""


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One block up to its blank line.

    ``data`` is None for a block without data (comments, blank lines); ``bare`` holds JSON that stands in the stream
    without a field name, which is how some gateways report an error.
    """

    raw: bytes = field(repr=False)
    event: str = ""
    data: bytes | None = field(default=None, repr=False)
    bare: bytes | None = field(default=None, repr=False)


class SseDecoder:
    def __init__(self, max_event_bytes: int) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._seen_cr = False
        self._at_start = True
        self._max_event_bytes = max_event_bytes

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Events that are complete with this chunk. Raises EventTooLarge; the decoder is of no use after that."""
        if not self._seen_cr and b"\r" in chunk:
            self._seen_cr = True
        self._buffer += chunk
        events: list[SseEvent] = []
        start = 0
        end = self._find_end(self._searched)
        while end >= 0:
            self._check_size(end - start)
            events.append(self._parse(bytes(self._buffer[start:end])))
            start = end
            end = self._find_end(start)
        if start:
            del self._buffer[:start]
        self._check_size(len(self._buffer))
        self._searched = max(0, len(self._buffer) - _LONGEST_BLANK_LINE)
        return events

    def end(self) -> list[SseEvent]:
        """The rest, whose blank line never came."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return [self._parse(rest)] if rest.strip(b"\r\n") else []

    def _find_end(self, start: int) -> int:
        if not self._seen_cr:
            found = self._buffer.find(b"\n\n", start)
            return found + 2 if found >= 0 else -1
        match = _BLANK_LINE.search(self._buffer, start)
        return match.end() if match else -1

    def _check_size(self, size: int) -> None:
        if size > self._max_event_bytes:
            raise EventTooLarge

    def _parse(self, raw: bytes) -> SseEvent:
        block = raw
        if self._at_start:
            self._at_start = False
            block = raw.removeprefix(_BOM)
        return _parse_block(raw, block)


def _parse_block(raw: bytes, block: bytes) -> SseEvent:
    event = ""
    data: list[bytes] = []
    bare: list[bytes] = []
    for line in block.splitlines():
        if bare or line[:1] in (b"{", b"["):
            bare.append(line)
            continue
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value[1:] if value[:1] == b" " else value)
        elif name == b"event":
            event = value.strip().decode("utf-8", "replace")
    return SseEvent(
        raw=raw,
        event=event,
        data=b"\n".join(data) if data else None,
        bare=b"\n".join(bare) if bare else None,
    )


def is_nonsense(raw: bytes) -> bool:
    """Whether a block without data has a line that is no field and no comment, such as those of a web page."""
    names = (line.partition(b":")[0].strip() for line in raw.removeprefix(_BOM).splitlines())
    return any(name not in _FIELDS for name in names)


def encode_event(data: bytes, event: str = "") -> bytes:
    """One event; ``data`` must be one line."""
    if event:
        return b"event: " + event.encode() + b"\ndata: " + data + b"\n\n"
    return b"data: " + data + b"\n\n"


def terminated(raw: bytes) -> bytes:
    """The bytes of a last event with the blank line that it lacks."""
    return raw.rstrip(b"\r\n") + b"\n\n"
