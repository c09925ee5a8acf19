"""SQL behind `lookups`: the windows in which a key's or an organization's spending is limited, as they stand now.

A window that nobody has opened yet is empty. A plan's 5 hours and 7 days begin with the first request in them, so until
then they have no time of reset.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

BUDGETS: Final = """
SELECT CASE WHEN b.api_key_id IS NULL THEN 'project_budget' ELSE 'key_budget' END AS scope, b.period AS window_name,
       b.limit_nanos, COALESCE(w.spent_nanos, 0) AS spent_nanos, COALESCE(w.held_nanos, 0) AS reserved_nanos,
       CASE WHEN w.id IS NOT NULL THEN w.closes_at WHEN b.period <> 'total' THEN
            (date_trunc(b.period, now() AT TIME ZONE o.timezone) + ('1 ' || b.period)::interval) AT TIME ZONE o.timezone
            END AS resets_at
  FROM accounts_apikey k
  JOIN accounts_project p ON p.id = k.project_id
  JOIN accounts_organization o ON o.id = p.organization_id
  JOIN billing_budget b ON b.api_key_id = k.id OR b.project_id = k.project_id
  LEFT JOIN LATERAL (
       SELECT id, spent_nanos, held_nanos, closes_at FROM billing_window
        WHERE budget_id = b.id AND opens_at <= now() AND (closes_at IS NULL OR closes_at > now())
        ORDER BY opens_at DESC LIMIT 1) w ON true
 WHERE k.id = %s
 ORDER BY scope, array_position('{day,week,month,total}', b.period::text)
"""
PLAN: Final = """
SELECT s.terms->>'slug' AS slug, s.terms->>'name' AS name, s.state, s.overflow,
       CASE WHEN s.state = 'grace' THEN GREATEST(s.period_end, s.grace_until) ELSE s.period_end END AS ends_at
  FROM billing_subscription s WHERE s.organization_id = %s AND s.state <> 'ended'
"""
PLAN_WINDOWS: Final = """
SELECT l.scope, l.window_name, l.limit_nanos, COALESCE(w.spent_nanos, 0) AS spent_nanos,
       COALESCE(w.held_nanos, 0) AS reserved_nanos, COALESCE(w.closes_at, l.resets_at) AS resets_at
  FROM billing_subscription s
  JOIN accounts_organization o ON o.id = s.organization_id
 CROSS JOIN LATERAL (VALUES
       (1, 'plan', 'five_hours', (s.terms->>'five_hours_nanos')::bigint, NULL::timestamptz),
       (2, 'plan', 'seven_days', (s.terms->>'seven_days_nanos')::bigint, NULL),
       (3, 'plan', 'period', (s.terms->>'period_nanos')::bigint, s.period_end),
       (4, 'overflow', 'month', CASE WHEN s.overflow THEN s.overflow_cap_nanos END,
        (date_trunc('month', now() AT TIME ZONE o.timezone) + interval '1 month') AT TIME ZONE o.timezone)
       ) AS l(place, scope, window_name, limit_nanos, resets_at)
  LEFT JOIN LATERAL (
       SELECT spent_nanos, held_nanos, closes_at FROM billing_window
        WHERE subscription_id = s.id AND name = l.window_name AND kind = l.scope
          AND opens_at <= now() AND closes_at > now()
        ORDER BY opens_at DESC LIMIT 1) w ON true
 WHERE s.organization_id = %s AND s.state <> 'ended' AND l.limit_nanos IS NOT NULL
 ORDER BY l.place
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit on spending in nano-USD; what is reserved for running requests is not spent."""

    scope: str  # key_budget, project_budget, plan, overflow
    window_name: str  # day, week, month, total | five_hours, seven_days, period | month
    limit_nanos: int
    spent_nanos: int
    reserved_nanos: int
    resets_at: datetime | None

    @property
    def left_nanos(self) -> int:
        return max(0, self.limit_nanos - self.spent_nanos)


@dataclass(frozen=True, slots=True)
class PlanNow:
    """The plan that the organization has, as it was sold."""

    slug: str
    name: str
    state: str
    overflow: bool
    ends_at: datetime
