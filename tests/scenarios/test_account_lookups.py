"""What a key may ask about itself: a request and its receipt, its own usage, the wallet."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx2
import pytest
from django.db import connection, transaction

from billing.verify_receipt import charge_problems
from observability import lookups
from tests.scenarios.conftest import Customer, Stack

USD = 1_000_000_000


def ask(stack: Stack, customer: Customer | str, path: str, **headers: str) -> httpx2.Response:
    key = customer if isinstance(customer, str) else customer.key
    values = {"authorization": f"Bearer {key}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return httpx2.get(f"{stack.url}/v1{path}", headers=values, timeout=30)


def data(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


def send(stack: Stack, customer: Customer, model: str = "sandbox/exact", tokens: int = 100) -> httpx2.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "go"}], "max_tokens": tokens}
    return httpx2.post(f"{stack.url}/v1/chat/completions", headers={"x-api-key": customer.key}, json=body, timeout=30)


def test_a_settled_request_is_told_with_its_receipt(stack: Stack) -> None:
    customer = stack.customer()
    generation_id = send(stack, customer).headers["x-request-id"]
    stack.settle()
    found = data(ask(stack, customer, f"/generation?id={generation_id}"))
    assert found["id"] == generation_id
    assert (found["model"], found["provider_name"], found["status"]) == ("sandbox/exact", "sandbox", 200)
    assert (found["total_cost"], found["usage"]) == (0.001, 0.001)
    assert found["streamed"] is False and found["cancelled"] is False
    assert found["tokens_completion"] == found["native_tokens_completion"] == 100
    assert found["upstream_id"] is None
    assert [one["status"] for one in found["provider_responses"]] == [200]
    receipt = found["receipt"]
    assert receipt["charge_nanos"] == 1_000_000
    (part,) = receipt["parts"]
    assert (part["policy"], part["usage_source"], part["markup"]) == ("answered", "reported", "1")
    assert part["price_card_id"] and part["rates"]["output"]
    assert part["funding"] == [{"source": "wallet", "nanos": 1_000_000}]
    sql = "SELECT transfer_id::text FROM billing_usagerecord WHERE api_key_id = %s"
    assert stack.rows(sql, customer.api_key_id) == [(part["transfer_id"],)]
    assert charge_problems(receipt) == []


def test_every_attempt_of_a_failover_is_on_it(stack: Stack) -> None:
    customer = stack.customer()
    generation_id = send(stack, customer, "sandbox/flaky").headers["x-request-id"]
    stack.settle()
    found = data(ask(stack, customer, f"/generation?id={generation_id}"))
    assert [one["status"] for one in found["provider_responses"]] == [500, 200]
    assert [one["error_class"] for one in found["receipt"]["attempts"]] == ["server_error", ""]


def test_a_request_that_is_not_settled_yet_is_pending(stack: Stack) -> None:
    customer = stack.customer()
    with httpx2.stream(
        "POST",
        f"{stack.url}/v1/chat/completions",
        headers={"x-api-key": customer.key},
        json={"model": "sandbox/slow", "messages": [{"role": "user", "content": "go"}], "stream": True},
        timeout=30,
    ) as answer:
        next(answer.iter_lines())
        generation_id = answer.headers["x-request-id"]
        pending = ask(stack, customer, f"/generation?id={generation_id}")
        assert pending.status_code == 404
        assert pending.json()["error"]["code"] == "generation_pending"
        assert (pending.headers["retry-after"], pending.headers["x-should-retry"]) == ("1", "true")
    stack.until(lambda: stack.wallet(customer)[1] == 0)
    assert data(ask(stack, customer, f"/generation?id={generation_id}"))["cancelled"] is True


def test_a_held_request_stays_pending_however_old_it_is(stack: Stack) -> None:
    customer = stack.customer()
    old = f"018f0000-0000-7000-8000-{customer.api_key_id:012x}"
    stack.rows(
        "INSERT INTO billing_hold (id, account_id, organization_id, amount_nanos, remaining_nanos, currency, state,"
        " created_at, expires_at) SELECT %s::uuid, id, organization_id, 0, 0, 'USD', 'open', now(), now() + '1 hour'"
        " FROM billing_ledgeraccount WHERE organization_id = %s RETURNING 1",
        old,
        customer.organization_id,
    )
    assert ask(stack, customer, f"/generation?id={old}").json()["error"]["code"] == "generation_pending"
    other = stack.customer()
    assert ask(stack, other, f"/generation?id={old}").json()["error"]["code"] == "generation_not_found"
    stack.rows("UPDATE billing_hold SET state = 'settled' WHERE id = %s RETURNING 1", old)
    assert ask(stack, customer, f"/generation?id={old}").json()["error"]["code"] == "generation_not_found"


def test_a_request_of_another_organization_does_not_exist_in_any_dialect(stack: Stack) -> None:
    owner, stranger = stack.customer(), stack.customer()
    generation_id = send(stack, owner).headers["x-request-id"]
    stack.settle()
    path = f"/generation?id={generation_id}"
    refused = ask(stack, stranger, path)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "generation_not_found")
    assert refused.headers["x-should-retry"] == "false" and "retry-after" not in refused.headers
    messages = ask(stack, stranger, path, anthropic_version="2023-06-01").json()
    assert messages["error"]["type"] == "not_found_error"
    gemini = httpx2.get(f"{stack.url}/v1beta{path}", headers={"x-goog-api-key": stranger.key}, timeout=30)
    assert (gemini.status_code, gemini.json()["error"]["code"]) == (404, 404)
    assert ask(stack, owner, path).status_code == 200


@pytest.mark.parametrize("wanted", ["nonsense", "gen-", "gen-" + "0" * 32, "gen-%00", "gen-" + "z" * 5000])
def test_an_id_that_is_none_is_not_found(stack: Stack, wanted: str) -> None:
    answer = ask(stack, stack.customer(), f"/generation?id={wanted}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "generation_not_found")


def test_without_an_id_the_field_is_named(stack: Stack) -> None:
    answer = ask(stack, stack.customer(), "/generation")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "id")


def test_a_refused_request_has_no_receipt(stack: Stack) -> None:
    customer = stack.customer(credit_usd="0")
    generation_id = send(stack, customer).headers["x-request-id"]
    stack.settle()
    found = data(ask(stack, customer, f"/generation?id={generation_id}"))
    assert (found["status"], found["outcome"], found["total_cost"]) == (402, "refused", 0)
    assert found["receipt"] is None and found["provider_responses"] == []


def test_a_receipt_outlives_the_log(stack: Stack) -> None:
    customer = stack.customer()
    generation_id = send(stack, customer).headers["x-request-id"]
    stack.settle()
    stack.rows("DELETE FROM observability_requestlog WHERE api_key_id = %s RETURNING 1", customer.api_key_id)
    found = data(ask(stack, customer, f"/generation?id={generation_id}"))
    assert (found["model"], found["total_cost"], found["latency"]) == ("sandbox/exact", 0.001, None)
    assert found["receipt"]["charge_nanos"] == 1_000_000


def test_a_key_shows_its_own_usage_and_limits(stack: Stack) -> None:
    customer = stack.customer(requests_per_minute=77)
    assert data(ask(stack, customer, "/key"))["usage"] == 0
    send(stack, customer)
    send(stack, customer, tokens=50)
    stack.settle()
    stack.rows(
        "INSERT INTO observability_usagehour SELECT nextval(pg_get_serial_sequence('observability_usagehour', 'id')),"
        " now() - interval '100 days', organization_id, project_id, api_key_id, model, provider, 1, 1, 0, 0, 0, 0,"
        " 2000000, 'USD', 0, 0 FROM observability_usagehour WHERE api_key_id = %s LIMIT 1 RETURNING 1",
        customer.api_key_id,
    )
    found = data(ask(stack, customer, "/key"))
    assert found["label"].startswith("sk-ro-") and found["label"].endswith(customer.key[-4:])
    assert customer.key not in str(found)
    assert found["usage"] == 0.0035
    assert found["usage_daily"] == found["usage_weekly"] == found["usage_monthly"] == 0.0015
    assert found["rate_limit"] == {"requests": 77, "interval": "1m"}
    assert found["limit"] is found["limit_remaining"] is found["expires_at"] is None
    assert found["allowed_models"] == []


def test_another_key_of_the_organization_has_usage_of_its_own(stack: Stack) -> None:
    from accounts.keys import create_key
    from accounts.models import Project

    customer = stack.customer()
    send(stack, customer)
    stack.settle()
    _, raw = create_key(Project.objects.get(pk=customer.project_id), "second", allowed_models=["sandbox/*"])
    found = data(ask(stack, raw, "/key"))
    assert (found["usage"], found["name"], found["allowed_models"]) == (0, "second", ["sandbox/*"])
    assert data(ask(stack, raw, "/credits"))["total_usage"] == 0.001


def test_credits_agree_with_the_wallet(stack: Stack) -> None:
    customer = stack.customer(credit_usd="2")
    send(stack, customer)
    posted, held = stack.wallet(customer)
    found = data(ask(stack, customer, "/credits"))
    assert (found["total_credits"], found["total_usage"]) == (2.0, 0.001)
    assert (posted, held) == (round(found["posted"] * USD), 0)
    assert (found["reserved"], found["available"]) == (0, found["posted"])


def test_what_a_running_request_reserves_stands_apart(stack: Stack) -> None:
    customer = stack.customer()
    with httpx2.stream(
        "POST",
        f"{stack.url}/v1/chat/completions",
        headers={"x-api-key": customer.key},
        json={"model": "sandbox/slow", "messages": [{"role": "user", "content": "go"}], "stream": True},
        timeout=30,
    ) as answer:
        next(answer.iter_lines())
        found = data(ask(stack, customer, "/credits"))
        assert found["posted"] == 5 and found["total_usage"] == 0
        assert found["reserved"] > 0
        assert round((found["posted"] - found["reserved"]) * USD) == round(found["available"] * USD)


def test_both_answer_without_credit(stack: Stack) -> None:
    customer = stack.customer(credit_usd="0")
    assert send(stack, customer).status_code == 402
    found = data(ask(stack, customer, "/credits"))
    assert (found["total_credits"], found["available"]) == (0, 0)
    assert data(ask(stack, customer, "/key"))["usage"] == 0


@pytest.mark.parametrize("path", ["/generation?id=gen-x", "/key", "/credits"])
def test_each_needs_a_key_and_only_reads(stack: Stack, path: str) -> None:
    assert httpx2.get(f"{stack.url}/v1{path}", timeout=30).status_code == 401
    posted = httpx2.post(f"{stack.url}/v1{path}", headers={"x-api-key": stack.customer().key}, timeout=30)
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (lookups._KEY, "hours_by_key"),
        (lookups._CREDITS, "one_row_per_hour"),
        (lookups._RECORDS, "charged_once_per_part"),
        (lookups._ATTEMPTS, "one_row_per_attempt"),
    ],
)
def test_each_question_is_answered_from_an_index(stack: Stack, query: str, index: str) -> None:
    values: Any = {"organization_id": 1} if query == lookups._CREDITS else [1] * query.count("%s")
    if query in (lookups._RECORDS, lookups._ATTEMPTS):
        values[0] = UUID(int=1)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # tables of a test are small enough to be read whole
        cursor.execute(f"EXPLAIN {query}", values)
        assert index in "\n".join(row[0] for row in cursor.fetchall())
