"""Bodies that come compressed: gzip and deflate, in bounded pieces."""

from __future__ import annotations

import zlib

MOST_OUT = 256 * 1024  # bytes per call: a small input must not become a large buffer


class Inflate:
    """Feed it compressed bytes; while `pending`, feed it b"" for more. Raises zlib.error."""

    __slots__ = ("_begun", "_kept", "_machine", "pending")

    def __init__(self, coding: str) -> None:
        # deflate means a zlib wrapper by the standard and none by old servers; its first two bytes tell.
        self._machine = zlib.decompressobj(zlib.MAX_WBITS | 16) if coding == "gzip" else None
        self._kept = b""
        self._begun = False
        self.pending = False

    @property
    def whole(self) -> bool:
        """Whether what was fed is a whole body (nothing at all is one)."""
        return not self._begun or (self._machine is not None and self._machine.eof)

    def feed(self, data: bytes) -> bytes:
        self._begun = self._begun or bool(data)
        data = self._kept + data
        if self._machine is None:
            if len(data) < 2:
                self._kept = data
                return b""
            wrapped = data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
            self._machine = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
        if self._machine.eof:  # whatever follows the end is not the body
            self._kept, self.pending = b"", False
            return b""
        out = self._machine.decompress(data, MOST_OUT)
        self._kept = self._machine.unconsumed_tail
        self.pending = len(out) >= MOST_OUT
        return out


def inflate_for(content_encoding: str) -> Inflate | None:
    """None where the bytes are passed on as they are: not encoded, or in a way that was not asked for.

    Raises ValueError for codings on top of each other, which no provider has reason to send.
    """
    codings = [
        coding for part in content_encoding.lower().split(",") if (coding := part.strip()) not in ("", "identity")
    ]
    if len(codings) > 1:
        raise ValueError("more than one content coding")
    if codings == ["gzip"]:
        return Inflate("gzip")
    return Inflate("deflate") if codings == ["deflate"] else None
