"""Which rows of the log a page shows: the filters of its address, and paging by id so that depth costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Final
from uuid import UUID

from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.http import urlencode

from observability.models import RequestLog, UsageHour

PAGE_SIZE: Final = 50
SPANS: Final = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "all": None,
}
RESULTS: Final = ("answered", "failover", "client_left", "failed", "refused")
MODELS_SEEN_WITHIN: Final = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class LogFilter:
    """The filters of the log page, as they stand in its address."""

    span: str = "24h"
    result: str = ""
    model: str = ""
    key: int | None = None
    project: int | None = None
    search: str = ""
    before: UUID | None = None  # rows older than this one
    after: UUID | None = None  # rows newer than this one
    live: bool = True

    @property
    def request_id(self) -> UUID | None:
        return as_uuid(self.search)

    @property
    def is_first_page(self) -> bool:
        return self.before is None and self.after is None

    @property
    def narrows(self) -> bool:
        """Whether anything but the time span hides rows."""
        return bool(self.result or self.model or self.key or self.project or self.search)

    def query(self) -> str:
        """The address's query string for these filters, defaults left out."""
        values: dict[str, object] = {
            "span": self.span if self.span != "24h" else "",
            "result": self.result,
            "model": self.model,
            "key": self.key or "",
            "project": self.project or "",
            "q": self.search,
            "before": self.before or "",
            "after": self.after or "",
            "live": "" if self.live else "0",
        }
        return urlencode({name: str(value) for name, value in values.items() if value})

    def at(self, *, before: UUID | None = None, after: UUID | None = None) -> LogFilter:
        return replace(self, before=before, after=after)


def read_filter(query: QueryDict) -> LogFilter:
    """The filters in an address. What makes no sense is ignored."""
    span, result = query.get("span", ""), query.get("result", "")
    return LogFilter(
        span=span if span in SPANS else "24h",
        result=result if result in RESULTS else "",
        model=query.get("model", "")[:160].replace("\0", ""),
        key=_as_id(query.get("key", "")),
        project=_as_id(query.get("project", "")),
        search=query.get("q", "").strip()[:160].replace("\0", ""),
        before=as_uuid(query.get("before", "")),
        after=as_uuid(query.get("after", "")),
        live=query.get("live") != "0",
    )


def as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text.strip().removeprefix("req_"))
    except ValueError:
        return None


def _as_id(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def first_id_at(moment: datetime) -> UUID:
    """The lowest UUIDv7 of that moment: ids carry their time, so one index serves order, paging and time span."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


@dataclass(frozen=True, slots=True)
class LogPage:
    rows: list[RequestLog] = field(default_factory=list)
    newer: UUID | None = None  # the cursor of the page of newer rows, if there may be one
    older: UUID | None = None

    @property
    def digest(self) -> str:
        """Changes when the page shows other rows; rows themselves never change."""
        return blake2b(b"".join(row.id.bytes for row in self.rows), digest_size=8).hexdigest()


def models_seen(organization_id: int, *, now: datetime) -> list[str]:
    """The models this organization has used lately, from the hourly sums."""
    recent = UsageHour.objects.filter(organization_id=organization_id, hour__gte=now - MODELS_SEEN_WITHIN)
    return sorted(recent.exclude(model="").values_list("model", flat=True).distinct())


def matching(
    wanted: LogFilter, *, organization_id: int, project_ids: Sequence[int], models: Sequence[str], now: datetime
) -> QuerySet[RequestLog]:
    """The organization's rows that pass the filters, without order or cursor."""
    rows = RequestLog.objects.filter(organization_id=organization_id, project_id__in=project_ids)
    if wanted.request_id:
        return rows.filter(id=wanted.request_id)
    if span := SPANS[wanted.span]:
        rows = rows.filter(id__gte=first_id_at(now.astimezone(UTC) - span))
    if wanted.search:
        rows = rows.filter(model__in=[name for name in models if wanted.search.lower() in name.lower()])
    if wanted.model:
        rows = rows.filter(model=wanted.model)
    if wanted.key:
        rows = rows.filter(api_key_id=wanted.key)
    if wanted.project:
        rows = rows.filter(project_id=wanted.project)
    if wanted.result == "failover":
        return rows.filter(outcome=RequestLog.Outcome.ANSWERED, attempt_count__gt=1)
    return rows.filter(outcome=wanted.result) if wanted.result else rows


def page_of(rows: QuerySet[RequestLog], wanted: LogFilter, *, size: int = PAGE_SIZE) -> LogPage:
    """One page, newest first. A page of newer rows joins seamlessly to the one it was reached from."""
    if wanted.after:
        found = list(rows.filter(id__gt=wanted.after).order_by("id")[: size + 1])
        if found:
            shown = found[:size][::-1]
            return LogPage(shown, newer=shown[0].id if len(found) > size else None, older=shown[-1].id)
        return page_of(rows, wanted.at(), size=size)
    older = rows.filter(id__lt=wanted.before) if wanted.before else rows
    found = list(older.order_by("-id")[: size + 1])
    shown = found[:size]
    more = shown[-1].id if len(found) > size else None
    return LogPage(shown, newer=shown[0].id if wanted.before and shown else None, older=more)
