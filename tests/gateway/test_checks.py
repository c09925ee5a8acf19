"""Tiny requests that try deployments: sent for real, written down without a word of content, told to the gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from redis import Redis

from gateway import checks, probing
from gateway.gossip import STREAM
from gateway.health import Health
from gateway.tasks import check_deployment
from routing.management.commands.load_catalogue import load
from routing.models import Check, Deployment, PriceCard, Provider
from tests.gateway.sandbox.conftest import sandbox_url as _sandbox_url

pytestmark = pytest.mark.django_db
sandbox_url = _sandbox_url
SANDBOX = Path(__file__).resolve().parents[2] / "routing/data/sandbox"


@pytest.fixture(autouse=True)
def catalogue(sandbox_url: str, settings: Any) -> None:
    settings.SANDBOX_URL = sandbox_url
    load(SANDBOX)


@pytest.fixture
def gossip() -> Any:
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.delete(STREAM)
        yield redis
        redis.delete(STREAM)


def checked(model: str, kind: str = "test", **changes: Any) -> Check:
    deployment = Deployment.objects.filter(model__slug=model).order_by("priority").first()
    assert deployment is not None
    for name, value in changes.items():
        setattr(deployment, name, value)
    deployment.save()
    check = Check.objects.create(deployment=deployment, kind=kind, cost_nanos=7)
    check_deployment(check.pk)
    check.refresh_from_db()
    return check


@pytest.mark.parametrize(
    "model",
    [
        "sandbox/echo",
        "sandbox/echo-anthropic",
        "sandbox/echo-responses",
        "sandbox/echo-gemini",
        "sandbox/reasoning",
        "sandbox/exact",
    ],
)
def test_every_protocol_is_tried_with_a_stream(model: str, gossip: Any) -> None:
    check = checked(model)
    assert check.went_well and (check.status, check.error_class) == (200, "")
    assert check.first_token_ms is not None and check.total_ms is not None
    assert 0 < check.output_tokens <= probing.OUTPUT_TOKENS and check.cost_nanos != 7


def test_an_embedding_model_is_tried_too(gossip: Any) -> None:
    check = checked("sandbox/embedding")
    assert check.went_well and check.cost_nanos > 0


@pytest.mark.parametrize(
    ("upstream_id", "status", "error_class"),
    [
        ("sandbox-fail-500", 500, "server_error"),
        ("sandbox-fail-429", 429, "rate_limited"),
        ("sandbox-fail-401", 401, "credential"),
        ("sandbox-fail-402", 402, "credit"),
        ("sandbox-cut", 200, "cut"),
        ("sandbox-empty", 200, "empty"),
        ("no-such-model", 404, "not_found"),
    ],
)
def test_a_failure_has_its_class(upstream_id: str, status: int, error_class: str, gossip: Any) -> None:
    check = checked("sandbox/echo", upstream_id=upstream_id)
    assert (check.status, check.error_class, check.went_well) == (status, error_class, False)


def test_nobody_at_the_address(gossip: Any) -> None:
    check = checked("sandbox/echo", base_url="http://127.0.0.1:9/v1")
    assert (check.status, check.error_class) == (None, "connect_failed")
    assert check.cost_nanos == 0


def test_a_silent_provider_is_given_up(gossip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "WHOLE_S", 0.5)
    assert checked("sandbox/stall").error_class == "stalled"


def test_without_a_credential_nothing_is_sent(gossip: Any) -> None:
    Provider.objects.update(auth="bearer")
    assert checked("sandbox/echo").error_class == "no_credential"
    assert gossip.xlen(STREAM) == 0


def test_the_gateways_processes_hear_of_it(gossip: Any) -> None:
    check = checked("sandbox/echo")
    failed = checked("sandbox/fail-500")
    health = Health(None)
    for _id, fields in gossip.xrange(STREAM):
        health.hear(json.loads(fields[b"n"])["health"], float(fields[b"t"]), float(fields[b"t"]))
    assert health.vitals(check.deployment_id).timed == pytest.approx(1, abs=0.1)
    assert health.vitals(failed.deployment_id).error_rate > health.vitals(check.deployment_id).error_rate


def test_a_check_is_made_once(gossip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    check = checked("sandbox/echo")
    monkeypatch.setattr(checks.probing, "look", lambda *_: pytest.fail("sent again"))
    check_deployment(check.pk)
    check_deployment(999_999_999)


def test_the_cost_is_the_list_price(gossip: Any, settings: Any) -> None:
    settings.MARKUP = "10"
    PriceCard.objects.update(rates={"input": "0", "output": "10"})
    check = checked("sandbox/exact")
    assert check.cost_nanos == check.output_tokens * 10_000
