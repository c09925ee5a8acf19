"""What a project cares about: latency, cost and quality, as weights of which only the proportions count."""

from __future__ import annotations

from typing import NamedTuple


class Weights(NamedTuple):
    """Each at least 0, not all 0. Multiplying all three by one number changes nothing."""

    latency: float
    cost: float
    quality: float

    def shares(self) -> Weights:
        """The same proportions with a sum of 1; equal parts where all are 0."""
        total = self.latency + self.cost + self.quality
        if total <= 0:
            return Weights(1 / 3, 1 / 3, 1 / 3)
        return Weights(self.latency / total, self.cost / total, self.quality / total)


BALANCED = Weights(0.35, 0.35, 0.3)
PRESETS: dict[str, Weights] = {
    "balanced": BALANCED,
    "cheapest": Weights(0.1, 0.85, 0.05),
    "fastest": Weights(0.85, 0.1, 0.05),
    "best": Weights(0.1, 0.05, 0.85),
}
