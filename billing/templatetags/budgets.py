"""The panel of budgets on a key's or a project's page."""

from __future__ import annotations

from typing import Any

from django import template

from accounts.models import ApiKey, Project
from billing import budgets
from billing.budget_form import LABELS, BudgetForm

register = template.Library()
_PANEL = "billing/_budgets.html"


@register.inclusion_tag(_PANEL, takes_context=True)
def budgets_of_key(context: dict[str, Any], key: ApiKey, form: BudgetForm | None = None) -> dict[str, Any]:
    return _panel(context, key, "key_budgets", form)


@register.inclusion_tag(_PANEL, takes_context=True)
def budgets_of_project(context: dict[str, Any], project: Project, form: BudgetForm | None = None) -> dict[str, Any]:
    return _panel(context, project, "project_budgets", form)


@register.inclusion_tag(_PANEL, takes_context=True)
def budgets_again(context: dict[str, Any], owner: ApiKey | Project, form: BudgetForm) -> dict[str, Any]:
    """With the errors of a form that was sent."""
    return _panel(context, owner, "project_budgets" if isinstance(owner, Project) else "key_budgets", form)


def _panel(context: dict[str, Any], owner: ApiKey | Project, url_name: str, form: BudgetForm | None) -> dict[str, Any]:
    uses = budgets.uses_of(owner)
    form = form or BudgetForm(limits={use.period: use.limit_nanos for use in uses})
    return {
        "csrf_token": context.get("csrf_token"),
        "owner": owner,
        "is_project": isinstance(owner, Project),
        "url_name": url_name,
        "form": form,
        "uses": [(LABELS[use.period], use) for use in uses],  # type: ignore[index]
    }
