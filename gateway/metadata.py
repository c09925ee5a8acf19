"""What an answer tells of its own routing, where the request asked: who was weighed, who was left out, who was tried.

`openrouter_metadata` has OpenRouter's shape; `router_metadata` has it too, and our own reasons beside it. Names and
numbers alone: nothing of a request's text, and no money but what the caller itself would pay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from billing.pricing.money import NANOS_PER_USD
from gateway.exchange import Exchange
from gateway.protocol.metadata import in_body, in_stream
from observability.records import AttemptRecord
from routing.catalogue import DeploymentInfo
from routing.planner import Refusal, RoutePlan
from routing.policy.auto import is_auto

OURS: Final = b"x-router-metadata"
THEIRS: Final = b"x-openrouter-metadata"
THEIR_OLD: Final = b"x-openrouter-experimental-metadata"
_ENABLED: Final = b"enabled"
_LONGEST_NAME: Final = 160
_MOST_REFUSED: Final = 50
_STOPPED_BY_US, _NO_ANSWER, _TOO_LATE = 499, 502, 504
_TIMEOUTS: Final = frozenset(("connect_timeout", "first_byte_timeout", "first_token_timeout", "deadline", "stalled"))
_STOPPED: Final = frozenset(("hedged", "client_left"))
_TIMED: Final = ("reason", "dialect", "started_ms", "first_token_ms", "duration_ms")  # of an attempt, beside the rest
# Of a candidate in the trace of a decision, all but its ids and its cost.
_WEIGHED: Final = ("loss", "latency", "cost", "quality", "tier", "seconds", "first_token_s", "tokens_per_s",
                   "error_rate", "samples", "timed")  # fmt: skip


class Facts(NamedTuple):
    """What is known of one request's routing at its end. Without a plan nobody was left: `refusals` say why.

    `skipped`: ids of deployments that were passed over at the last moment, and the reason. `answered`: None where
    nothing came of it.
    """

    requested: str
    plan: RoutePlan | None = None
    refusals: tuple[Refusal, ...] = ()
    attempts: Sequence[AttemptRecord] = ()
    skipped: Sequence[tuple[int, str]] = ()
    answered: DeploymentInfo | None = None
    dropped: Sequence[str] = ()
    overhead_ms: float = 0.0


def is_asked(headers: Mapping[bytes, bytes]) -> bool:
    """Whether there is anything to read about it: all that a request which does not ask pays for."""
    return THEIRS in headers or OURS in headers or THEIR_OLD in headers


def told_to(headers: Mapping[bytes, bytes], exchange: Exchange) -> bytes:
    """The members that were asked for, as a JSON object; empty where none was, or before there is anything to tell."""
    theirs = _is_enabled(headers, THEIRS) or _is_enabled(headers, THEIR_OLD)
    if not (theirs or _is_enabled(headers, OURS)) or exchange.caller is None or not exchange.model_asked:
        return b""
    facts = _facts(exchange)
    shape = openrouter_shape(facts)
    told = {"openrouter_metadata": shape} if theirs else {}
    return orjson.dumps({**told, "router_metadata": {**shape, **own_shape(facts)}})


def explained_body(headers: Mapping[bytes, bytes], exchange: Exchange, body: bytes) -> bytes:
    """A whole answer, or an error, with what was asked for."""
    told = told_to(headers, exchange)
    return in_body(body, told) if told else body


def explained_ending(headers: Mapping[bytes, bytes], exchange: Exchange, ending: bytes) -> bytes:
    """The last bytes of a stream likewise."""
    told = told_to(headers, exchange)
    return in_stream(exchange.endpoint, ending, told) if told else ending


def openrouter_shape(facts: Facts) -> dict[str, Any]:
    """OpenRouter's fields, in its words."""
    plan, answered = facts.plan, facts.answered
    available = [
        {
            "provider": step.deployment.provider,
            "model": step.model.slug,
            "selected": answered is not None and step.deployment.id == answered.id,
        }
        for step in (plan.steps if plan is not None else ())
    ]
    total = len(available) + len(plan.refusals if plan is not None else facts.refusals)
    return {
        "requested": facts.requested[:_LONGEST_NAME].encode(errors="replace").decode(),
        "strategy": _strategy(facts),
        "region": (answered.region if answered is not None else "") or None,
        "summary": f"available={len(available)}, selected={answered.provider if answered is not None else 'none'}",
        "attempt": facts.attempts[-1].number if answered is not None and facts.attempts else len(facts.attempts),
        "is_byok": False,
        "endpoints": {"total": total, "available": available},
        "attempts": _attempts(facts),
        "pipeline": [],
    }


def own_shape(facts: Facts) -> dict[str, Any]:
    """Our reasons: by what the order was made, each candidate's parts, who was left out, and what each attempt took."""
    plan = facts.plan
    decision = _decision(plan)
    weights = decision.get("weights")
    own: dict[str, Any] = {
        "source": plan.steps[0].reason if plan is not None else None,
        "weights": dict(zip(("latency", "cost", "quality"), weights, strict=True)) if weights else None,
        "weights_version": decision.get("policy"),
        **{name: decision[name] for name in ("preset", "rule", "sort") if name in decision},
        "candidates": _candidates(plan, decision),
        "refused": _refused(facts),
        "attempts": [
            {**told, **{name: getattr(one, name) for name in _TIMED}, "error_class": one.error_class or None}
            for told, one in zip(_attempts(facts), _in_time(facts), strict=True)
        ],
        "overhead_ms": round(facts.overhead_ms, 2),
    }
    if facts.dropped:
        own["dropped"] = list(facts.dropped)
    return own


def _facts(exchange: Exchange) -> Facts:
    answered = exchange.status < 400 or exchange.delivery.content
    return Facts(
        requested=exchange.model_asked,
        plan=exchange.plan,
        refusals=exchange.refusals,
        attempts=exchange.attempts,
        skipped=exchange.skipped,
        answered=exchange.deployment if answered else None,
        dropped=exchange.dropped,
        overhead_ms=exchange.overhead_s() * 1000,
    )


def _is_enabled(headers: Mapping[bytes, bytes], name: bytes) -> bool:
    return headers.get(name, b"").strip().lower() == _ENABLED


def _decision(plan: RoutePlan | None) -> dict[str, Any]:
    told = orjson.loads(plan.trace) if plan is not None else None
    return told if isinstance(told, dict) else {}


def _attempts(facts: Facts) -> list[dict[str, Any]]:
    steps = facts.plan.steps if facts.plan is not None else ()
    models = {step.deployment.id: step.model.slug for step in steps}
    return [
        {"provider": one.provider, "model": models.get(one.deployment_id, ""), "status": _status(one)}
        for one in _in_time(facts)
    ]


def _in_time(facts: Facts) -> list[AttemptRecord]:
    return sorted(facts.attempts, key=lambda one: one.number)


def _strategy(facts: Facts) -> str:
    plan, name = facts.plan, facts.requested.strip().lower()
    if is_auto(name.partition(":")[0]) or _decision(plan).get("auto"):
        return "auto"
    if name.endswith(":free") or ":free:" in name:
        return "free"
    if plan is None:
        return "direct"
    if len(plan.models) > 1:
        return "fallback"
    slug = plan.model.slug.lower()
    return "direct" if name == slug or name.startswith(slug + ":") else "alias"


def _status(attempt: AttemptRecord) -> int:
    """The provider's own; for a failure that had none, or a good one, what it comes to."""
    if not attempt.error_class or (attempt.status or 0) >= 400:
        return attempt.status or 200
    if attempt.error_class in _STOPPED:
        return _STOPPED_BY_US
    return _TOO_LATE if attempt.error_class in _TIMEOUTS else _NO_ANSWER


def _candidates(plan: RoutePlan | None, decision: Mapping[str, Any]) -> list[dict[str, Any]]:
    """By their score, best first; the steps of a plan may have another order."""
    regions = {} if plan is None else {step.deployment.id: step.deployment.region for step in plan.steps}
    return [
        {
            "provider": one["provider"],
            "model": one["model"],
            "region": regions.get(one["id"]) or None,
            **{name: one[name] for name in _WEIGHED},
            "expected_cost_usd": one["cost_nanos"] / NANOS_PER_USD,
        }
        for one in decision.get("candidates", ())
    ]


def _refused(facts: Facts) -> list[dict[str, str]]:
    """Whoever was passed over at the last moment first."""
    plan = facts.plan
    left = []
    if plan is not None:
        steps = {step.deployment.id: step for step in plan.steps}
        left = [
            (steps[one].deployment.provider, steps[one].model.slug, why) for one, why in facts.skipped if one in steps
        ]
    refusals = plan.refusals if plan is not None else facts.refusals
    left += [(one.provider, one.model, one.reason) for one in refusals]
    return [
        {"provider": provider, "model": model, "reason": reason} for provider, model, reason in left[:_MOST_REFUSED]
    ]
