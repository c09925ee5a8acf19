"""What was sold: a plan's columns as they were on the day. A subscription keeps them; later edits change nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from billing.models.plans import Plan

GRACE = timedelta(days=3)  # from the end of a period whose renewal could not be paid


@dataclass(frozen=True, slots=True)
class Terms:
    """Amounts in nano-USD, allowances at list price. `covered_models` are patterns for `model_limits.allows`."""

    slug: str
    name: str
    rank: int
    price_nanos: int
    period_days: int
    covered_models: tuple[str, ...]
    five_hours_nanos: int
    seven_days_nanos: int
    period_nanos: int

    @classmethod
    def of(cls, plan: Plan) -> Terms:
        """Of the plan as it is now."""
        return cls(
            slug=plan.slug,
            name=plan.name,
            rank=plan.rank,
            price_nanos=plan.price_nanos,
            period_days=plan.period_days,
            covered_models=tuple(plan.covered_models),
            five_hours_nanos=plan.five_hours_nanos,
            seven_days_nanos=plan.seven_days_nanos,
            period_nanos=plan.period_nanos,
        )

    @classmethod
    def stored(cls, terms: dict[str, Any]) -> Terms:
        """As a subscription has them."""
        values = {name: terms[name] for name in cls.__slots__}
        return cls(**values | {"covered_models": tuple(terms["covered_models"])})

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"covered_models": list(self.covered_models)}

    @property
    def period(self) -> timedelta:
        return timedelta(days=self.period_days)
