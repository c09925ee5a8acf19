"""Checks that staff or the probe plan asked for: sent, written down, told to the gateway's processes."""

from __future__ import annotations

import structlog
from django.conf import settings
from django.utils import timezone
from redis import Redis, RedisError

from billing.pricing.price import price
from billing.pricing.rates import choose_card
from billing.pricing.usage import TokenUsage
from gateway import probing
from gateway.probing import Finding
from routing.models import Check
from routing.page_catalogue import catalogue_for_checks
from routing.policy.candidate import ONE, Catalogue, DeploymentInfo, ModelInfo

log = structlog.get_logger(__name__)


def run(check_id: int) -> None:
    """Nothing happens where the check has ended, or its row is gone."""
    check = Check.objects.filter(pk=check_id, ended_at=None).first()
    if check is None:
        return
    catalogue = catalogue_for_checks()
    found = _find(catalogue, check.deployment_id)
    if found is None:
        _end(check, Finding("not_in_catalogue"), None)
        return
    model, deployment = found
    if deployment.auth != "none" and not deployment.credentials:
        _end(check, Finding("no_credential"), None)
        return
    chosen = [one for one in deployment.credentials if one.id == check.credential_id] or deployment.credentials[:1]
    credential = chosen[0] if chosen else None
    finding = probing.look(deployment, model, credential)
    check.credential_id = None if credential is None else credential.id
    _end(check, finding, _cost_nanos(catalogue, deployment, finding))
    if finding.error_class not in probing.NEVER_SENT:
        _tell(deployment.id, finding)


def _find(catalogue: Catalogue, deployment_id: int) -> tuple[ModelInfo, DeploymentInfo] | None:
    for model in catalogue.models.values():
        for deployment in model.deployments:
            if deployment.id == deployment_id:
                return model, deployment
    return None


def _end(check: Check, finding: Finding, cost_nanos: int | None) -> None:
    """A cost that is not known leaves the expected one, which the budget has counted."""
    check.ended_at = timezone.now()
    check.status = finding.status
    check.error_class = finding.error_class
    check.first_token_ms = None if finding.first_token_s is None else round(finding.first_token_s * 1000)
    check.total_ms = round(finding.total_s * 1000)
    check.output_tokens = finding.output_tokens
    if cost_nanos is not None:
        check.cost_nanos = cost_nanos
    check.save()
    log.info("deployment_checked", deployment=check.deployment_id, kind=check.kind, error_class=finding.error_class)


def _cost_nanos(catalogue: Catalogue, deployment: DeploymentInfo, finding: Finding) -> int | None:
    """At list price: it is we who pay."""
    if finding.usage is None:
        return 0 if finding.error_class and finding.first_token_s is None else None
    now, size = timezone.now(), finding.usage.prompt_size
    card = choose_card(deployment.price_cards, at=now, tier="standard", prompt_size=size, holidays=catalogue.holidays)
    if card is None:
        return None
    try:
        units = catalogue.units_per_usd(deployment.currency, now)
    except LookupError:
        return None
    usage: TokenUsage = finding.usage
    return price(usage, card, units_per_usd=units, markup=ONE).total_nanos


def _tell(deployment_id: int, finding: Finding) -> None:
    try:
        with Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as redis:
            probing.tell(redis, deployment_id, finding)
    except (RedisError, OSError) as error:
        log.warning("check_not_told", error_class=type(error).__name__)
