"""What a caller reads when money is the reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from accounts.caller import Caller
from billing.reservation import Shortage
from gateway.errors import NoCredit

_WINDOWS = {
    "five_hours": "5-hour window",
    "seven_days": "7-day window",
    "period": "period",
}


def no_credit(public_url: str, shortages: Sequence[Shortage], needed_nanos: int, caller: Caller) -> NoCredit:
    """402: the scope, the window, when it resets, and what would help."""
    shortage = shortages[-1]
    top_up = f"{public_url}/wallet"
    if shortage.scope == "wallet":
        top_up += f"?need={max(1, needed_nanos - shortage.available_nanos)}"  # nano-USD
    details: dict[str, object] = {"scope": shortage.scope, "top_up_url": top_up}
    if shortage.window:
        details["window"] = shortage.window
    if shortage.resets_at is not None:
        details["resets_at"] = shortage.resets_at.isoformat()
    if shortage.scope == "wallet":
        text = (
            f"Not enough credit: this request needs ${_usd(needed_nanos)} and ${_usd(shortage.available_nanos)} is"
            f" available (${_usd(shortage.held_nanos)} is held by running requests). Nothing was charged. Add credit"
            f" at {top_up}"
        )
        return NoCredit(text, details=details)
    details["limit_usd"] = _usd(shortage.limit_nanos or 0)
    text = (
        f"{_what(shortage)}: ${_usd(shortage.available_nanos)} of ${_usd(shortage.limit_nanos or 0)} is left, this"
        f" request needs ${_usd(needed_nanos)}.{_resets(shortage.resets_at)} Nothing was charged."
        f" {_help(shortage, caller, public_url)}"
    )
    return NoCredit(text, code=_CODES.get(shortage.scope, "insufficient_credits"), details=details)


def _what(shortage: Shortage) -> str:
    if shortage.scope == "plan":
        return f"The plan's allowance for this {_WINDOWS.get(shortage.window, shortage.window)} is used up"
    if shortage.scope == "overflow":
        return "The monthly cap for spending beyond the plan is reached"
    whose = "This API key's" if shortage.scope == "key_budget" else "This project's"
    per = "" if shortage.window == "total" else f" per {shortage.window}"
    return f"{whose} budget{per} is used up"


def not_covered(public_url: str, model: str) -> NoCredit:
    """402: the key is for the plan only."""
    return NoCredit(
        f"This API key may spend the plan's allowance only, and the plan does not cover {model}. Choose a covered"
        f" model, or let the key use the wallet: {public_url}/keys",
        code="model_not_covered",
        details={"scope": "plan"},
    )


_CODES = {
    "plan": "plan_allowance_exhausted",
    "overflow": "overflow_cap_reached",
    "key_budget": "key_budget_exhausted",
    "project_budget": "project_budget_exhausted",
}


def _help(shortage: Shortage, caller: Caller, public_url: str) -> str:
    if shortage.scope == "plan":
        if caller.funding == "plan_only":
            return f"Wait for the reset, take a larger plan at {public_url}/plans, or let the key use the wallet."
        return f"Wait for the reset, take a larger plan, or switch on spending from the wallet: {public_url}/plans"
    if shortage.scope == "overflow":
        return f"Raise the cap at {public_url}/plans"
    return f"Raise the budget at {public_url}/keys"


def _resets(at: datetime | None) -> str:
    return "" if at is None else f" It resets at {at:%Y-%m-%d %H:%M} UTC."


def _usd(nanos: int) -> str:
    return f"{max(nanos, 0) / 1e9:.6f}"
