"""The periods of an organization's plans, the newest first, with what was spent of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

_PERIODS = """
SELECT s.terms->>'name', p.starts_at, p.ends_at, p.closed_at, p.price_nanos, p.credit_nanos,
       (s.terms->>'period_nanos')::bigint, COALESCE(w.spent_nanos, 0)
  FROM billing_planperiod p
  JOIN billing_subscription s ON s.id = p.subscription_id
  LEFT JOIN billing_window w ON w.subscription_id = p.subscription_id AND w.name = 'period' AND w.kind = 'plan'
        AND w.opens_at = p.starts_at
 WHERE p.organization_id = %s
 ORDER BY p.starts_at DESC, p.id DESC LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Period:
    """Amounts in nano-USD. `closed_at`: where it was left before its end; `price_nanos` is zero where it was given."""

    name: str
    starts_at: datetime
    ends_at: datetime
    closed_at: datetime | None
    price_nanos: int
    credit_nanos: int
    allowance_nanos: int
    spent_nanos: int

    @property
    def last_at(self) -> datetime:
        return self.closed_at or self.ends_at


def periods_of(organization_id: int, most: int) -> list[Period]:
    with connection.cursor() as cur:
        cur.execute(_PERIODS, [organization_id, most])
        return [Period(*row) for row in cur.fetchall()]
