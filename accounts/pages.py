"""Projects and settings."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import current_organization, organization_or_none, project_or_404, projects_of, signed_in_user
from accounts.forms import PreferencesForm, ProjectForm, ProjectSettingsForm
from accounts.projects import LastProject, archive_project, change_project, create_project
from accounts.sessions import log_out_elsewhere


@login_required
@require_http_methods(["GET", "POST"])
def projects(request: HttpRequest) -> HttpResponse:
    """The list; a POST makes a project."""
    form = ProjectForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        create_project(current_organization(request), form.cleaned_data["name"])
        messages.success(request, _("The project is made."))
        return redirect("projects")
    working = Count("api_keys", filter=Q(api_keys__revoked_at=None))
    rows = projects_of(request).annotate(key_count=working).order_by("archived_at", "id")
    return render(request, "accounts/projects.html", {"nav": "projects", "rows": rows, "form": form})


@login_required
@require_http_methods(["GET", "POST"])
def project(request: HttpRequest, id: int) -> HttpResponse:
    """Change its settings, or go on to archive."""
    found = project_or_404(request, id)
    initial = {name: getattr(found, name) for name in ProjectSettingsForm.base_fields}
    form = ProjectSettingsForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        change_project(found, **form.cleaned_data)
        messages.success(request, _("Saved."))
        return redirect("projects")
    return render(request, "accounts/project.html", {"nav": "projects", "project": found, "form": form})


@login_required
@require_POST
def project_archive(request: HttpRequest, id: int) -> HttpResponse:
    found = project_or_404(request, id)
    try:
        archive_project(found)
        messages.success(request, _("%(name)s is archived. Its keys are refused from now on.") % {"name": found.name})
    except LastProject:
        messages.error(request, _("This is your last project. Make another one before you archive it."))
    return redirect("projects")


@login_required
@require_http_methods(["GET", "POST"])
def settings_page(request: HttpRequest) -> HttpResponse:
    user = signed_in_user(request)
    form = PreferencesForm(request.POST or None, instance=user)
    if request.method == "POST" and form.is_valid():
        form.save()
        return _in_language(user.language, redirect("settings"))
    context = {"nav": "settings", "form": form, "organization": organization_or_none(request)}
    return render(request, "accounts/settings.html", context)


def _in_language(language: str, answer: HttpResponse) -> HttpResponse:
    """The cookie keeps the choice for the log-in page too; without a choice the browser decides again."""
    if language:
        translation.activate(language)
        answer.set_cookie(
            settings.LANGUAGE_COOKIE_NAME,
            language,
            max_age=365 * 24 * 3600,
            samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE,
        )
    else:
        answer.delete_cookie(settings.LANGUAGE_COOKIE_NAME, samesite="Lax")
    return answer


@login_required
@require_POST
def log_out_everywhere(request: HttpRequest) -> HttpResponse:
    log_out_elsewhere(request, signed_in_user(request))
    messages.success(request, _("All other sessions are ended."))
    return redirect("settings")
