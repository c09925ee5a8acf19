"""Markups: the factor on list prices that a request pays, from dated rules of four widths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

GLOBAL, PROVIDER, MODEL, ORGANIZATION = "global", "provider", "model", "organization"
# The name of a provider or a model, the id of an organization; None for the global scope.
Target = str | int | None


@dataclass(frozen=True, slots=True)
class Markup:
    """One rule. `valid_from` and `valid_until` are aware and half open, None for open."""

    id: int
    scope: str
    target: Target
    factor: Decimal
    valid_from: datetime
    valid_until: datetime | None = None

    def in_force(self, at: datetime) -> bool:
        return self.valid_from <= at and (self.valid_until is None or at < self.valid_until)


@dataclass(frozen=True, slots=True)
class Markups:
    """All rules by what they are for, and the factor where none is in force."""

    otherwise: Decimal = Decimal(1)
    rules: Mapping[tuple[str, Target], tuple[Markup, ...]] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, rules: Iterable[Markup], *, otherwise: Decimal) -> Markups:
        by_target: dict[tuple[str, Target], list[Markup]] = defaultdict(list)
        for rule in rules:
            by_target[rule.scope, rule.target].append(rule)
        return cls(otherwise, {key: tuple(found) for key, found in by_target.items()})

    def factor(self, *, at: datetime, provider: str, model: str, organization_id: int | None = None) -> Decimal:
        """The factor of the most specific rule in force: organization, model, provider, global, `otherwise`.

        Of two rules for the same target the one that began last counts, then the one that was made last, so that a
        dated rule can stand in for a lasting one. Without an organization it is the factor that everybody sees.
        """
        if not self.rules:
            return self.otherwise
        widening = ((ORGANIZATION, organization_id), (MODEL, model), (PROVIDER, provider), (GLOBAL, None))
        for key in widening:
            live = [rule for rule in self.rules.get(key, ()) if rule.in_force(at)]
            if live:
                return max(live, key=_newest).factor
        return self.otherwise


def _newest(rule: Markup) -> tuple[datetime, int]:
    return (rule.valid_from, rule.id)
