"""A project's routing: what matters to it, the order that this makes now, and all else it may say."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import active_projects_of, api_keys_of, signed_in_user
from accounts.models import ApiKey, Project
from routing.models import ProjectRouting, RoutingRule
from routing.preset_cards import preset_cards
from routing.preview import preview
from routing.preview_form import PreviewForm
from routing.project_forms import RoutingForm
from routing.project_settings import (
    RULES_MAX,
    TooManyRules,
    add_rule,
    change_routing,
    change_rule,
    delete_rule,
    move_rule,
    routing_of,
    rules_of,
)
from routing.rule_forms import RuleForm
from routing.rule_words import conditions, effects
from routing.summaries import summaries


@login_required
@require_safe
def routing(request: HttpRequest) -> HttpResponse:
    """The page of the project that was asked for, or of the first one."""
    projects = active_projects_of(request)
    wanted = request.GET.get("project", "")
    found = projects.filter(pk=int(wanted)).first() if wanted.isdecimal() and len(wanted) < 19 else projects.first()
    if found is None:
        raise Http404
    return redirect("project_routing", id=found.pk)


@login_required
@require_http_methods(["GET", "POST"])
def project_routing(request: HttpRequest, id: int) -> HttpResponse:
    project = _project(request, id)
    stored = routing_of(project)
    form = RoutingForm(request.POST or None, routing=stored)
    if request.method == "POST" and form.is_valid():
        change_routing(project, signed_in_user(request), form.values)
        messages.success(request, _("Saved. The next request is routed by it."))
        return redirect("project_routing", id=project.pk)
    drafted = _draft(stored, form) if form.is_bound else stored
    context = {
        "nav": "routing",
        "project": project,
        "projects": active_projects_of(request),
        "routing": stored,
        "form": form,
        "cards": preset_cards(),
        "summaries": summaries(stored),
        "preview_form": PreviewForm(request.GET or None),
        **_ranking(request, project, drafted),
        **_rules(request, project),
    }
    return render(request, "routing/project.html", context)


@login_required
@require_safe
def project_ranking(request: HttpRequest, id: int) -> HttpResponse:
    """The order that the settings in the query would make: what the page shows while the sliders move."""
    project = _project(request, id)
    stored = routing_of(project)
    form = RoutingForm(request.GET, routing=stored)
    form.is_valid()  # what is wrong in the draft is left out of it; saving will say what it is
    return render(request, "routing/_ranking.html", _ranking(request, project, _draft(stored, form)))


def _ranking(request: HttpRequest, project: Project, drafted: ProjectRouting) -> dict[str, Any]:
    chosen = PreviewForm.chosen((request.POST or request.GET).dict())
    return {"preview": preview(project, drafted, chosen)}


def _draft(stored: ProjectRouting, form: RoutingForm) -> ProjectRouting:
    drafted = ProjectRouting(project_id=stored.project_id, version=stored.version)
    for name in form.fields:
        setattr(drafted, name, form.cleaned_data.get(name, getattr(stored, name)))
    return drafted


def _project(request: HttpRequest, id: int) -> Project:
    return get_object_or_404(active_projects_of(request), pk=id)


# --- Rules -----------------------------------------------------------------------------------------------------------
def _rules(request: HttpRequest, project: Project) -> dict[str, Any]:
    names = dict(api_keys_of(request).filter(project=project).values_list("pk", "name"))
    rows = [(rule, conditions(rule.match, names), effects(rule.action)) for rule in rules_of(project)]
    return {"rules": rows, "rules_full": len(rows) >= RULES_MAX}


@login_required
@require_http_methods(["GET", "POST"])
def rule_create(request: HttpRequest, id: int) -> HttpResponse:
    project = _project(request, id)
    form = RuleForm(
        request.POST or None, rule=None, keys=_keys(request, project), own_names=routing_of(project).aliases
    )
    if request.method == "POST" and form.is_valid():
        try:
            add_rule(project, signed_in_user(request), **_values(form))
            messages.success(request, _("The rule is added, as the last one."))
        except TooManyRules:
            messages.error(request, _("A project has at most %(most)s rules.") % {"most": RULES_MAX})
        return _to_rules(project)
    return _rule_page(request, project, form, None)


@login_required
@require_http_methods(["GET", "POST"])
def rule_edit(request: HttpRequest, id: int, rule_id: int) -> HttpResponse:
    project = _project(request, id)
    rule = get_object_or_404(rules_of(project), pk=rule_id)
    form = RuleForm(
        request.POST or None, rule=rule, keys=_keys(request, project, rule), own_names=routing_of(project).aliases
    )
    if request.method == "POST" and form.is_valid():
        change_rule(rule, signed_in_user(request), **_values(form))
        messages.success(request, _("Saved. The next request is routed by it."))
        return _to_rules(project)
    return _rule_page(request, project, form, rule)


@login_required
@require_POST
def rule_act(request: HttpRequest, id: int, rule_id: int) -> HttpResponse:
    """`act`: up, down, on, off or delete. htmx gets the list alone."""
    project, user = _project(request, id), signed_in_user(request)
    rule = get_object_or_404(rules_of(project), pk=rule_id)
    act = request.POST.get("act", "")
    if act in ("up", "down"):
        move_rule(rule, user, up=act == "up")
    elif act in ("on", "off"):
        change_rule(rule, user, enabled=act == "on")
    elif act == "delete":
        delete_rule(rule, user)
        messages.success(request, _("The rule is gone."))
    if getattr(request, "htmx", False) and act != "delete":
        return render(request, "routing/_rules.html", {"project": project, **_rules(request, project)})
    return _to_rules(project)


def _to_rules(project: Project) -> HttpResponse:
    answer = redirect("project_routing", id=project.pk)
    answer["Location"] += "#rules"
    return answer


def _keys(request: HttpRequest, project: Project, rule: RoutingRule | None = None) -> QuerySet[ApiKey]:
    """Those that work, and those that the rule names: a rule for a revoked key must not become one for all keys."""
    named = rule.match.get("key_ids", []) if rule else []
    wanted = Q(revoked_at=None) | Q(pk__in=named)
    return api_keys_of(request).filter(wanted, project=project).order_by("id")


def _values(form: RuleForm) -> dict[str, Any]:
    cleaned = form.cleaned_data
    return {"name": cleaned["name"], "enabled": cleaned["enabled"], "match": form.match, "action": form.action}


def _rule_page(request: HttpRequest, project: Project, form: RuleForm, rule: RoutingRule | None) -> HttpResponse:
    context = {"nav": "routing", "project": project, "form": form, "rule": rule}
    return render(request, "routing/rule.html", context)
