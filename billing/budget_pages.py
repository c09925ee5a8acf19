"""Changing the budgets of a key or a project. They are shown on its own page, which is in accounts."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.access import api_key_or_404, project_or_404
from accounts.models import ApiKey, Project
from billing.budget_form import BudgetForm
from billing.budgets import limits_of, set_budgets


@login_required
@require_http_methods(["GET", "POST"])
@never_cache
def key_budgets(request: HttpRequest, id: int) -> HttpResponse:
    key = api_key_or_404(request, id)
    if key.revoked_at is not None:
        messages.error(request, _("%(name)s is revoked and cannot be changed.") % {"name": key.name})
        return redirect("keys")
    return _change(request, key, "key_edit", "keys")


@login_required
@require_http_methods(["GET", "POST"])
@never_cache
def project_budgets(request: HttpRequest, id: int) -> HttpResponse:
    return _change(request, project_or_404(request, id), "project", "projects")


def _change(request: HttpRequest, owner: ApiKey | Project, back: str, nav: str) -> HttpResponse:
    """A wrong form is shown again on a page of its own."""
    form = BudgetForm(request.POST or None, limits=limits_of(owner))
    if request.method == "GET" or not form.is_valid():
        return render(request, "billing/budgets.html", {"nav": nav, "owner": owner, "form": form, "back": back})
    set_budgets(owner, form.limits)
    messages.success(request, _("Saved. Requests go by it from now on."))
    return redirect(back, id=owner.pk)
