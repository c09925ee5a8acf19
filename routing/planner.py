"""Requests and names to ordered route plans, over the process's snapshot of the catalogue."""

from __future__ import annotations

from routing.policy.decide import Asking, Group, Prices, adjusted, decide, resolve
from routing.policy.plan import NoDeployment, Refusal, RoutePlan, RouteStep, UnknownModel, plan

__all__ = [
    "Asking",
    "Group",
    "NoDeployment",
    "Prices",
    "Refusal",
    "RoutePlan",
    "RouteStep",
    "UnknownModel",
    "adjusted",
    "decide",
    "plan",
    "resolve",
]
