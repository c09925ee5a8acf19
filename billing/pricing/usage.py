"""What a request used, in disjoint buckets that are each priced on their own."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import NamedTuple, Self


class _Counts(NamedTuple):
    input: int = 0
    input_audio: int = 0
    cache_read: int = 0
    cache_read_audio: int = 0
    cache_write: int = 0
    cache_write_long: int = 0
    output: int = 0
    reasoning: int = 0
    output_audio: int = 0
    output_image: int = 0
    web_search: int = 0
    request: int = 1


BUCKETS: tuple[str, ...] = _Counts._fields
_PROMPT_BUCKETS = BUCKETS.index("output")  # so many come first
_COUNT = itemgetter(1)
_TOKEN_BUCKETS = BUCKETS.index("web_search")  # prompt and output
_new = tuple.__new__


class TokenUsage(_Counts):
    """Whole, non-negative counts that never overlap, so a cost is one weighted sum.

    Tokens, except `web_search` (searches the upstream ran) and `request` (1 for a request that was made).
    Raises ValueError for anything but a non-negative int.
    """

    __slots__ = ()

    def __new__(
        cls,
        input: int = 0,
        input_audio: int = 0,
        cache_read: int = 0,
        cache_read_audio: int = 0,
        cache_write: int = 0,
        cache_write_long: int = 0,
        output: int = 0,
        reasoning: int = 0,
        output_audio: int = 0,
        output_image: int = 0,
        web_search: int = 0,
        request: int = 1,
    ) -> Self:
        counts = (
            *(input, input_audio, cache_read, cache_read_audio, cache_write, cache_write_long),
            *(output, reasoning, output_audio, output_image, web_search, request),
        )
        for count in counts:
            if type(count) is not int or count < 0:
                name = BUCKETS[counts.index(count)]
                raise ValueError(f"usage bucket {name} must be a whole number, zero or more")
        return _new(cls, counts)

    @classmethod
    def of_text(cls, input: int, cache_read: int, output: int, reasoning: int) -> Self:
        """One request of text alone. The counts are known to be whole and not negative."""
        return _new(cls, (input, 0, cache_read, 0, 0, 0, output, reasoning, 0, 0, 0, 1))

    @property
    def prompt_size(self) -> int:
        """All prompt tokens, cached ones included: what length steps of a price card look at."""
        return sum(self[:_PROMPT_BUCKETS])

    @property
    def output_size(self) -> int:
        """All generated tokens, hidden reasoning included."""
        return sum(self[_PROMPT_BUCKETS:_TOKEN_BUCKETS])

    def as_dict(self) -> dict[str, int]:
        """The buckets that are not zero."""
        return dict(filter(_COUNT, zip(BUCKETS, self, strict=True)))

    @classmethod
    def from_dict(cls, counts: Mapping[str, int]) -> TokenUsage:
        """The inverse of `as_dict`. An absent bucket is zero, `request` too. Raises ValueError on unknown names."""
        unknown = set(counts) - set(BUCKETS)
        if unknown:
            raise ValueError(f"unknown usage buckets: {', '.join(sorted(unknown))}")
        return cls(**{"request": 0, **counts})
