"""What staff see of every deployment: live figures, the breaker, whether it is in use, and the last check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Prefetch
from django.utils import timezone

from routing.live_breakers import Key, listener
from routing.live_health import read_vitals
from routing.models import Check, Credential, Deployment, ProbePlan, Provider
from routing.policy.score import DEGRADED, Option, tier_of
from routing.policy.vitals import Vitals
from routing.probes import EXPIRES_S, spent_today

_LOST_AFTER = timedelta(seconds=EXPIRES_S + 60)  # a check takes its time too
IN_USE, DRAINING, OFF = "in_use", "draining", "off"


@dataclass(frozen=True, slots=True)
class Row:
    """`vitals` None: no news. `trouble`: "", degraded, half_open or open; `until`: when it is tried again, if known.
    `check_lost`: the worker was asked for the last check and did not make it in time."""

    deployment: Deployment
    state: str
    vitals: Vitals | None
    trouble: str
    until: datetime | None
    check: Check | None
    check_lost: bool

    @property
    def samples(self) -> int:
        return 0 if self.vitals is None else round(max(self.vitals.samples, self.vitals.seen))


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """`until`: it is refused or limited there, and left alone until then."""

    credential: Credential
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Group:
    """A provider with its deployments, those in trouble first."""

    provider: Provider
    state: str
    credentials: Sequence[CredentialRow]
    rows: tuple[Row, ...]

    @property
    def cooling(self) -> int:
        return sum(row.until is not None for row in self.credentials)

    @property
    def troubled(self) -> int:
        return sum(bool(row.trouble) for row in self.rows)

    @property
    def samples(self) -> int:
        return sum(row.samples for row in self.rows)


@dataclass(frozen=True, slots=True)
class Board:
    """`shown` is used, trouble or all; groups in trouble come first. The counts are of all deployments in use, and of
    the credentials of all providers in use."""

    groups: tuple[Group, ...]
    shown: str
    in_use: int
    troubled: int
    draining: int
    without_news: int
    cooling: int
    plan: ProbePlan
    spent_nanos: int


def board(shown: str = "used", text: str = "") -> Board:
    now = timezone.now()
    live = _Live(read_vitals(), listener.open_until(), _last_checks(), now)
    groups = [_group(provider, live) for provider in _providers()]
    groups.sort(key=lambda group: not (group.troubled or group.cooling))
    used = [row for group in groups if group.state == IN_USE for row in group.rows if row.state == IN_USE]
    chosen = [_shown(group, shown, text) for group in groups]
    return Board(
        groups=tuple(group for group in chosen if group.rows or _is_told_of(group, shown, text)),
        shown=shown,
        in_use=len(used),
        troubled=sum(bool(row.trouble) for row in used),
        draining=sum(row.state == DRAINING or group.state == DRAINING for group in groups for row in group.rows),
        without_news=sum(row.vitals is None for row in used),
        cooling=sum(group.cooling for group in groups if group.state == IN_USE),
        plan=ProbePlan.objects.filter(pk=1).first() or ProbePlan(),
        spent_nanos=spent_today(now),
    )


class _Live(NamedTuple):
    """What is known besides the catalogue."""

    vitals: Mapping[int, Vitals]
    open_until: Mapping[Key, datetime]
    checks: Mapping[int, Check]
    now: datetime


def _providers() -> Sequence[Provider]:
    deployments = Deployment.objects.select_related("model").order_by("model__slug", "id")
    credentials = Credential.objects.filter(enabled=True).order_by("-weight", "id")
    return Provider.objects.order_by("name").prefetch_related(
        Prefetch("deployments", deployments), Prefetch("credentials", credentials)
    )  # type: ignore[return-value]


def _last_checks() -> Mapping[int, Check]:
    rows = Check.objects.order_by("deployment_id", "-created_at").distinct("deployment_id")
    return {row.deployment_id: row for row in rows}


def _group(provider: Provider, live: _Live) -> Group:
    rows = [_row(row, live) for row in provider.deployments.all()]
    rows.sort(key=lambda row: (row.state != IN_USE, _WORST.index(row.trouble), row.deployment.model.slug))
    valid = [one for one in provider.credentials.all() if one.valid_until is None or one.valid_until > live.now]
    credentials = [CredentialRow(one, live.open_until.get(("credential", one.pk))) for one in valid]
    return Group(provider, state_of(provider), credentials, tuple(rows))


_WORST = ("open", "half_open", "degraded", "")


def _row(deployment: Deployment, live: _Live) -> Row:
    vitals, until = live.vitals.get(deployment.pk), live.open_until.get(("deployment", deployment.pk))
    trouble = "open" if until else _trouble(vitals)
    check = live.checks.get(deployment.pk)
    lost = check is not None and check.ended_at is None and check.created_at < live.now - _LOST_AFTER
    return Row(deployment, state_of(deployment), vitals, trouble, until, check, lost)


def state_of(row: Provider | Deployment) -> str:
    if not row.enabled:
        return OFF
    return DRAINING if row.drained_at else IN_USE


def _trouble(vitals: Vitals | None) -> str:
    if vitals is None:
        return ""
    if vitals.breaker in ("open", "half_open"):
        return vitals.breaker
    degraded = tier_of(Option(0, 0, None, vitals, 0)) == DEGRADED
    return "degraded" if degraded else ""


def _shown(group: Group, shown: str, text: str) -> Group:
    rows = group.rows
    if shown == "used":
        rows = tuple(row for row in rows if row.state != OFF) if group.state != OFF else ()
    elif shown == "trouble":
        rows = tuple(row for row in rows if row.trouble or DRAINING in (row.state, group.state))
    words = text.lower().split()
    if words:
        rows = tuple(row for row in rows if all(word in _haystack(group, row) for word in words))
    return Group(group.provider, group.state, group.credentials, rows)


def _is_told_of(group: Group, shown: str, text: str) -> bool:
    """Without any row: a provider whose deployments are well, and a credential of it is not."""
    return shown == "trouble" and group.state != OFF and bool(group.cooling) and not text.split()


def _haystack(group: Group, row: Row) -> str:
    deployment = row.deployment
    return f"{group.provider.slug} {group.provider.name} {deployment.model.slug} {deployment.upstream_id}".lower()
