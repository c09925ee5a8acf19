"""Projects: make, change, archive. An archived project keeps its rows; its keys stop."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from accounts.announce import announce_every_key, announce_keys_of
from accounts.models import Organization, Project


class LastProject(Exception):
    """An organization keeps at least one project that is not archived."""


def create_project(organization: Organization, name: str) -> Project:
    return Project.objects.create(organization=organization, name=_clean(name))


@transaction.atomic
def change_project(
    project: Project,
    *,
    name: str,
    strict_translation: bool,
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
    max_concurrent: int | None = None,
) -> None:
    """The project has these values then. The gateway's processes hear of it within a second.

    Raises ValueError for an empty name or a limit below one.
    """
    limits = (requests_per_minute, tokens_per_minute, max_concurrent)
    if any(limit is not None and limit < 1 for limit in limits):
        raise ValueError("a limit must be at least one")
    project.name = _clean(name)
    project.strict_translation = strict_translation
    project.requests_per_minute, project.tokens_per_minute, project.max_concurrent = limits
    project.save(
        update_fields=["name", "strict_translation", "requests_per_minute", "tokens_per_minute", "max_concurrent"]
    )
    announce_keys_of(project)


@transaction.atomic
def archive_project(project: Project) -> None:
    """Its keys are refused within a second. Archiving again changes nothing. Raises LastProject."""
    # The organization's row is the lock: two projects cannot both be archived as the last but one.
    Organization.objects.select_for_update().get(pk=project.organization_id)
    others = Project.objects.filter(organization_id=project.organization_id, archived_at=None).exclude(pk=project.pk)
    if not others.exists():
        raise LastProject
    if Project.objects.filter(pk=project.pk, archived_at=None).update(archived_at=timezone.now()):
        announce_every_key()


def _clean(name: str) -> str:
    if not name.strip():
        raise ValueError("a project needs a name")
    return name.strip()
