"""A project's routing: changed in one transaction, compiled for the gateway, told to its processes.

Every change of settings or rules goes through here: it locks the project's row of settings, raises its version, writes
the compiled text, and makes the processes look the project's keys up again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.db.models import Max, QuerySet

from accounts.announce import announce_keys_of
from accounts.models import Project, User
from routing.models import ProjectRouting, RoutingRule
from routing.policy.rule_json import problems
from routing.project_policy import policy_of

RULES_MAX = 50
_CHANGEABLE = frozenset(
    field.name
    for field in ProjectRouting._meta.get_fields()
    if field.name not in {"id", "project", "version", "compiled", "updated_at", "updated_by"}
)


class TooManyRules(Exception):
    """A project has at most RULES_MAX rules: each is looked at for every request."""


def routing_of(project: Project) -> ProjectRouting:
    """The project's row; where it has none yet one with the defaults, not stored."""
    return ProjectRouting.objects.filter(project=project).first() or ProjectRouting(project=project)


def rules_of(project: Project) -> QuerySet[RoutingRule]:
    return RoutingRule.objects.filter(project=project).order_by("position", "id")


def change_routing(project: Project, user: User | None, values: Mapping[str, Any]) -> ProjectRouting:
    """The project's settings have these values then; what is not named stays. Raises ValueError for an unknown name."""
    unknown = values.keys() - _CHANGEABLE
    if unknown:
        raise ValueError(f"no such setting: {', '.join(sorted(unknown))}")
    with _changing(project, user) as row:
        for name, value in values.items():
            setattr(row, name, value)
    return row


def add_rule(
    project: Project,
    user: User | None,
    *,
    name: str,
    match: Mapping[str, Any],
    action: Mapping[str, Any],
    enabled: bool = True,
) -> RoutingRule:
    """The new rule is the last. Raises TooManyRules, and ValueError for a rule that could not be followed."""
    _check(match, action)
    with _changing(project, user):
        known = rules_of(project).aggregate(last=Max("position"))
        if rules_of(project).count() >= RULES_MAX:
            raise TooManyRules
        position = 0 if known["last"] is None else known["last"] + 1
        return RoutingRule.objects.create(
            project=project, position=position, name=name, match=dict(match), action=dict(action), enabled=enabled
        )


def change_rule(rule: RoutingRule, user: User | None, **values: Any) -> None:
    """`values`: name, enabled, match or action. Raises ValueError for a rule that could not be followed."""
    _check(values.get("match", rule.match), values.get("action", rule.action))
    with _changing(rule.project, user):
        for name, value in values.items():
            setattr(rule, name, value)
        rule.save(update_fields=[*values, "updated_at"])


def delete_rule(rule: RoutingRule, user: User | None) -> None:
    with _changing(rule.project, user):
        rule.delete()


def move_rule(rule: RoutingRule, user: User | None, *, up: bool) -> None:
    """Changes places with its neighbour; where there is none nothing changes."""
    with _changing(rule.project, user):
        rows = list(rules_of(rule.project))
        here = next((index for index, row in enumerate(rows) if row.pk == rule.pk), None)
        there = None if here is None else here - 1 if up else here + 1
        if here is None or there is None or not 0 <= there < len(rows):
            return
        rows[here], rows[there] = rows[there], rows[here]
        for position, row in enumerate(rows):
            row.position = position
        RoutingRule.objects.bulk_update(rows, ["position"])


def recompile(project: Project) -> None:
    """Writes the compiled text anew, for a project that has settings; after the shape of a policy has changed."""
    if ProjectRouting.objects.filter(project=project).exists():
        with _changing(project, None):
            pass


def _check(match: Mapping[str, Any], action: Mapping[str, Any]) -> None:
    wrong = problems(match, action)
    if wrong:
        raise ValueError("; ".join(f"{field} {message}" for field, message in wrong))


@contextmanager
def _changing(project: Project, user: User | None) -> Iterator[ProjectRouting]:
    with transaction.atomic():
        ProjectRouting.objects.get_or_create(project=project)
        row = ProjectRouting.objects.select_for_update().get(project=project)
        yield row
        row.version += 1
        row.updated_by = user or row.updated_by
        row.compiled = policy_of(row, rules_of(project)).to_json()
        row.save()
        announce_keys_of(project)
