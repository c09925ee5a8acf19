"""The attempts of one request as rows of a waterfall: ours first, then each provider that was tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from observability.charts import Span, spans
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
    total = max([log.duration_ms, 1, *(one.started_ms + one.duration_ms for one in attempts)])
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
