"""What a request used, in disjoint buckets that are each priced on their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Whole, non-negative counts that never overlap, so a cost is one weighted sum.

    Tokens, except `web_search` (searches the upstream ran) and `request` (1 for a request that was made).
    Raises ValueError for anything but a non-negative int.
    """

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

    def __post_init__(self) -> None:
        for name in BUCKETS:
            count = getattr(self, name)
            if type(count) is not int or count < 0:
                raise ValueError(f"usage bucket {name} must be a whole number, zero or more")

    @property
    def prompt_size(self) -> int:
        """All prompt tokens, cached ones included: what length steps of a price card look at."""
        return (
            self.input
            + self.input_audio
            + self.cache_read
            + self.cache_read_audio
            + self.cache_write
            + self.cache_write_long
        )

    @property
    def output_size(self) -> int:
        """All generated tokens, hidden reasoning included."""
        return self.output + self.reasoning + self.output_audio + self.output_image

    def as_dict(self) -> dict[str, int]:
        """The buckets that are not zero."""
        return {name: getattr(self, name) for name in BUCKETS if getattr(self, name)}

    @classmethod
    def from_dict(cls, counts: Mapping[str, int]) -> TokenUsage:
        """The inverse of `as_dict`. An absent bucket is zero, `request` too. Raises ValueError on unknown names."""
        unknown = set(counts) - set(BUCKETS)
        if unknown:
            raise ValueError(f"unknown usage buckets: {', '.join(sorted(unknown))}")
        return cls(**{"request": 0, **counts})


BUCKETS: tuple[str, ...] = tuple(field.name for field in fields(TokenUsage))
