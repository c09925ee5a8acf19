"""The usage figures and the log as CSV files, for spreadsheets. Metadata alone: there is nothing else."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.access import api_keys_of, current_organization, project_or_404, projects_of
from billing.pricing.money import NANOS_PER_USD
from observability.log_query import read_filter, rows_wanted
from observability.log_rows import Wanted, read_rows
from observability.models import RequestLog
from observability.names_seen import names_seen
from observability.usage_pages import chosen_usage, labels_of

MOST_LOG_ROWS: Final = 100_000
_AT_ONCE: Final = 1_000
_CSV: Final = "text/csv; charset=utf-8"
_USAGE_SUMS: Final = (*("requests", "answered", "failed_over", "input_tokens", "cache_read_tokens", "output_tokens"),)
_LOG_FIELDS: Final = (
    *("endpoint", "model_requested", "model", "provider", "outcome", "status", "error_code", "finish_reason"),
    *("stream", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
    *("usage_source", "policy", "first_token_ms", "duration_ms", "overhead_us", "attempt_count"),
)
_LOG_HEAD: Final = ("id", "time", "project", "key", *_LOG_FIELDS, "charged_usd")


@login_required
@never_cache
@require_GET
def usage_csv(request: HttpRequest) -> HttpResponse:
    """The figures of the usage page: a line per day or hour and model, key, project or provider."""
    organization, projects = current_organization(request), list(projects_of(request))
    chosen, found = chosen_usage(request, organization, projects)
    labels = labels_of(request, chosen.by, projects)
    lines: list[Sequence[object]] = [("time", chosen.by, *_USAGE_SUMS, "charged_usd")]
    for row in found.rows:
        figures = row.figures
        sums = (getattr(figures, name) for name in _USAGE_SUMS)
        name = labels.get(row.name, str(row.name))
        lines.append((row.at.isoformat(), name, *sums, _usd(figures.charged_nanos)))
    name = f"usage-{chosen.first}-{chosen.last}-by-{chosen.by}.csv"
    return HttpResponse(_text(lines), content_type=_CSV, headers=_as_file(name))


@login_required
@never_cache
@require_GET
def logs_csv(request: HttpRequest) -> StreamingHttpResponse:
    """The rows that the log page's filters choose, newest first, MOST_LOG_ROWS at most."""
    organization, projects = current_organization(request), list(projects_of(request))
    chosen = read_filter(request.GET)
    if chosen.project:
        project_or_404(request, chosen.project)
    wanted = rows_wanted(
        chosen,
        organization_id=organization.pk,
        project_ids=[project.pk for project in projects],
        models=names_seen(organization.pk).models,
        now=timezone.now(),
    )
    names = {
        "project": {project.pk: project.name for project in projects},
        "key": {key.pk: f"{key.name} …{key.last_four}" for key in api_keys_of(request)},
    }
    today = timezone.localdate()
    return StreamingHttpResponse(
        _log_lines(wanted, names), content_type=_CSV, headers=_as_file(f"requests-{today}.csv")
    )


async def _log_lines(wanted: Wanted, names: Mapping[str, Mapping[int, str]]) -> AsyncIterator[bytes]:
    """A piece at a time, so that a long log is never in memory, nor asked for faster than it is taken."""
    yield _text([_LOG_HEAD])
    read, left = sync_to_async(read_rows), MOST_LOG_ROWS
    while left:
        rows = await read(wanted, limit=min(_AT_ONCE, left))
        if not rows:
            return
        yield _text(_log_line(row, names) for row in rows)
        left -= len(rows)
        wanted = replace(wanted, high=rows[-1].id)


def _log_line(row: RequestLog, names: Mapping[str, Mapping[int, str]]) -> Sequence[object]:
    owners = (names["project"].get(row.project_id, row.project_id), names["key"].get(row.api_key_id, row.api_key_id))
    values = (getattr(row, name) for name in _LOG_FIELDS)
    return (row.id, row.created_at.isoformat(), *owners, *values, _usd(row.charge_nanos))


def _usd(nanos: int) -> str:
    return f"{Decimal(nanos) / NANOS_PER_USD:.9f}"


def _text(lines: Iterable[Sequence[object]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([[_harmless(value) for value in line] for line in lines])
    return buffer.getvalue().encode()


def _harmless(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula is marked as a text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _as_file(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
