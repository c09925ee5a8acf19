"""A name and a time to an ordered route plan, over the process's snapshot of the catalogue."""

from __future__ import annotations

from routing.policy.plan import NoDeployment, Refusal, RoutePlan, RouteStep, UnknownModel, plan

__all__ = ["NoDeployment", "Refusal", "RoutePlan", "RouteStep", "UnknownModel", "plan"]
