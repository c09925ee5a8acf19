"""What a key may ask about itself: a request and its receipt, its own usage, the wallet."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from django.db import connection, transaction

from accounts.models import ApiKey
from billing import ledger
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


@pytest.mark.parametrize(
    ("age_s", "code"),
    [(1400, "generation_pending"), (1600, "generation_not_found"), (-3600, "generation_not_found")],
)
def test_an_id_is_pending_for_as_long_as_its_request_could_be(stack: Stack, age_s: int, code: str) -> None:
    began_ms = int((time.time() - age_s) * 1000)
    answer = ask(stack, stack.customer(), f"/generation?id=gen-{began_ms:012x}70008000{began_ms:012x}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, code)
    assert ("retry-after" in answer.headers) == (code == "generation_pending")


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
        assert found["posted"] == found["balance"] == 5 and found["total_usage"] == 0
        assert found["reserved"] > 0
        assert round((found["balance"] - found["reserved"]) * USD) == round(found["available"] * USD)


def test_a_key_shows_its_budgets_and_the_plan_with_its_windows(stack: Stack) -> None:
    from accounts.models import Organization, Project
    from billing.budgets import set_budgets
    from billing.models.plans import Plan, Subscription, Window

    customer = stack.customer()
    key, project = ApiKey.objects.get(pk=customer.api_key_id), Project.objects.get(pk=customer.project_id)
    Organization.objects.filter(pk=customer.organization_id).update(timezone="Asia/Shanghai")
    set_budgets(key, {"day": 3_000_000, "month": 10_000_000})
    set_budgets(project, {"total": 50_000_000})
    terms = {"slug": "pro", "name": "Pro", "five_hours_nanos": 1_000_000, "seven_days_nanos": 6_000_000}
    terms |= {"period_nanos": 9_000_000, "covered_models": ["other/*"], "price_nanos": 0, "period_days": 30, "rank": 1}
    now = datetime.now(UTC)
    subscription = Subscription.objects.create(
        organization_id=customer.organization_id,
        plan=Plan.objects.create(**{**terms, "slug": f"pro-{customer.organization_id}", "is_sold": False}),
        terms=terms,
        period_start=now,
        period_end=now + timedelta(days=30),
        overflow=True,
        overflow_cap_nanos=4_000_000,
    )
    window = {"organization_id": customer.organization_id, "kind": "plan", "subscription": subscription}
    moments = {"opens_at": now - timedelta(hours=2), "closes_at": now + timedelta(hours=3)}
    Window.objects.create(**window, **moments, name="five_hours", limit_nanos=1_000_000, spent_nanos=1_250_000)
    old = {"opens_at": now - timedelta(hours=8), "closes_at": now - timedelta(hours=3)}
    Window.objects.create(**window, **old, name="five_hours", limit_nanos=1_000_000, spent_nanos=7)
    assert send(stack, customer).status_code == 200
    stack.wallet(customer)

    found = data(ask(stack, customer, "/key"))
    assert (found["limit"], found["limit_remaining"], found["limit_reset"]) == (0.003, 0.002, "daily")
    shown = [(one["scope"], one["window"], one["limit"], one["spent"], one["remaining"]) for one in found["budgets"]]
    assert shown == [
        ("key_budget", "day", 0.003, 0.001, 0.002),
        ("key_budget", "month", 0.01, 0.001, 0.009),
        ("project_budget", "total", 0.05, 0.001, 0.049),
    ]
    resets = datetime.fromisoformat(found["budgets"][0]["resets_at"])
    assert now < resets <= now + timedelta(days=1) and resets.astimezone(UTC).hour == 16
    assert found["budgets"][2]["resets_at"] is None
    assert found["limits"]["key"]["requests_per_minute"] == 100_000
    assert found["limits"]["organization"] == dict.fromkeys(
        ["requests_per_minute", "tokens_per_minute", "max_concurrent"]
    )
    plan = data(ask(stack, customer, "/credits"))["plan"]
    assert plan == found["plan"]
    assert (plan["id"], plan["name"], plan["state"], plan["overflow"]) == ("pro", "Pro", "active", True)
    shown = [(one["window"], one["limit"], one["spent"], one["remaining"]) for one in plan["windows"]]
    assert shown == [
        ("five_hours", 0.001, 0.00125, 0),
        ("seven_days", 0.006, 0, 0.006),
        ("period", 0.009, 0, 0.009),
        ("month", 0.004, 0, 0.004),
    ]
    assert datetime.fromisoformat(plan["windows"][0]["resets_at"]) == moments["closes_at"]
    assert plan["windows"][1]["resets_at"] is None
    assert datetime.fromisoformat(plan["windows"][2]["resets_at"]) == subscription.period_end
    subscription.windows.all().delete()
    subscription.delete()


def test_an_idle_slice_never_looks_spent(stack: Stack) -> None:
    customer = stack.customer()
    assert send(stack, customer).status_code == 200
    stack.until(lambda: not stack.settle() and data(ask(stack, customer, "/credits"))["total_usage"] == 0.001)
    found = data(ask(stack, customer, "/credits"))
    assert found["reserved"] > 0, "the gateway still has its slice"
    assert found["balance"] == found["posted"] == 4.999
    assert ledger.balance(customer.organization_id).shown_nanos == 4_999_000_000


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
        (lookups._KEY, "hours_of_key"),
        (lookups._CREDITS, "(one_row_per_hour|hours_of_model)"),
    ],
)
def test_each_question_is_answered_from_an_index(stack: Stack, query: str, index: str) -> None:
    values: Any = {"organization_id": 1} if query == lookups._CREDITS else [1] * query.count("%s")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # tables of a test are small enough to be read whole
        cursor.execute(f"EXPLAIN {query}", values)
        assert re.search(index, "\n".join(row[0] for row in cursor.fetchall()))
