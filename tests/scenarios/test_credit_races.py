"""Many clients over several gateway processes against credit that affords only so many requests."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from tests.scenarios.conftest import Customer, Stack

CLIENTS = 200
NANOS = 1_000_000  # what a request for 100 tokens of this model costs at most
AFFORDED = 60


@pytest.fixture(scope="module")
def gateways(stack: Stack) -> Iterator[list[str]]:
    started = [stack.processes.gateway(SANDBOX_URL=stack.sandbox.url) for _ in range(3)]
    worker = stack.processes.worker()
    yield [stack.url, *(process.url for process in started)]
    worker.stop()
    for process in started:
        process.stop()


async def _ask(client: httpx2.AsyncClient, url: str, key: str, model: str) -> int:
    body = {"model": model, "messages": [{"role": "user", "content": "go"}], "max_tokens": 100}
    answer = await client.post(f"{url}/v1/chat/completions", headers={"authorization": f"Bearer {key}"}, json=body)
    return answer.status_code


async def _burst(urls: list[str], customer: Customer, model: str, count: int) -> Counter[int]:
    limits = httpx2.Limits(max_connections=count)
    async with httpx2.AsyncClient(timeout=60, limits=limits) as client:
        asked = (_ask(client, urls[number % len(urls)], customer.key, model) for number in range(count))
        return Counter(await asyncio.gather(*asked))


def _burst_of(urls: list[str], customer: Customer, model: str, count: int = CLIENTS) -> Counter[int]:
    return asyncio.run(_burst(urls, customer, model, count))


def _settled(stack: Stack, customer: Customer) -> tuple[int, int]:
    """Requests charged and their sum, once nothing is held any more."""
    stack.until(lambda: stack.wallet(customer)[1] == 0, timeout_s=30)
    (row,) = stack.rows(
        "SELECT count(*), coalesce(sum(charge_nanos), 0)::bigint FROM billing_usagerecord"
        " WHERE organization_id = %s AND charge_nanos > 0",
        customer.organization_id,
    )
    return row  # type: ignore[return-value]


def test_with_usage_equal_to_the_estimate_exactly_as_many_are_served_as_the_wallet_affords(
    stack: Stack, gateways: list[str]
) -> None:
    customer = stack.customer(credit_usd=f"{AFFORDED * NANOS / 1e9:.9f}")
    counts = _burst_of(gateways, customer, "sandbox/exact")
    assert counts[200] + counts[402] == CLIENTS
    served = counts[200]
    for _ in range(5):  # slices that other processes held back come home
        if served == AFFORDED:
            break
        served += _burst_of(gateways, customer, "sandbox/exact", 20)[200]
    assert served == AFFORDED
    assert _settled(stack, customer) == (AFFORDED, AFFORDED * NANOS)
    assert stack.wallet(customer) == (0, 0)
    stack.assert_ledger_holds()


def test_with_an_estimate_of_four_times_the_cost_nothing_is_overspent_and_all_credit_is_used(
    stack: Stack, gateways: list[str]
) -> None:
    customer = stack.customer(credit_usd=f"{AFFORDED * NANOS / 4 / 1e9:.9f}")
    served = 0
    for _ in range(30):
        served += _burst_of(gateways, customer, "sandbox/quarter", CLIENTS if not served else 20)[200]
        if served >= AFFORDED:
            break
    assert served == AFFORDED
    assert _settled(stack, customer) == (AFFORDED, AFFORDED * NANOS // 4)
    assert stack.wallet(customer)[0] == 0
    stack.assert_ledger_holds()


def test_a_key_budget_is_not_overspent(stack: Stack, gateways: list[str]) -> None:
    from accounts.announce import announce_every_key
    from billing.models.plans import Budget

    customer = stack.customer(credit_usd="5")
    Budget.objects.create(
        organization_id=customer.organization_id,
        api_key_id=customer.api_key_id,
        period="day",
        limit_nanos=AFFORDED * NANOS,
    )
    announce_every_key()
    served = 0
    for _ in range(6):
        served += _burst_of(gateways, customer, "sandbox/exact", CLIENTS if not served else 20)[200]
        if served >= AFFORDED:
            break
    assert served == AFFORDED
    assert _settled(stack, customer) == (AFFORDED, AFFORDED * NANOS)
    stack.assert_ledger_holds()


def test_a_plan_window_is_not_overspent_and_a_reset_opens_a_new_one(stack: Stack, gateways: list[str]) -> None:
    from accounts.announce import announce_every_key
    from billing.models.plans import Plan, Subscription, Window

    customer = stack.customer(credit_usd="5")
    terms = {
        "slug": "tiny",
        "name": "Tiny",
        "rank": 1,
        "price_nanos": 0,
        "period_days": 30,
        "covered_models": ["sandbox/*"],
        "five_hours_nanos": AFFORDED * NANOS,
        "seven_days_nanos": 100 * AFFORDED * NANOS,
        "period_nanos": 100 * AFFORDED * NANOS,
    }
    plan = Plan.objects.create(**{**terms, "slug": f"tiny-{customer.organization_id}", "is_sold": False})
    now = datetime.now(UTC)
    subscription = Subscription.objects.create(
        organization_id=customer.organization_id,
        plan=plan,
        terms=terms,
        period_start=now,
        period_end=now + timedelta(days=30),
    )
    announce_every_key()
    served = 0
    for _ in range(6):
        served += _burst_of(gateways, customer, "sandbox/exact", CLIENTS if not served else 20)[200]
        if served >= AFFORDED:
            break
    assert served == AFFORDED
    five_hours = Window.objects.filter(subscription=subscription, name="five_hours")
    stack.until(lambda: five_hours.get().held_nanos == 0 and five_hours.get().spent_nanos == AFFORDED * NANOS)
    five_hours.update(closes_at=datetime.now(UTC))  # the five hours are over
    time.sleep(1.2)  # a gateway remembers a refusal for a second
    again = sum(_burst_of(gateways, customer, "sandbox/exact", 20)[200] for _ in range(2))
    assert again == 40
    stack.until(lambda: five_hours.latest("opens_at").spent_nanos == again * NANOS)
    assert stack.wallet(customer)[0] == 5 * 10**9, "the wallet pays nothing: overflow is off"
    stack.assert_ledger_holds()


def test_a_dollar_serves_a_large_model_without_a_limit_by_lowering_it(stack: Stack, gateways: list[str]) -> None:
    customer = stack.customer(credit_usd="0.02")
    body = {"model": "sandbox/exact", "messages": [{"role": "user", "content": "go"}]}
    answer = httpx2.post(
        f"{gateways[1]}/v1/chat/completions", headers={"authorization": f"Bearer {customer.key}"}, json=body, timeout=30
    )
    assert answer.status_code == 200
    assert int(answer.headers["x-router-output-cap"]) < 4096
