"""A second attempt beside a slow first one, where the project pays for both: a line of its own, within the hold."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from billing.verify_receipt import charge_problems
from tests.fakes.faulty import WORDS, Faulty
from tests.scenarios.conftest import Customer, Stack
from tests.scenarios.processes import Process
from tests.scenarios.test_continuing import FIRST, SECOND, ask, chunks, customer_of, records, text_of

USD = 10**9
WARM = 15  # requests until a provider's usual first token is known
ANSWER_NANOS = 10 * 4_000 + 5 * 8_000  # of the second provider
CASES = ("paid", "ours", "refused", "unheard", "scarce")


def slug(case: str) -> str:
    return f"hedging/{case}"


def provider(case: str, place: int) -> str:
    return f"h-{case}-{place}"


@pytest.fixture(scope="module")
def faulty(stack: Stack) -> Iterator[Faulty]:
    from routing.models import Deployment, Model, PriceCard, Provider

    faulty = Faulty()
    faulty.start()
    for case in CASES:
        model = Model.objects.create(
            slug=slug(case), name=case, author="hedging", input_modalities=["text"], output_modalities=["text"],
            max_output_tokens=1000,
        )  # fmt: skip
        for place in (FIRST, SECOND):
            name = provider(case, place)
            row = Provider.objects.create(
                slug=name, name=name, auth="none", enabled=True, base_urls={"openai_chat": f"{faulty.url}/{name}/v1"}
            )
            deployment = Deployment.objects.create(provider=row, model=model, upstream_id="m", dialect="openai_chat")
            rates = {"input": str(1 + 3 * place), "output": str(2 + 6 * place)}
            PriceCard.objects.create(deployment=deployment, rates=rates)
    yield faulty
    Model.objects.filter(author="hedging").update(enabled=False)
    faulty.stop()


@pytest.fixture(scope="module")
def gateway(stack: Stack, faulty: Faulty) -> Iterator[Process]:
    process = stack.processes.gateway()
    yield process
    process.stop()


def body_of(case: str, **more: Any) -> dict[str, Any]:
    order = {"order": [provider(case, FIRST), provider(case, SECOND)]}
    return {
        "model": slug(case), "messages": [{"role": "user", "content": "go on"}], "stream": True, "max_tokens": 50,
        "stream_options": {"include_usage": True}, "provider": order, **more,
    }  # fmt: skip


def warmed(stack: Stack, faulty: Faulty, gateway: Process, case: str) -> None:
    """The first provider's usual first-token time is known; from now on it takes much longer."""
    customer = stack.customer()
    for _ in range(WARM):
        ask(gateway, customer, body_of(case))
    assert len(faulty.calls[provider(case, FIRST)]) == WARM and not faulty.calls[provider(case, SECOND)]
    time.sleep(1.2)  # estimates are kept for a second


def assert_paid(stack: Stack, customer: Customer, credit: int = 5 * USD) -> list[tuple[Any, ...]]:
    stack.until(lambda: stack.wallet(customer)[1] == 0)
    found = records(stack, customer)
    assert stack.wallet(customer)[0] == credit - sum(row[4] for row in found)
    stack.assert_ledger_holds()
    return found


def test_the_slower_attempts_prompt_is_a_line_of_its_own(stack: Stack, faulty: Faulty, gateway: Process) -> None:
    warmed(stack, faulty, gateway, "paid")
    faulty.modes[provider("paid", FIRST)] = "ponder"
    customer = customer_of(stack, hedge="paid")
    stream = ask(gateway, customer, body_of("paid"))
    assert text_of(stream) == "".join(WORDS)
    first, lost = assert_paid(stack, customer)
    assert first[:3] == (0, provider("paid", SECOND), "answered") and first[4] == ANSWER_NANOS
    assert lost[:3] == (2, provider("paid", FIRST), "hedge_lost")
    assert lost[3].keys() == {"input", "request"} and lost[4] == lost[3]["input"] * 1_000 > 0
    assert chunks(stream)[-1]["usage"]["cost"] == pytest.approx((first[4] + lost[4]) / USD)
    ((request_id,),) = stack.rows(
        "SELECT id::text FROM observability_requestlog WHERE organization_id = %s", customer.organization_id
    )
    headers = {"authorization": f"Bearer {customer.key}"}
    answer = httpx2.get(f"{gateway.url}/v1/generation?id={request_id}", headers=headers).json()["data"]
    assert [part["policy"] for part in answer["receipt"]["parts"]] == ["answered", "hedge_lost"]
    assert charge_problems(answer["receipt"]) == []


def test_at_our_cost_there_is_no_such_line(stack: Stack, faulty: Faulty, gateway: Process) -> None:
    warmed(stack, faulty, gateway, "ours")
    faulty.modes[provider("ours", FIRST)] = "ponder"
    customer = customer_of(stack, hedge="ours")
    ask(gateway, customer, body_of("ours"))
    (first,) = assert_paid(stack, customer)
    assert first[:3] == (0, provider("ours", SECOND), "answered") and first[4] == ANSWER_NANOS


def test_an_attempt_that_its_provider_had_not_taken_up_is_not_charged(
    stack: Stack, faulty: Faulty, gateway: Process
) -> None:
    warmed(stack, faulty, gateway, "unheard")
    faulty.modes[provider("unheard", FIRST)] = "slow"
    customer = customer_of(stack, hedge="paid")
    ask(gateway, customer, body_of("unheard"))
    (first,) = assert_paid(stack, customer)
    assert first[:2] == (0, provider("unheard", SECOND))


def test_an_attempt_that_fails_is_not_charged(stack: Stack, faulty: Faulty, gateway: Process) -> None:
    warmed(stack, faulty, gateway, "refused")
    faulty.modes.update({provider("refused", FIRST): "ponder", provider("refused", SECOND): "broken"})
    customer = customer_of(stack, hedge="paid")
    ask(gateway, customer, body_of("refused"))
    (first,) = assert_paid(stack, customer)
    assert first[:2] == (0, provider("refused", FIRST))
    ((trace,),) = stack.rows(
        "SELECT trace FROM observability_requestlog WHERE organization_id = %s", customer.organization_id
    )
    attempts = json.loads(trace)["attempts"] if isinstance(trace, str) else trace["attempts"]
    assert {attempt[4] for attempt in attempts} >= {"hedge"}


def test_credit_for_one_attempt_only_makes_no_second(stack: Stack, faulty: Faulty, gateway: Process) -> None:
    warmed(stack, faulty, gateway, "scarce")
    faulty.modes[provider("scarce", FIRST)] = "ponder"
    poor = customer_of(stack, credit_usd="0.0006", hedge="paid")  # an attempt can cost some 0.00056
    ask(gateway, poor, body_of("scarce"))
    assert not faulty.calls[provider("scarce", SECOND)]
    (first,) = assert_paid(stack, poor, credit=600_000)
    assert first[:2] == (0, provider("scarce", FIRST))
    rich = customer_of(stack, credit_usd="0.01", hedge="paid")
    ask(gateway, rich, body_of("scarce"))
    assert len(faulty.calls[provider("scarce", SECOND)]) == 1
