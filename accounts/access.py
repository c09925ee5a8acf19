"""The only door for pages: what of an organization this request's user may see."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.utils.translation import gettext as _

from accounts.models import ApiKey, Organization, Project, User


def signed_in_user(request: HttpRequest) -> User:
    """The user behind a page that asks for a log-in. Raises PermissionDenied for anybody else."""
    if not isinstance(request.user, User):
        raise PermissionDenied(_("Sign in first."))
    return request.user


def organization_or_none(request: HttpRequest) -> Organization | None:
    """The user's organization; None for visitors and for staff who belong to none. Asked once per request."""
    if not hasattr(request, "_organization"):
        user = request.user if hasattr(request, "user") else None
        found = None
        if isinstance(user, User):
            found = Organization.objects.filter(memberships__user=user).order_by("memberships__id").first()
        request._organization = found  # type: ignore[attr-defined]
    organization: Organization | None = request._organization  # type: ignore[attr-defined]
    return organization


def current_organization(request: HttpRequest) -> Organization:
    """Raises PermissionDenied where the user belongs to none."""
    organization = organization_or_none(request)
    if organization is None:
        raise PermissionDenied(_("Your account belongs to no organization."))
    return organization


def projects_of(request: HttpRequest) -> QuerySet[Project]:
    """Every project of the user's organization, archived ones too, the oldest first."""
    return Project.objects.filter(organization=current_organization(request)).order_by("id")


def active_projects_of(request: HttpRequest) -> QuerySet[Project]:
    return projects_of(request).filter(archived_at=None)


def project_or_404(request: HttpRequest, id: int) -> Project:
    project = projects_of(request).filter(pk=id).first()
    if project is None:
        raise Http404
    return project


def api_keys_of(request: HttpRequest) -> QuerySet[ApiKey]:
    """Every key of the user's organization, revoked ones too."""
    return ApiKey.objects.filter(project__organization=current_organization(request)).select_related("project")


def api_key_or_404(request: HttpRequest, id: int) -> ApiKey:
    key = api_keys_of(request).filter(pk=id).first()
    if key is None:
        raise Http404
    return key
