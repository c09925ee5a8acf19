"""Wallets under fire: many requests at once, and never a cent twice."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx2
import pytest

from tests.scenarios.conftest import Customer, Stack

BODY = {"messages": [{"role": "user", "content": "go"}], "max_tokens": 100}


async def _burst(stack: Stack, customer: Customer, model: str, count: int) -> Counter[int]:
    headers = {"authorization": f"Bearer {customer.key}"}
    async with httpx2.AsyncClient(timeout=60, limits=httpx2.Limits(max_connections=100)) as client:

        async def one() -> int:
            answer = await client.post(
                f"{stack.url}/v1/chat/completions", headers=headers, json={"model": model, **BODY}
            )
            return answer.status_code

        return Counter(await asyncio.gather(*[one() for _ in range(count)]))


def test_fifty_at_once_on_a_wallet_for_twenty_serve_exactly_twenty(stack: Stack) -> None:
    customer = stack.customer(credit_usd="0.020")  # 100 output tokens at 10 USD a million: 0.001 each
    assert asyncio.run(_burst(stack, customer, "sandbox/exact", 50)) == {200: 20, 402: 30}
    assert stack.wallet(customer) == (0, 0)
    stack.assert_ledger_holds()


def test_an_estimate_of_four_times_the_cost_never_overspends_and_serves_twenty_in_the_end(stack: Stack) -> None:
    customer = stack.customer(credit_usd="0.005")  # a quarter of 100 tokens: 0.00025 each
    served = 0
    for _ in range(40):
        served += asyncio.run(_burst(stack, customer, "sandbox/quarter", 50 if served == 0 else 20 - served or 1))[200]
        posted, held = stack.wallet(customer)
        assert posted >= 0 and held == 0
        if posted == 0:
            break
    assert served == 20
    assert stack.wallet(customer) == (0, 0)
    assert stack.rows(
        "SELECT count(*), count(DISTINCT request_id) FROM billing_usagerecord"
        " WHERE api_key_id = %s AND charge_nanos > 0",
        customer.api_key_id,
    ) == [(20, 20)]


def test_scarce_credit_lowers_the_output_limit_before_it_refuses(stack: Stack) -> None:
    customer = stack.customer(credit_usd="0.020")  # buys 2,000 tokens; the request sets no limit
    body = {"model": "sandbox/exact", "messages": BODY["messages"]}
    answer = httpx2.post(f"{stack.url}/v1/chat/completions", headers={"x-api-key": customer.key}, json=body, timeout=30)
    assert answer.status_code == 200
    assert int(answer.headers["x-router-output-cap"]) == 2000
    assert stack.wallet(customer) == (0, 0)


def test_a_failing_first_provider_is_not_the_customers_cost(stack: Stack) -> None:
    customer = stack.customer()
    answer = stack.openai(customer).chat.completions.with_raw_response.create(
        model="sandbox/flaky",
        messages=BODY["messages"],  # type: ignore[arg-type]
    )
    assert answer.parse().choices[0].message.content
    assert answer.headers["x-router-attempts"] == "2"
    stack.settle()
    attempts = stack.rows(
        "SELECT (a->>0)::int, (a->>8)::int, a->>9, a->>4 FROM observability_requestlog r,"
        " jsonb_array_elements(r.trace->'attempts') a WHERE r.api_key_id = %s ORDER BY 1",
        customer.api_key_id,
    )
    assert [(row[0], row[1], row[2]) for row in attempts] == [(1, 500, "server_error"), (2, 200, "")]
    assert attempts[1][3] == "failover"
    assert stack.rows("SELECT count(*) FROM billing_usagerecord WHERE api_key_id = %s", customer.api_key_id) == [(1,)]


@pytest.mark.parametrize("model", ["sandbox/cut", "sandbox/error-in-stream"])
def test_a_stream_that_breaks_ends_in_an_error_and_charges_what_was_delivered(stack: Stack, model: str) -> None:
    customer = stack.customer()
    with httpx2.stream(
        "POST",
        f"{stack.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {customer.key}"},
        json={"model": model, "messages": BODY["messages"], "stream": True},
        timeout=30,
    ) as answer:
        text = answer.read().decode()
    assert answer.status_code == 200
    assert '"error"' in text and "[DONE]" not in text
    posted, held = stack.wallet(customer)
    assert 0 < 5_000_000_000 - posted < 10_000_000 and held == 0
    (row,) = stack.rows(
        "SELECT outcome, policy, usage_source FROM observability_requestlog WHERE api_key_id = %s", customer.api_key_id
    )
    assert row == ("failed", "broken_off", "estimated")


def test_a_client_that_leaves_pays_for_what_was_generated(stack: Stack) -> None:
    customer = stack.customer()
    with httpx2.stream(
        "POST",
        f"{stack.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {customer.key}"},
        json={"model": "sandbox/slow", "messages": BODY["messages"], "stream": True},
        timeout=30,
    ) as answer:
        for line in answer.iter_lines():
            if '"content"' in line:
                break
    stack.until(lambda: stack.wallet(customer)[1] == 0 and stack.wallet(customer)[0] < 5_000_000_000)
    (row,) = stack.rows(
        "SELECT outcome, status, policy, usage_source FROM observability_requestlog WHERE api_key_id = %s",
        customer.api_key_id,
    )
    assert row == ("client_left", 499, "left", "estimated")


def test_a_client_that_leaves_in_a_silence_is_noticed_at_once(stack: Stack) -> None:
    customer = stack.customer()
    with httpx2.stream(
        "POST",
        f"{stack.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {customer.key}"},
        json={"model": "sandbox/stall", "messages": BODY["messages"], "stream": True},
        timeout=30,
    ) as answer:
        next(line for line in answer.iter_lines() if '"content"' in line)
    stack.until(lambda: stack.wallet(customer)[1] == 0, timeout_s=8)  # well before the next keep-alive
    (row,) = stack.rows(
        "SELECT outcome, status, policy FROM observability_requestlog WHERE api_key_id = %s", customer.api_key_id
    )
    assert row == ("client_left", 499, "left")


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_before_content_pays_its_input(stack: Stack, stream: bool) -> None:
    customer = stack.customer()
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(
            f"{stack.url}/v1/chat/completions",
            headers={"authorization": f"Bearer {customer.key}"},
            json={"model": "sandbox/slow", "messages": BODY["messages"], "stream": stream},
            timeout=1.5,
        )
    stack.until(lambda: stack.wallet(customer)[1] == 0 and stack.wallet(customer)[0] < 5_000_000_000)
    rows = stack.rows(
        "SELECT r.outcome, r.policy, r.input_tokens > 0, r.output_tokens, a->>9 FROM observability_requestlog r,"
        " jsonb_array_elements(r.trace->'attempts') a WHERE r.api_key_id = %s",
        customer.api_key_id,
    )
    assert rows == [("client_left", "left", True, 0, "client_left")]
    stack.assert_ledger_holds()
