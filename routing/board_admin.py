"""The health board of the staff pages: figures as they come in, drain, switch off, take back, test, probe plan."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextInputWidget

from billing.pricing.money import NANOS_PER_USD
from routing import switches
from routing.health_board import board
from routing.models import Deployment, ProbePlan, Provider
from routing.price_caps import dollars_of
from routing.probes import ask_for_check

SHOWN = ("used", "trouble", "all")
_KINDS: dict[str, type[Provider] | type[Deployment]] = {"provider": Provider, "deployment": Deployment}
_BOARD = "admin:routing_provider_board"


class ReasonForm(forms.Form):
    how = forms.ChoiceField(
        label=gettext_lazy("How"),
        choices=[
            ("drain", gettext_lazy("Drain: no new requests, for a while")),
            ("off", gettext_lazy("Switch off: no longer served here")),
        ],
        widget=forms.RadioSelect,
        initial="drain",
    )
    reason = forms.CharField(
        label=gettext_lazy("Why"),
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Shown to staff beside it, and kept in its history. Customers never see it."),
    )


class ProbePlanForm(forms.Form):
    dollars = forms.DecimalField(min_value=0, max_value=1000, decimal_places=4)
    every_minutes = forms.IntegerField(min_value=5, max_value=1440)


class BoardPages:
    """Mixed into the admin of providers."""

    actions_list: ClassVar[list[str]] = ["board"]
    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("board/rows/", wrap(self.board_rows), name="routing_board_rows"),
            path("board/plan/", wrap(self.board_plan), name="routing_board_plan"),
            path("board/<str:kind>/<int:pk>/out/", wrap(self.take_out), name="routing_take_out"),
            path("board/<str:kind>/<int:pk>/<str:act>/", wrap(self.act), name="routing_board_act"),
        ]
        return own + super().get_urls()  # type: ignore[misc,no-any-return]

    @action(description=gettext_lazy("Health board"), url_path="board", permissions=["view"])  # type: ignore[untyped-decorator]
    def board(self, request: HttpRequest) -> HttpResponse:
        return self._board(request, "routing/admin/board.html")

    def board_rows(self, request: HttpRequest) -> HttpResponse:
        """The changing part alone."""
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        return self._board(request, "routing/admin/_board_rows.html")

    def _board(self, request: HttpRequest, template: str) -> HttpResponse:
        shown = request.GET.get("shown", "used")
        found = board(shown if shown in SHOWN else "used", request.GET.get("q", "")[:80])
        context = {
            **self.admin_site.each_context(request),
            "title": _("Health board"),
            "opts": self.opts,
            "board": found,
            "q": request.GET.get("q", "")[:80],
            "tabs": [("used", _("In use")), ("trouble", _("In trouble")), ("all", _("All"))],
            "may_change": self._may_change(request),
            "budget": dollars_of(found.plan.budget_nanos),
        }
        return TemplateResponse(request, template, context)

    def board_plan(self, request: HttpRequest) -> HttpResponse:
        self._check(request)
        form = ProbePlanForm(request.POST)
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            nanos = int(data["dollars"] * NANOS_PER_USD)
            values = {"budget_nanos": nanos, "every_minutes": data["every_minutes"]}
            ProbePlan.objects.update_or_create(pk=1, defaults=values)
            messages.success(request, _("Saved. Probes go by it from now on."))
        else:
            messages.error(request, _("Write dollars per day, and at least 5 minutes."))
        return HttpResponseRedirect(reverse(_BOARD))

    def take_out(self, request: HttpRequest, kind: str, pk: int) -> HttpResponse:
        """Asks for the reason, then drains or switches off."""
        self._check(request)
        row = _row(kind, pk)
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            reason = form.cleaned_data["reason"].strip()
            if form.cleaned_data["how"] == "drain":
                switches.drain(row, reason)
            else:
                switches.switch_off(row, reason)
            self._log(request, row, f"{form.cleaned_data['how']}: {reason}")
            messages.success(request, _("%(name)s gets no new requests from now on.") % {"name": _name(row)})
            return HttpResponseRedirect(reverse(_BOARD))
        words = {
            "title": _("Take %(name)s out of use") % {"name": _name(row)},
            "note": _(
                "Requests that run go on. New ones go to other providers, or are refused where there is no other."
            ),
            "button": _("Take out of use"),
            "back": reverse(_BOARD),
        }
        context = {**self.admin_site.each_context(request), **words, "opts": self.opts, "form": form}
        return TemplateResponse(request, "routing/admin/form.html", context)

    def act(self, request: HttpRequest, kind: str, pk: int, act: str) -> HttpResponse:
        """`act`: back, or test for a deployment."""
        self._check(request)
        row = _row(kind, pk)
        if request.method != "POST":
            raise Http404
        if act == "back":
            switches.take_back(row)
            self._log(request, row, "back")
            messages.success(request, _("%(name)s is in use again.") % {"name": _name(row)})
        elif act == "test" and isinstance(row, Deployment):
            ask_for_check(row, by=request.user)
        else:
            raise Http404
        if request.headers.get("HX-Request"):
            return self._board(request, "routing/admin/_board_rows.html")
        return HttpResponseRedirect(reverse(_BOARD))

    def _may_change(self, request: HttpRequest) -> bool:
        return request.user.has_perms(("routing.change_provider", "routing.change_deployment"))

    def _check(self, request: HttpRequest) -> None:
        if not self._may_change(request):
            raise PermissionDenied

    def _log(self, request: HttpRequest, row: Provider | Deployment, text: str) -> None:
        self.log_change(request, row, text[:250])  # type: ignore[attr-defined]


def _row(kind: str, pk: int) -> Provider | Deployment:
    table = _KINDS.get(kind)
    found = table.objects.filter(pk=pk).first() if table else None
    if found is None:
        raise Http404
    return found


def _name(row: Provider | Deployment) -> str:
    return row.name if isinstance(row, Provider) else f"{row.model.slug} @ {row.provider.name}"
