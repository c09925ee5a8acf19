"""The log and the overview."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from django.views.decorators.vary import vary_on_headers

from accounts.access import (
    api_keys_of,
    current_organization,
    organization_or_none,
    project_or_404,
    projects_of,
    signed_in_user,
)
from accounts.models import ApiKey, Organization
from accounts.sample_models import sample_model
from billing.receipts.document import public_id
from billing.usage_records import receipt_of
from observability.decision import decision_in
from observability.log_query import STATUSES, LogFilter, LogPage, page_of, read_filter, rows_wanted
from observability.log_rows import Wanted, read_rows
from observability.models import RequestLog
from observability.names_seen import names_seen
from observability.overview import RANGES, days_of, first_request_at, summarize
from observability.records import attempts_in
from observability.results import Badge, badge_of, explain, was_failover
from observability.waterfall import axis, waterfall, weighed
from observability.why import weights_were, why

LATEST: Final = 5
CHECKLIST_STAYS: Final = timedelta(days=1)  # after the first request
SPAN_NAMES: Final = {
    "1h": _("Last hour"),
    "24h": _("Last 24 hours"),
    "7d": _("Last 7 days"),
    "30d": _("Last 30 days"),
    "all": _("Any time"),
}
RESULT_NAMES: Final = {
    "answered": _("Answered"),
    "failover": _("Failover"),
    "client_left": _("Client left"),
    "failed": _("Failed"),
    "refused": _("Refused"),
}
RANGE_NAMES: Final = {"today": _("Today"), "7d": _("7 days"), "30d": _("30 days")}


@dataclass(frozen=True, slots=True)
class LogRow:
    log: RequestLog
    badge: Badge
    key: ApiKey | None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the first-run checklist."""

    name: str
    done: bool
    now: bool  # the first that is not done


@login_required
@never_cache
@vary_on_headers("HX-Request", "HX-Target")
@require_GET
def logs(request: HttpRequest) -> HttpResponse:
    """The log, newest first. The panel alone when htmx polls it; 204 when it would look the same."""
    organization, projects = current_organization(request), list(projects_of(request))
    wanted = read_filter(request.GET)
    if wanted.project:
        project_or_404(request, wanted.project)
    seen = names_seen(organization.pk)
    rows = rows_wanted(
        wanted,
        organization_id=organization.pk,
        project_ids=[project.pk for project in projects],
        models=seen.models,
        now=timezone.now(),
    )
    page = page_of(rows, wanted)
    if request.GET.get("seen") == page.digest:
        return HttpResponse(status=204)
    keys = _keys_of(request)
    context = {"filter": wanted, "page": page, "rows": _rows(page.rows, keys), **_addresses(wanted, page)}
    if "seen" in request.GET:
        return render(request, "observability/_log_panel.html", context)
    chosen = {
        "spans": SPAN_NAMES,
        "results": RESULT_NAMES,
        "statuses": STATUSES,
        "models": seen.models,
        "providers": seen.providers,
        "export_url": f"{reverse('logs_export')}?{wanted.at().query()}",
        "projects": projects,
        "keys": keys.values(),
    }
    return render(request, "observability/logs.html", {"nav": "logs", **context, **chosen})


def _addresses(wanted: LogFilter, page: LogPage) -> dict[str, str]:
    """Links of the page to itself under other conditions."""
    path = reverse("logs")
    still = LogFilter(**{**_values(wanted), "live": not wanted.live})
    polled = wanted.query()
    return {
        "toggle_live_url": f"{path}?{still.query()}",
        "poll_url": f"{path}?{polled + '&' if polled else ''}{urlencode({'seen': page.digest})}",
        "newer_url": f"{path}?{wanted.at(after=page.newer).query()}" if page.newer else "",
        "older_url": f"{path}?{wanted.at(before=page.older).query()}" if page.older else "",
        "newest_url": f"{path}?{wanted.at().query()}",
    }


def _values(wanted: LogFilter) -> dict[str, Any]:
    return {name: getattr(wanted, name) for name in LogFilter.__slots__}


def _keys_of(request: HttpRequest) -> dict[int, ApiKey]:
    return {key.pk: key for key in api_keys_of(request).order_by("name", "pk")}


def _rows(found: Iterable[RequestLog], keys: Mapping[int, ApiKey]) -> list[LogRow]:
    return [LogRow(log, badge_of(log), keys.get(log.api_key_id)) for log in found]


@login_required
@never_cache
@vary_on_headers("HX-Request", "HX-Target")
@require_GET
def log(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """One request: what happened, who was tried, what it cost. Its own page, or the drawer's content for htmx."""
    organization = current_organization(request)
    row = RequestLog.objects.filter(
        pk=request_id, organization_id=organization.pk, project_id__in=projects_of(request)
    ).first()
    if row is None:
        raise Http404
    attempts, decision = attempts_in(row.trace), decision_in(row.trace)
    context = {
        "nav": "logs",
        "log": row,
        "badge": badge_of(row),
        "failover": was_failover(row),
        "explanation": explain(row),
        "key": _keys_of(request).get(row.api_key_id),
        "project": projects_of(request).filter(pk=row.project_id).first(),
        "waterfall": waterfall(row, attempts) if attempts else [],
        "axis": axis(row, attempts),
        "why": why(attempts, decision),
        "weighed": weighed(decision, attempts),
        "weights_were": weights_were(decision),
        "left_out": decision.left_out,
        "receipt": receipt_of(row.pk),
        "receipt_id": public_id(row.pk) if settings.RECEIPT_SIGNING_KEY else "",
    }
    drawer = request.headers.get("HX-Target") == "log-drawer-body"
    return render(request, "observability/_log_detail.html" if drawer else "observability/log.html", context)


@login_required
@never_cache
@vary_on_headers("HX-Request", "HX-Target")
@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    """Figures, charges per day and the first-run checklist. The checklist alone while htmx waits for a request.

    Staff who belong to no organization land here after their log-in too, and are sent on to the admin.
    """
    if organization_or_none(request) is None and signed_in_user(request).is_staff:
        return redirect("admin:index")
    organization = current_organization(request)
    keys = _keys_of(request)
    checklist = _checklist(request, organization, keys)
    waiting = request.headers.get("HX-Target") == "first-run"
    if waiting and not checklist["request_done"]:
        return HttpResponse(status=204)
    if waiting:  # the first request has come: everything on the page has changed
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    context = {"nav": "overview", **checklist, **_figures(request, organization, keys)}
    return render(request, "observability/overview.html", context)


def _figures(request: HttpRequest, organization: Organization, keys: Mapping[int, ApiKey]) -> dict[str, Any]:
    projects = list(projects_of(request))
    chosen = request.GET.get("project", "")
    shown = (
        [project_or_404(request, int(chosen))]
        if chosen.isascii() and chosen.isdigit() and len(chosen) < 19
        else projects
    )
    ids = [project.pk for project in shown]
    range_name = request.GET.get("range", "7d") if request.GET.get("range", "7d") in RANGES else "7d"
    zone = ZoneInfo(timezone.get_current_timezone_name())
    summary = summarize(organization.pk, ids, days_of(range_name, now=timezone.now(), zone=zone), zone)
    latest = read_rows(Wanted(organization.pk, ids), limit=LATEST)
    return {
        "summary": summary,
        "figures": summary.figures,
        "chart": summary.chart,
        "top_keys": [(keys.get(top.api_key_id), top) for top in summary.top_keys],
        "rows": _rows(latest, keys),
        "projects": projects,
        "project": shown[0].pk if len(shown) == 1 and chosen else None,
        "range": range_name,
        "ranges": RANGE_NAMES,
        "ranges_name": RANGE_NAMES[range_name],
    }


def _checklist(request: HttpRequest, organization: Organization, keys: Mapping[int, ApiKey]) -> dict[str, Any]:
    """The steps to the first answer, until they are done and a day has passed."""
    first = first_request_at(organization.pk)
    live_key = next((key for key in keys.values() if key.revoked_at is None), None)
    done = {
        "email": settings.ACCOUNT_EMAIL_VERIFICATION != "mandatory" or _has_confirmed(request),
        "key": live_key is not None or first is not None,
        "request": first is not None,
    }
    if settings.ACCOUNT_EMAIL_VERIFICATION != "mandatory":
        del done["email"]
    following = next((name for name, is_done in done.items() if not is_done), "")
    return {
        "steps": [Step(name, is_done, name == following) for name, is_done in done.items()],
        "steps_done": sum(done.values()),
        "request_done": done["request"],
        "show_steps": _is_recent(first),
        "first_key": live_key,
        "base_url": settings.PUBLIC_URL,
        "first_model": sample_model(),
    }


def _is_recent(first: datetime | None) -> bool:
    return first is None or first > timezone.now() - CHECKLIST_STAYS


def _has_confirmed(request: HttpRequest) -> bool:
    return bool(EmailAddress.objects.filter(user_id=request.user.pk, verified=True).exists())
