"""Who pays for a request: the plan, the wallet beyond it, or nobody."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.caller import Caller
from gateway.funding import _payer, sources_of
from gateway.slices import Payer

COVERED = ("sandbox/*",)


def caller(**facts: Any) -> Caller:
    return Caller(organization_id=7, project_id=8, api_key_id=9, requests_per_minute=None, expires_at=None, **facts)


@pytest.mark.parametrize(
    ("funding", "plan_models", "overflow", "sources"),
    [
        # Without a plan.
        ("plan_first", None, False, ("wallet",)),
        ("plan_first", None, True, ("wallet",)),
        ("wallet_only", None, False, ("wallet",)),
        ("plan_only", None, False, ()),
        # The plan covers the model.
        ("plan_first", COVERED, False, ("plan",)),
        ("plan_first", COVERED, True, ("plan", "overflow")),
        ("wallet_only", COVERED, True, ("wallet",)),
        ("plan_only", COVERED, False, ("plan",)),
        ("plan_only", COVERED, True, ("plan",)),
        # The plan covers others.
        ("plan_first", ("openai/*",), True, ("wallet",)),
        ("plan_first", ("openai/*",), False, ("wallet",)),
        ("plan_only", ("openai/*",), True, ()),
        # A plan without models covers none, although no allow-list of a key means all.
        ("plan_first", (), True, ("wallet",)),
        ("plan_only", (), False, ()),
    ],
)
def test_who_pays(funding: str, plan_models: tuple[str, ...] | None, overflow: bool, sources: tuple[str, ...]) -> None:
    asked = caller(funding=funding, plan_models=plan_models, plan_overflow=overflow)
    assert sources_of(asked, "sandbox/echo") == sources


def test_patterns_of_a_plan_do_not_mind_upper_and_lower_case() -> None:
    assert sources_of(caller(plan_models=("Sandbox/Echo",)), "sandbox/echo") == ("plan",)


def test_a_pattern_of_a_plan_covers_no_longer_name() -> None:
    assert sources_of(caller(plan_models=("sandbox/echo",)), "sandbox/echo-large") == ("wallet",)


@pytest.mark.parametrize(
    ("scope", "payer"),
    [
        ("", Payer(7, "wallet")),
        ("project", Payer(7, "wallet", 8)),
        ("key", Payer(7, "wallet", 8, 9)),
    ],
)
def test_only_who_has_a_budget_has_slices_of_its_own(scope: str, payer: Payer) -> None:
    assert _payer(caller(budget_scope=scope), "wallet") == payer
