"""The usage page: what was spent on what, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.access import api_keys_of, current_organization, project_or_404, projects_of
from accounts.models import Organization, Project
from observability.usage import DIMENSIONS, RANGES, Name, Usage, UsageFilter, read_usage, read_usage_filter

RANGE_NAMES: Final = {
    "today": gettext_lazy("Today"),
    "7d": gettext_lazy("7 days"),
    "30d": gettext_lazy("30 days"),
    "90d": gettext_lazy("90 days"),
}
BY_NAMES: Final = {
    "model": gettext_lazy("Model"),
    "key": gettext_lazy("Key"),
    "project": gettext_lazy("Project"),
    "provider": gettext_lazy("Provider"),
}
LINKS: Final = {"model": "model", "key": "key", "project": "project", "provider": "provider"}  # of the log's filters


@login_required
@never_cache
@require_GET
def usage(request: HttpRequest) -> HttpResponse:
    """Figures, a chart and two tables for a range of days in the organization's time zone."""
    organization, projects = current_organization(request), list(projects_of(request))
    chosen, found = chosen_usage(request, organization, projects)
    labels = labels_of(request, chosen.by, projects)
    path = reverse("usage")
    context: dict[str, Any] = {
        "nav": "usage",
        "chosen": chosen,
        "total": found.total,
        "chart": found.chart(labels),
        "names": [(labels.get(name, str(name)), _log_link(chosen, name), figures) for name, figures in found.by_name()],
        "moments": found.by_moment(),
        "projects": projects,
        "zone": str(zone_of(organization)),
        "ranges": {name: (RANGE_NAMES[name], f"{path}?{chosen.query(**_RANGE_ONLY, range=name)}") for name in RANGES},
        "dimensions": {name: (BY_NAMES[name], f"{path}?{chosen.query(by=name)}") for name in DIMENSIONS},
        "by_name": BY_NAMES[chosen.by],
        "export_url": f"{reverse('usage_export')}?{chosen.query()}",
    }
    return render(request, "observability/usage.html", context)


_RANGE_ONLY: Final = {"from": "", "to": ""}


def chosen_usage(
    request: HttpRequest, organization: Organization, projects: Sequence[Project]
) -> tuple[UsageFilter, Usage]:
    """What the address asks for. Raises Http404 for a project of others."""
    zone = zone_of(organization)
    chosen = read_usage_filter(request.GET, today=timezone.now().astimezone(zone).date())
    shown = [project_or_404(request, chosen.project)] if chosen.project else projects
    return chosen, read_usage(organization.pk, [project.pk for project in shown], chosen, zone)


def zone_of(organization: Organization) -> ZoneInfo:
    return ZoneInfo(organization.timezone or "UTC")


def labels_of(request: HttpRequest, by: str, projects: Sequence[Project]) -> dict[Name, str]:
    """What to call the keys and projects, each by a name of its own; and what has no name."""
    if by == "key":
        return {0: _("no key"), **{key.pk: f"{key.name} …{key.last_four}" for key in api_keys_of(request)}}
    if by == "project":
        names = [project.name for project in projects]
        return {one.pk: one.name if names.count(one.name) == 1 else f"{one.name} ({one.pk})" for one in projects}
    return {"": _("not sent")}


def _log_link(chosen: UsageFilter, name: Name) -> str:
    return reverse("logs", query={LINKS[chosen.by]: name, "span": "30d"}) if name else ""
