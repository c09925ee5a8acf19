"""Which rows of the log a page shows: the filters of its address, and paging by id so that depth costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final
from uuid import UUID

from django.http import QueryDict
from django.utils.http import urlencode

from observability.log_rows import HIGHEST, LOWEST, Wanted, read_rows
from observability.models import RequestLog
from observability.partitions import first_id_at

PAGE_SIZE: Final = 50
SPANS: Final = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "all": None,
}
RESULTS: Final = ("answered", "failover", "client_left", "failed", "refused")
STATUSES: Final = (400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 499, 500, 502, 503, 504, 529)


@dataclass(frozen=True, slots=True)
class LogFilter:
    """The filters of the log page, as they stand in its address."""

    span: str = "24h"
    result: str = ""
    model: str = ""
    provider: str = ""
    status: int | None = None
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
        return bool(
            self.result or self.model or self.provider or self.status or self.key or self.project or self.search
        )

    def query(self) -> str:
        """The address's query string for these filters, defaults left out."""
        values: dict[str, object] = {
            "span": self.span if self.span != "24h" else "",
            "result": self.result,
            "model": self.model,
            "provider": self.provider,
            "status": self.status or "",
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
    status = _as_id(query.get("status", ""))
    return LogFilter(
        span=span if span in SPANS else "24h",
        result=result if result in RESULTS else "",
        model=query.get("model", "")[:160].replace("\0", ""),
        provider=query.get("provider", "")[:64].replace("\0", ""),
        status=status if status in STATUSES else None,
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


@dataclass(frozen=True, slots=True)
class LogPage:
    rows: list[RequestLog] = field(default_factory=list)
    newer: UUID | None = None  # the cursor of the page of newer rows, if there may be one
    older: UUID | None = None

    @property
    def digest(self) -> str:
        """Changes when the page shows other rows; rows themselves never change."""
        return blake2b(b"".join(row.id.bytes for row in self.rows), digest_size=8).hexdigest()


def rows_wanted(
    chosen: LogFilter, *, organization_id: int, project_ids: Sequence[int], models: Sequence[str], now: datetime
) -> Wanted:
    """The organization's rows that pass the filters. `models` are those it has used: what is searched for among."""
    if chosen.request_id:
        # The lowest id beyond one id: the range holds that row alone.
        beyond = UUID(int=min(chosen.request_id.int + 1, HIGHEST.int))
        return Wanted(organization_id, project_ids, low=chosen.request_id, high=beyond)
    found = [name for name in models if chosen.search.lower() in name.lower()] if chosen.search else None
    if chosen.model:
        found = [chosen.model] if found is None or chosen.model in found else []
    span = SPANS[chosen.span]
    return Wanted(
        organization_id,
        [one for one in project_ids if chosen.project in (None, one)],
        key=chosen.key,
        models=found,
        provider=chosen.provider,
        result=chosen.result,
        status=chosen.status,
        low=first_id_at(now - span) if span else LOWEST,
    )


def page_of(wanted: Wanted, chosen: LogFilter, *, size: int = PAGE_SIZE) -> LogPage:
    """One page, newest first. A page of newer rows joins seamlessly to the one it was reached from."""
    if chosen.after:
        above = replace(wanted, low=max(wanted.low, UUID(int=min(chosen.after.int + 1, HIGHEST.int))))
        found = read_rows(above, limit=size + 1, newest_first=False)
        if found:
            shown = found[:size][::-1]
            return LogPage(shown, newer=shown[0].id if len(found) > size else None, older=shown[-1].id)
        return page_of(wanted, chosen.at(), size=size)
    below = replace(wanted, high=min(wanted.high, chosen.before)) if chosen.before else wanted
    found = read_rows(below, limit=size + 1)
    shown = found[:size]
    more = shown[-1].id if len(found) > size else None
    return LogPage(shown, newer=shown[0].id if chosen.before and shown else None, older=more)
