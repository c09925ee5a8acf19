"""The attempts of one request as rows of a waterfall: ours first, then each provider that was tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.utils.translation import gettext as _

from observability.charts import Span, spans
from observability.decision import Decision, Weighed
from observability.models import RequestLog
from observability.records import AttemptRecord


@dataclass(frozen=True, slots=True)
class WaterfallRow:
    attempt: AttemptRecord | None  # None: our own share
    node: str  # "", "won" or "lost"
    bars: tuple[Span, ...]
    duration_ms: Decimal
    won: bool = False
    wait_ms: int | None = None
    tokens_per_second: int | None = None


def waterfall(log: RequestLog, attempts: Sequence[AttemptRecord]) -> list[WaterfallRow]:
    """Rows in the order of time. The last attempt without an error is the one that answered."""
    total = _whole_ms(log, attempts)
    own_ms = Decimal(log.overhead_us) / 1000
    own = WaterfallRow(None, "", spans(total, [("own", 0, float(own_ms))]), own_ms)
    return [own, *(_attempt_row(log, one, total) for one in attempts)]


def _attempt_row(log: RequestLog, one: AttemptRecord, total: int) -> WaterfallRow:
    failed = bool(one.error_class or one.error_code)
    if failed or one.first_token_ms is None:
        css = "fail" if failed else "give"
        bars = spans(total, [(css, one.started_ms, one.duration_ms)])
        return WaterfallRow(one, "lost" if failed else "won", bars, Decimal(one.duration_ms), won=not failed)
    wait = min(one.first_token_ms, one.duration_ms)
    giving = one.duration_ms - wait
    bars = spans(total, [("wait", one.started_ms, wait), ("give", one.started_ms + wait, giving)])
    speed = log.output_tokens * 1000 // giving if giving else None
    return WaterfallRow(one, "won", bars, Decimal(one.duration_ms), True, wait, speed or None)


@dataclass(frozen=True, slots=True)
class Axis:
    half: int
    whole: int


def axis(log: RequestLog, attempts: Sequence[AttemptRecord]) -> Axis:
    """The times, in milliseconds, that the picture's scale names."""
    whole = _whole_ms(log, attempts)
    return Axis(whole // 2, whole)


def _whole_ms(log: RequestLog, attempts: Sequence[AttemptRecord]) -> int:
    return max([log.duration_ms, 1, *(one.started_ms + one.duration_ms for one in attempts)])


@dataclass(frozen=True, slots=True)
class WeighedRow:
    """A candidate with its loss as three bars end to end: the weighted parts of latency, cost and quality."""

    one: Weighed
    bars: tuple[Span, ...]
    words: str
    tried: bool


def weighed(decision: Decision, attempts: Sequence[AttemptRecord]) -> list[WeighedRow]:
    """The candidates as they were ranked. None where the trace is from before they were kept."""
    if decision.weights is None:
        return []
    tried = {one.deployment_id for one in attempts}
    return [_weighed_row(one, decision.weights, one.id in tried) for one in decision.candidates]


def _weighed_row(one: Weighed, weights: tuple[float, float, float], tried: bool) -> WeighedRow:
    parts = [part * share for part, share in zip((one.latency, one.cost, one.quality), weights, strict=True)]
    bars, at = [], 0.0
    for part in parts:
        width = min(max(part, 0.0), 1 - at)
        bars.append(Span("", f"{at:.2%}", f"{width:.2%}"))
        at += width
    words = _("speed %(latency)s, cost %(cost)s, quality %(quality)s") % {
        name: f"{part:.2f}" for name, part in zip(("latency", "cost", "quality"), parts, strict=True)
    }
    return WeighedRow(one, tuple(bars), words, tried)
