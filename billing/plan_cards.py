"""The plans side by side, and what the reader's organization may do about each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from billing.models.plans import Plan, Subscription
from billing.plans.terms import Terms

# planned: chosen to follow; keep: the running one, while another is chosen to follow
Step = Literal["buy", "current", "keep", "upgrade", "later", "planned", "none"]


@dataclass(frozen=True, slots=True)
class Card:
    """`terms` are those it was sold with where it is the running one. `models`: maker and patterns."""

    plan: Plan
    terms: Terms
    step: Step
    models: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def is_current(self) -> bool:
        return self.step in ("current", "keep")


def plans_on_sale() -> list[Plan]:
    return list(Plan.objects.filter(is_sold=True).order_by("rank", "pk"))


def cards(plans: Sequence[Plan], subscription: Subscription | None) -> list[Card]:
    """The plans on sale, and the running one even where it is not on sale any more."""
    shown = list(plans)
    if subscription is not None and subscription.plan not in shown:
        shown = sorted([*shown, subscription.plan], key=lambda plan: plan.rank)
    return [_card(plan, subscription) for plan in shown]


def step_for(plan: Plan, subscription: Subscription | None) -> Step:
    if subscription is None:
        return "buy" if plan.is_sold else "none"
    if plan.pk == subscription.plan_id:
        return "keep" if subscription.next_plan_id else "current"
    if not plan.is_sold:
        return "none"
    if plan.rank > Terms.stored(subscription.terms).rank:
        return "upgrade"
    return "planned" if plan.pk == subscription.next_plan_id else "later"


def _card(plan: Plan, subscription: Subscription | None) -> Card:
    step = step_for(plan, subscription)
    is_current = subscription is not None and step in ("current", "keep")
    terms = Terms.stored(subscription.terms) if subscription is not None and is_current else Terms.of(plan)
    return Card(plan, terms, step, _by_maker(terms.covered_models))


def _by_maker(patterns: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Patterns by what stands before the slash; one that covers all of a maker has no pattern beside it."""
    makers: dict[str, list[str]] = {}
    for pattern in patterns:
        maker, slash, rest = pattern.partition("/")
        makers.setdefault(maker if slash else "*", []).extend([rest] if slash and rest != "*" else [])
    return tuple((maker, tuple(rest)) for maker, rest in makers.items())
