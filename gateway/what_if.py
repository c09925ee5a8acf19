"""What if: a project's last week routed again with other weights. Here, for it needs both the log and the policy."""

from __future__ import annotations

from datetime import timedelta
from operator import attrgetter
from typing import Any, Final, NamedTuple

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.access import active_projects_of, current_organization
from observability.replay_rows import Routed, Sample, read_routed
from observability.why import failed
from routing.models import ProjectRouting
from routing.policy.replay import Figures, Past, Request, Summary, replay
from routing.policy.weights import Weights
from routing.preset_cards import preset_cards
from routing.project_settings import routing_of

MOST: Final = 3_000  # shares are then right to a percentage point or two, and a slider answers at once
SPAN: Final = timedelta(days=7)
NAMES: Final = ("latency_weight", "cost_weight", "quality_weight")
LABELS: Final = (_("Speed"), _("Cost"), _("Quality"))
_MOST_WEIGHT: Final = 100
_values = attrgetter(*Past._fields)  # a candidate of the log has them all, by the same names


class Change(NamedTuple):
    """One figure before and after; `better`: whether less of it came out, None where it is about the same."""

    before: float | None
    after: float | None

    @property
    def percent(self) -> str:
        if not self.before or self.after is None:
            return "–"
        share = (self.after / self.before - 1) * 100
        return f"{share:+.1f}%".replace("-", "−") if abs(share) >= 0.05 else "0%"

    @property
    def css(self) -> str:
        if self.before is None or self.after is None or abs(self.after - self.before) <= 0.0005 * self.before:
            return ""
        return "ok" if self.after < self.before else "bad"


class Share(NamedTuple):
    """A provider's share of the answers, 0 to 1, with the lengths of its bars."""

    provider: str
    before: float
    after: float

    @property
    def bars(self) -> tuple[str, str]:
        return f"{self.before:.2%}", f"{self.after:.2%}"


@login_required
@never_cache
@vary_on_headers("HX-Request", "HX-Target")
@require_safe
def what_if(request: HttpRequest, id: int) -> HttpResponse:
    """The page; for htmx the result alone. Reads metadata only, and changes nothing."""
    project = get_object_or_404(active_projects_of(request), pk=id)
    stored = routing_of(project)
    preset, weights = _chosen(request, stored)
    now = timezone.now()
    sample = read_routed(current_organization(request).pk, project.pk, since=now - SPAN, until=now, most=MOST)
    context = {
        "nav": "routing",
        "project": project,
        "cards": preset_cards(),
        "preset": preset,
        "sliders": list(zip(NAMES, LABELS, weights, strict=True)),
        **_result(sample, Weights(*map(float, weights))),
    }
    alone = request.headers.get("HX-Target") == "what-if-result"
    return render(request, "gateway/_what_if_result.html" if alone else "gateway/what_if.html", context)


def _chosen(request: HttpRequest, stored: ProjectRouting) -> tuple[str, list[int]]:
    """The preset and the sliders as they stand in the address, else the project's own. A preset's weights count, not
    the sliders."""
    asked = any(name in request.GET for name in NAMES)
    preset = request.GET.get("preset", "custom" if asked else stored.preset)
    card = next((one for one in preset_cards() if one.name == preset), None)
    if card is not None:
        return preset, [card.weights[name] for name in NAMES]
    given = [_number(request.GET.get(name, "")) for name in NAMES]
    return "custom", given if any(given) else [stored.latency_weight, stored.cost_weight, stored.quality_weight]


def _number(text: str) -> int:
    return min(int(text), _MOST_WEIGHT) if text.isascii() and text.isdigit() and len(text) < 5 else 0


def _result(sample: Sample, weights: Weights) -> dict[str, Any]:
    summary = replay([request_of(one) for one in sample.rows], weights)
    return {
        "summary": summary,
        "total": sample.total,
        "read": sample.read,
        "sampled": sample.total > sample.read,
        "decided": summary.requests - summary.no_choice - summary.fixed,
        "changes": _changes(summary, sample.total / (sample.read or 1)),
        "shares": _shares(summary.before, summary.after),
    }


def request_of(row: Routed) -> Request:
    """The log's row as the replay takes it."""
    decision, attempts = row.decision, row.attempts
    answered = next((one.deployment_id for one in reversed(attempts) if not failed(one)), None)
    candidates = tuple(Past(*_values(one)) for one in decision.candidates)
    return Request(
        row.model,
        row.provider,
        answered,
        candidates,
        row.charge_nanos,
        row.first_token_ms,
        row.duration_ms,
        failed(attempts[0]),
        not decision.by_project,
    )


def _changes(summary: Summary, times: float) -> dict[str, Change]:
    """`times`: by how much sums are scaled up, where not all was read."""
    before, after, number = summary.before, summary.after, summary.requests or 1
    return {
        "charge": Change(round(before.charge_nanos * times), round(after.charge_nanos * times)),
        "first": Change(_mean_first(before), _mean_first(after)),
        "duration": Change(before.duration_ms / number, after.duration_ms / number),
        "errors": Change(before.stumbled / number, after.stumbled / number),
    }


def _mean_first(figures: Figures) -> float | None:
    return figures.first_token_ms / figures.first_tokens if figures.first_tokens else None


def _shares(before: Figures, after: Figures) -> list[Share]:
    names = sorted({*before.providers, *after.providers}, key=lambda name: (-after.providers.get(name, 0), name))
    all_before, all_after = sum(before.providers.values()) or 1, sum(after.providers.values()) or 1
    return [
        Share(name, before.providers.get(name, 0) / all_before, after.providers.get(name, 0) / all_after)
        for name in names
    ]
