"""Providers fail in every way they know; whoever asked notices nothing while one of them is well."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from routing.policy import breaker
from tests.fakes.faulty import MODES, Faulty
from tests.scenarios.conftest import Customer, Stack
from tests.scenarios.processes import Process

REQUESTS = int(os.environ.get("FAILOVER_REQUESTS", "400"))
AT_ONCE = 16
MODEL = "faults/model"
FAULTS = tuple(mode for mode in MODES if mode not in ("ok", "slow", "cut"))
PRICE_NANOS = 10 * 1_000 + 5 * 2_000  # 10 tokens in at one dollar a million, 5 out at two


@pytest.fixture(scope="module")
def providers(stack: Stack) -> Iterator[Faulty]:
    """Nine providers of one model at one price; `well` comes last where nothing else is known."""
    from routing.models import Deployment, Model, PriceCard, Provider

    faulty = Faulty()
    faulty.start()
    model = Model.objects.create(
        slug=MODEL, name="Faults", author="faults", input_modalities=["text"], output_modalities=["text"]
    )
    for name in (*FAULTS, "well"):
        provider = Provider.objects.create(
            slug=f"x-{name.replace('_', '-')}", name=name, auth="none", enabled=True,
            base_urls={"openai_chat": f"{faulty.url}/{name}/v1"},
        )  # fmt: skip
        deployment = Deployment.objects.create(provider=provider, model=model, upstream_id="m", dialect="openai_chat")
        PriceCard.objects.create(deployment=deployment, rates={"input": "1", "output": "2"})
    yield faulty
    model.enabled = False
    model.save()
    faulty.stop()


@pytest.fixture(scope="module")
def gateway(stack: Stack, providers: Faulty) -> Iterator[Process]:
    process = stack.processes.gateway(FIRST_BYTE_TIMEOUT_S="1", STALL_TIMEOUT_S="1")
    yield process
    process.stop()


async def _ask(client: httpx2.AsyncClient, url: str, key: str, stream: bool, **more: Any) -> tuple[int, str, str]:
    """Status, who answered after how many attempts, and the body."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "go"}], "stream": stream, "max_tokens": 50, **more}
    answer = await client.post(f"{url}/v1/chat/completions", headers={"authorization": f"Bearer {key}"}, json=body)
    return answer.status_code, answer.headers.get("x-router-provider", ""), answer.text


async def _all(url: str, customer: Customer, count: int, **more: Any) -> list[tuple[int, str, str]]:
    gate = asyncio.Semaphore(AT_ONCE)
    async with httpx2.AsyncClient(timeout=60, limits=httpx2.Limits(max_connections=AT_ONCE)) as client:

        async def one(number: int) -> tuple[int, str, str]:
            async with gate:
                return await _ask(client, url, customer.key, stream=number % 2 == 0, **more)

        return await asyncio.gather(*(one(number) for number in range(count)))


def ask(gateway: Process, customer: Customer, count: int, **more: Any) -> list[tuple[int, str, str]]:
    return asyncio.run(_all(gateway.url, customer, count, **more))


def is_whole(body: str) -> bool:
    return "provider." in body and ("[DONE]" in body or '"finish_reason":' in body) and '"error"' not in body


def test_with_one_provider_well_nobody_sees_a_failure_and_pays_for_answers_only(
    stack: Stack, providers: Faulty, gateway: Process
) -> None:
    customer = stack.customer(credit_usd="50")
    providers.calls.clear()
    providers.modes.update({name: name for name in FAULTS}, well="ok")
    answers = ask(gateway, customer, REQUESTS)
    assert Counter((status, is_whole(body)) for status, _, body in answers) == {(200, True): REQUESTS}
    assert {provider for _, provider, _ in answers} == {"x-well"}
    stack.until(lambda: stack.wallet(customer)[1] == 0, timeout_s=60)
    assert stack.wallet(customer)[0] == 50 * 10**9 - REQUESTS * PRICE_NANOS
    stack.assert_ledger_holds()
    # Whoever failed is left alone but for a probe now and then.
    rows = stack.rows(
        "SELECT trace, provider FROM observability_requestlog WHERE organization_id = %s", customer.organization_id
    )
    assert len(rows) == REQUESTS
    told: Counter[str] = Counter()
    for trace, _provider in rows:
        attempts = json.loads(trace)["attempts"]
        assert [attempt[0] for attempt in attempts] == list(range(1, len(attempts) + 1))
        assert attempts[-1][1] == "x-well" and attempts[-1][9] == ""
        assert all(attempt[9] for attempt in attempts[:-1]), "each fallback has its reason"
        told.update(attempt[1] for attempt in attempts[:-1])
    assert {name.removeprefix("x-") for name in told} == {name.replace("_", "-") for name in FAULTS}
    for name in FAULTS:
        attempts, calls = told[f"x-{name.replace('_', '-')}"], len(providers.calls[name])
        if name == "refuse":  # a kept connection that closes at once is tried anew within the attempt
            assert attempts <= calls <= 2 * attempts
        else:
            assert (name, attempts) == (name, calls)
        if name != "empty":  # an empty answer is no sign of ill health: it may be what was asked for
            assert len(providers.calls[name]) <= AT_ONCE + 12, name


def test_a_breaker_lets_single_probes_through_and_closes_when_one_succeeds(
    stack: Stack, providers: Faulty, gateway: Process
) -> None:
    customer = stack.customer(credit_usd="5")
    providers.modes.update(dict.fromkeys((*FAULTS, "well"), "broken"))
    only = {"provider": {"only": ["x-broken"]}}
    deadline = time.monotonic() + 60
    while ask(gateway, customer, 8, **only)[0][0] != 503:
        assert time.monotonic() < deadline
    providers.calls.clear()
    refused = ask(gateway, customer, 40, **only)
    assert {status for status, _, _ in refused} <= {502, 503}
    assert len(providers.calls["broken"]) <= 1
    providers.modes["broken"] = "ok"
    began = time.monotonic()
    stack.until(lambda: ask(gateway, customer, 1, **only)[0][0] == 200, timeout_s=breaker.LONGEST_OPEN_S + 10)
    assert time.monotonic() - began < breaker.LONGEST_OPEN_S + 10
    assert Counter(status for status, _, _ in ask(gateway, customer, 20, **only)) == {200: 20}
    providers.modes.update({name: name for name in FAULTS}, well="ok")


def test_what_breaks_off_after_content_is_an_error_in_the_stream_and_is_not_sent_elsewhere(
    stack: Stack, providers: Faulty, gateway: Process
) -> None:
    customer = stack.customer(credit_usd="5")
    providers.modes["well"] = "cut"
    providers.calls.clear()
    status, _, body = asyncio.run(_cut(gateway.url, customer))
    assert status == 200
    assert "Hello " in body and '"error"' in body
    assert len(providers.calls["well"]) == 1
    providers.modes["well"] = "ok"


async def _cut(url: str, customer: Customer) -> tuple[int, str, str]:
    async with httpx2.AsyncClient(timeout=30) as client:
        return await _ask(client, url, customer.key, True, provider={"only": ["x-well"]})
