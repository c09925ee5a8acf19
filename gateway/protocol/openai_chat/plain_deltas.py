"""Which bytes of a chat stream are nothing but more text of what has begun.

The events of one stream differ in little but their text. So the bytes around the text of one plain delta are
remembered, and an event with the same bytes around another text is a plain delta too.
"""

from __future__ import annotations

from gateway.protocol.glance import Seen

# What an event that has to be read may have in it. In the text of an answer quotation marks are escaped, so none of
# these is found there.
_UNUSUAL = (
    b'"finish_reason":"',
    b'"finish_reason": "',
    b'"usage":{',
    b'"usage": {',
    b'"error"',
)
_TEXTS = (b'"content":"', b'"arguments":"', b'"reasoning_content":"', b'"reasoning":"')
_PADDING = b'"obfuscation":"'
_LONGEST = 2048
_MOST_LESSONS = 8  # where all events differ, remembering them is of no use


class PlainDeltas:
    """Asked about whole events of one stream, in their order; those that it does not know may be asked about again."""

    __slots__ = ("_head", "_lessons", "_middle", "_seam", "_seen", "_skip", "_stop", "_tail")

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._head = self._middle = self._tail = self._seam = b""
        self._skip = self._stop = 0
        self._lessons = 0

    def __call__(self, chunk: bytes) -> bool:
        if self._head and chunk.startswith(self._head) and chunk.endswith(self._tail):
            text = chunk[self._skip : self._stop]
            if self._middle:
                text, found, padding = text.partition(self._middle)
                if found and b'"' not in text and b'"' not in padding:
                    return not text.endswith(b"\\")
            elif b'"' not in text:
                return not text.endswith(b"\\")
            elif (seams := chunk.count(self._seam)) and chunk.count(b"\n") == 2 * seams + 2:
                return True
        return self._is_usual(chunk)

    def _is_usual(self, chunk: bytes) -> bool:
        lines = chunk.count(b"\n")
        if not (chunk.startswith(b"data: {") and chunk.endswith(b"}\n\n")) or b"\r" in chunk:
            return False
        if lines != 2 and 2 * chunk.count(b"}\n\ndata: {") + 2 != lines:
            return False
        for word in _UNUSUAL:
            if word in chunk:
                return False
        # An event without choices is a vendor's own.
        if 2 * chunk.count(b'"choices"') != lines:
            return False
        if b'"tool_calls"' in chunk and not self._seen.calls:
            return False  # read once: how an answer with calls has finished is told by there being calls
        if self._lessons < _MOST_LESSONS:
            self._learn(chunk if lines == 2 else chunk[: chunk.index(b"\n\n") + 2])
        return True

    def _learn(self, event: bytes) -> None:
        """Remember the bytes around the only text of a plain delta."""
        if b"\\" in event or len(event) > _LONGEST:
            return
        self._lessons += 1
        ends = [event.find(name) + len(name) for name in _TEXTS if name in event]
        if len(ends) != 1:
            return
        start = ends[0]
        middle, found, padding = event[event.index(b'"', start) :].partition(_PADDING)
        self._head, self._middle = event[:start], middle + found
        if found:
            self._tail = padding[padding.index(b'"') :]
        else:
            self._middle, self._tail = b"", middle
        self._skip, self._stop = start, -len(self._tail)
        self._seam = self._tail + self._head
