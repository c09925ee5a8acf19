"""Callers who want answers for nothing, and providers who want money for nothing."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from django.core.management import call_command
from django.db import connection, transaction

from tests.scenarios.conftest import Customer, Stack
from tests.scenarios.scripted import slug_of, write_catalogue

USD = 10**9
SLOWLY = "sandbox/echo;words=60;gap_ms=20"
SILENT_FIRST = "sandbox/echo;first_ms=3000"
SOON = "sandbox/echo;first_ms=1000"
THINKS_ON = "sandbox/reasoning;reasoning=6000;limit=ignored"
EMPTY = "sandbox/echo;fail=empty"
UNFINISHED = "sandbox/echo;fail=empty;finish=none"
FAILS_ONCE = "sandbox/echo;fail=500x1"
REPORTS = ("thousandfold", "absurd", "negative")
LIARS = tuple(f"sandbox/echo{end}" for end in ("", "-anthropic", "-responses", "-gemini"))
SCRIPTS = (
    *(SLOWLY, SILENT_FIRST, SOON, THINKS_ON, EMPTY, UNFINISHED, FAILS_ONCE),
    *(f"{model};words=30;usage={report}" for model in LIARS for report in REPORTS),
)


@dataclass(frozen=True)
class Charge:
    policy: str
    source: str
    flags: list[str]
    nanos: int
    usage: dict[str, int]


@pytest.fixture(scope="module", autouse=True)
def _scripted(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = write_catalogue(tmp_path_factory.mktemp("scripts"), SCRIPTS)
    call_command("load_catalogue", str(folder), quiet=True)
    wanted = {slug_of(script) for script in SCRIPTS}
    stack.until(lambda: wanted <= {model["id"] for model in httpx2.get(f"{stack.url}/v1/models").json()["data"]})


@pytest.fixture(scope="module")
def second(stack: Stack) -> Iterator[str]:
    gateway = stack.processes.gateway(SANDBOX_URL=stack.sandbox.url)
    yield gateway.url
    gateway.stop()


def _body(model: str = "sandbox/echo", text: str = "go", **more: Any) -> bytes:
    return json.dumps({"model": slug_of(model), "messages": [{"role": "user", "content": text}], **more}).encode()


def _headers(customer: Customer, **more: str) -> dict[str, str]:
    extra = {name.replace("_", "-"): value for name, value in more.items()}
    return {"authorization": f"Bearer {customer.key}", "content-type": "application/json", **extra}


def _post(
    stack: Stack, customer: Customer, body: bytes, path: str = "/v1/chat/completions", url: str = "", **headers: str
) -> httpx2.Response:
    return httpx2.post((url or stack.url) + path, headers=_headers(customer, **headers), content=body, timeout=30)


def _charges(stack: Stack, customer: Customer, count: int) -> dict[str, Charge]:
    """By the id that the caller saw, once so many are settled."""
    found: dict[str, Charge] = {}

    def settled() -> bool:
        stack.settle()
        for request_id, policy, source, flags, nanos, usage in stack.rows(
            "SELECT 'gen-' || replace(request_id::text, '-', ''), policy, usage_source, usage_flags::text,"
            " charge_nanos, usage::text FROM billing_usagerecord WHERE organization_id = %s",
            customer.organization_id,
        ):
            found[request_id] = Charge(policy, source, json.loads(flags), nanos, json.loads(usage))
        return len(found) >= count

    stack.until(settled)
    return found


async def _begin(client: httpx2.AsyncClient, url: str, customer: Customer, body: bytes, **headers: str) -> Any:
    request = client.build_request(
        "POST", f"{url}/v1/chat/completions", headers=_headers(customer, **headers), content=body
    )
    return await client.send(request, stream=True)


def _again(count: int) -> dict[str, str]:
    return {"x_stainless_retry_count": str(count)}


# --- Clients ---------------------------------------------------------------------------------------------------------
def test_who_leaves_before_the_usage_arrives_pays_for_what_was_delivered(stack: Stack) -> None:
    customer = stack.customer()
    with httpx2.stream(
        "POST",
        f"{stack.url}/v1/chat/completions",
        headers=_headers(customer),
        content=_body(SLOWLY, stream=True),
        timeout=30,
    ) as answer:
        lines = answer.iter_lines()
        for _ in range(60):
            next(lines)
        request_id = answer.headers["x-request-id"]
    charge = _charges(stack, customer, 1)[request_id]
    assert charge.policy == "left"
    assert charge.usage["output"] >= 20
    assert charge.nanos > 0


def test_who_reads_nearly_all_and_sends_it_again_pays_for_both(stack: Stack) -> None:
    customer = stack.customer()
    body = _body(SLOWLY, stream=True)

    async def attack() -> tuple[str, str]:
        async with httpx2.AsyncClient(timeout=30) as client:
            first = await _begin(client, stack.url, customer, body)
            lines = first.aiter_lines()
            for _ in range(2 * 58):
                await anext(lines)
            second = await _begin(client, stack.url, customer, body, **_again(1))
            await second.aread()
            await first.aclose()
            return first.headers["x-request-id"], second.headers["x-request-id"]

    first, second = asyncio.run(attack())
    charges = _charges(stack, customer, 2)
    assert charges[first].policy in ("left", "answered")
    assert charges[first].usage["output"] >= 50
    assert charges[second].policy == "answered"


def test_an_unanswered_request_that_is_sent_again_is_free_twice_and_not_a_third_time(stack: Stack) -> None:
    customer = stack.customer()
    body = _body(SILENT_FIRST, text="silence " + secrets.token_hex(4))

    async def attack() -> list[tuple[int, str]]:
        async with httpx2.AsyncClient(timeout=30) as client:
            running = []
            for count in range(4):
                running.append(asyncio.ensure_future(_begin(client, stack.url, customer, body, **_again(count))))
                await asyncio.sleep(0.4)
            answers = await asyncio.gather(*running)
            return [(answer.status_code, answer.headers["x-request-id"]) for answer in answers]

    answers = asyncio.run(attack())
    assert [status for status, _ in answers] == [409, 409, 409, 200]
    charges = _charges(stack, customer, 4)
    assert [charges[request_id].policy for _, request_id in answers] == [
        "superseded_free",
        "superseded_free",
        "left",
        "answered",
    ]
    assert [charges[request_id].nanos > 0 for _, request_id in answers] == [False, False, True, True]


def test_another_body_or_another_key_supersedes_nothing(stack: Stack) -> None:
    customer, other = stack.customer(), stack.customer()
    body = _body(SOON)

    async def attack() -> list[int]:
        async with httpx2.AsyncClient(timeout=30) as client:
            first = asyncio.ensure_future(_begin(client, stack.url, customer, body))
            await asyncio.sleep(0.3)
            answers = await asyncio.gather(
                first,
                _begin(client, stack.url, customer, _body("sandbox/echo", text="else"), **_again(1)),
                _begin(client, stack.url, other, body, **_again(1)),
            )
            return [answer.status_code for answer in answers]

    assert asyncio.run(attack()) == [200, 200, 200]


def test_retries_in_parallel_over_two_gateways_leave_one_answer(stack: Stack, second: str) -> None:
    customer = stack.customer()
    body = _body(SILENT_FIRST, text="parallel " + secrets.token_hex(4))

    async def attack() -> list[tuple[int, str]]:
        async with httpx2.AsyncClient(timeout=30) as client:
            first = asyncio.ensure_future(_begin(client, stack.url, customer, body))
            await asyncio.sleep(0.5)
            others = [
                _begin(client, url, customer, body, **_again(count))
                for count, url in enumerate((second, stack.url, second, stack.url), 1)
            ]
            answers = await asyncio.gather(first, *others)
            return [(answer.status_code, answer.headers["x-request-id"]) for answer in answers]

    answers = asyncio.run(attack())
    statuses = Counter(status for status, _ in answers)
    assert answers[0][0] == 409
    assert statuses[200] >= 1
    assert statuses[200] + statuses[409] == 5
    # What was superseded before it held credit was never sent, and has no record.
    charges = _charges(stack, customer, 1 + statuses[200])
    assert charges[answers[0][1]].policy in ("superseded_free", "left")
    for status, request_id in answers:
        found = charges.get(request_id)
        assert (found is not None and found.policy == "answered") is (status == 200)


def test_reasoning_beyond_a_tiny_limit_is_charged_and_overdraws_by_that_request_alone(stack: Stack) -> None:
    customer = stack.customer(credit_usd="0.002")
    body = _body(THINKS_ON, text="word " * 200, max_completion_tokens=1)
    answer = _post(stack, customer, body)
    assert answer.status_code == 200
    (charge,) = _charges(stack, customer, 1).values()
    assert charge.usage["reasoning"] == 6000
    assert charge.policy == "answered"
    posted, held = stack.wallet(customer)
    assert posted == 2_000_000 - charge.nanos < 0
    assert held == 0
    assert _post(stack, customer, body).status_code == 402
    stack.assert_ledger_holds()


@pytest.mark.parametrize("limit", [0, -1, 10**9, 10**30, 1.5, "100", True, [], {}, float("nan")])
@pytest.mark.parametrize(
    ("path", "field", "model"),
    [
        ("/v1/chat/completions", "max_tokens", "sandbox/exact"),
        ("/v1/chat/completions", "max_completion_tokens", "sandbox/exact"),
        ("/v1/messages", "max_tokens", "sandbox/exact"),
        ("/v1/responses", "max_output_tokens", "sandbox/exact"),
    ],
)
def test_a_senseless_output_limit_is_refused_or_lowered(
    stack: Stack, liar: Customer, path: str, field: str, model: str, limit: Any
) -> None:
    question = {"input": "go"} if path == "/v1/responses" else {"messages": [{"role": "user", "content": "go"}]}
    before = time.monotonic()
    answer = _post(stack, liar, json.dumps({"model": model, **question, field: limit}).encode(), path)
    assert time.monotonic() - before < 10
    if answer.status_code == 200:
        usage = answer.json()["usage"]
        assert 1 <= usage.get("completion_tokens", usage.get("output_tokens")) <= 16_384
    else:
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]


@pytest.fixture(scope="module")
def liar(stack: Stack) -> Customer:
    return stack.customer(credit_usd="50")


def test_many_choices_are_held_for_and_charged_each(stack: Stack) -> None:
    customer = stack.customer(credit_usd="1")
    answer = _post(stack, customer, _body("sandbox/exact", max_tokens=10, n=4))
    assert answer.status_code == 200
    (charge,) = _charges(stack, customer, 1).values()
    assert charge.usage["output"] == 40
    poor = stack.customer(credit_usd="0.0004")  # 40 tokens: less than an eighth of 400, more than one of 100
    assert _post(stack, poor, _body("sandbox/exact", max_tokens=100, n=4)).status_code == 402
    assert _post(stack, poor, _body("sandbox/exact", max_tokens=100)).status_code == 200


@pytest.mark.parametrize("choices", [128, 129, 10**9, 0, -1, 1.5, "4"])
def test_absurdly_many_choices_are_refused_and_free(stack: Stack, liar: Customer, choices: Any) -> None:
    """128 are taken by us and refused by the provider."""
    answer = _post(stack, liar, _body("sandbox/exact", max_tokens=10, n=choices))
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    stack.settle()
    assert stack.rows(
        "SELECT count(*) FROM billing_usagerecord"
        " WHERE 'gen-' || replace(request_id::text, '-', '') = %s AND charge_nanos > 0",
        answer.headers["x-request-id"],
    ) == [(0,)]


# --- Providers -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/chat/completions", "sandbox/echo"),
        ("/v1/chat/completions", "sandbox/echo-anthropic"),
        ("/v1/messages", "sandbox/echo-anthropic"),
        ("/v1/responses", "sandbox/echo-responses"),
        ("/v1/messages", "sandbox/echo-gemini"),
    ],
)
def test_usage_that_can_not_be_true_is_estimated_and_flagged(
    stack: Stack, path: str, model: str, report: str, stream: bool
) -> None:
    customer = stack.customer()
    asked = {"model": slug_of(f"{model};words=30;usage={report}"), "stream": stream}
    if path == "/v1/responses":
        body = {**asked, "input": "go on", "max_output_tokens": 50}
    else:
        body = {**asked, "messages": [{"role": "user", "content": "go on"}], "max_tokens": 50}
    answer = _post(stack, customer, json.dumps(body).encode(), path)
    assert answer.status_code == 200
    (charge,) = _charges(stack, customer, 1).values()
    assert (charge.policy, charge.source) == ("unreported", "estimated")
    assert "implausible_usage" in charge.flags
    assert 10 <= charge.usage["output"] <= 100
    assert 0 < charge.nanos < USD // 1000
    assert stack.wallet(customer) == (5 * USD - charge.nanos, 0)
    assert stack.rows("SELECT count(*) FROM billing_unsettledevent") == [(0,)]


def test_an_answer_of_no_tokens_without_a_finish_is_free(stack: Stack) -> None:
    customer = stack.customer()
    _post(stack, customer, _body(UNFINISHED))
    (charge,) = _charges(stack, customer, 1).values()
    assert (charge.policy, charge.nanos) == ("empty_free", 0)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_answer_of_no_tokens_costs_no_more_than_its_input(stack: Stack, stream: bool) -> None:
    customer = stack.customer()
    _post(stack, customer, _body(EMPTY, stream=stream))
    (charge,) = _charges(stack, customer, 1).values()
    assert charge.usage.get("output", 0) == 0
    assert charge.nanos < USD // 10_000


# --- Idempotency-Key -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("elsewhere", [False, True], ids=["one gateway", "two gateways"])
def test_a_running_request_is_not_made_twice(stack: Stack, second: str, elsewhere: bool) -> None:
    customer = stack.customer()
    key, body = secrets.token_hex(8), _body(SOON)

    async def attack() -> list[Any]:
        async with httpx2.AsyncClient(timeout=30) as client:
            first = asyncio.ensure_future(_begin(client, stack.url, customer, body, idempotency_key=key))
            await asyncio.sleep(0.4)
            again = await _begin(client, second if elsewhere else stack.url, customer, body, idempotency_key=key)
            await again.aread()
            return [await first, again]

    first, again = asyncio.run(attack())
    assert (first.status_code, again.status_code) == (200, 409)
    assert int(again.headers["retry-after"]) >= 1
    assert again.json()["error"]["code"] == "idempotency_key_in_use"
    stack.until(lambda: _code(_post(stack, customer, body, idempotency_key=key)) == "idempotency_key_finished")
    finished = _post(stack, customer, body, url=second if elsewhere else "", idempotency_key=key)
    assert finished.status_code == 409
    assert first.headers["x-request-id"] in finished.text
    assert "retry-after" not in finished.headers
    _charges(stack, customer, 1)
    stack.settle()
    assert stack.rows(
        "SELECT count(*) FROM billing_usagerecord WHERE organization_id = %s", customer.organization_id
    ) == [(1,)]


def _code(answer: httpx2.Response) -> str:
    assert answer.status_code == 409
    return str(answer.json()["error"]["code"])


def test_a_key_for_another_body_is_unprocessable(stack: Stack, second: str) -> None:
    customer, key = stack.customer(), secrets.token_hex(8)
    assert _post(stack, customer, _body(), idempotency_key=key).status_code == 200
    other = _post(stack, customer, _body(text="something else"), url=second, idempotency_key=key)
    assert other.status_code == 422
    assert other.json()["error"]["code"] == "idempotency_key_reused"


def test_the_same_key_of_another_customer_is_another_key(stack: Stack) -> None:
    key = secrets.token_hex(8)
    for customer in (stack.customer(), stack.customer()):
        assert _post(stack, customer, _body(), idempotency_key=key).status_code == 200


def test_a_request_that_failed_may_be_made_again_with_its_key(stack: Stack, second: str) -> None:
    customer, key = stack.customer(), secrets.token_hex(8)
    body = _body(FAILS_ONCE)
    assert _post(stack, customer, body, idempotency_key=key).status_code >= 500
    stack.until(lambda: _post(stack, customer, body, url=second, idempotency_key=key).status_code == 200)


def test_many_at_once_with_one_key_make_one_request(stack: Stack, second: str) -> None:
    customer, key = stack.customer(), secrets.token_hex(8)
    body = _body(SOON)

    async def attack() -> Counter[int]:
        async with httpx2.AsyncClient(timeout=30) as client:
            asked = [
                _begin(client, (stack.url, second)[number % 2], customer, body, idempotency_key=key)
                for number in range(20)
            ]
            return Counter(answer.status_code for answer in await asyncio.gather(*asked))

    assert asyncio.run(attack()) == {200: 1, 409: 19}
    assert len(_charges(stack, customer, 1)) == 1


def test_keys_are_forgotten_after_a_day(stack: Stack) -> None:
    from billing.tasks import forget_idempotency_keys

    customer, old, fresh = stack.customer(), secrets.token_hex(8), secrets.token_hex(8)
    first = _post(stack, customer, _body(), idempotency_key=old).headers["x-request-id"]
    _post(stack, customer, _body(), idempotency_key=fresh)
    stack.until(lambda: _code(_post(stack, customer, _body(), idempotency_key=fresh)) == "idempotency_key_finished")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE billing_idempotencykey SET created_at = now() - interval '25 hours'"
            " WHERE 'gen-' || replace(request_id::text, '-', '') = %s",
            [first],
        )
        assert cursor.rowcount == 1
    assert forget_idempotency_keys() == 1
    assert _post(stack, customer, _body(), idempotency_key=fresh).status_code == 409
    assert _post(stack, customer, _body(), idempotency_key=old).status_code == 200


def test_an_attacked_ledger_still_holds(stack: Stack) -> None:
    stack.settle()
    stack.assert_ledger_holds()


# --- Slow clients ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("pieces", [1, 4])
def test_a_body_that_comes_slowly_comes_whole(stack: Stack, pieces: int) -> None:
    """Whoever looks for clients that left must not read what is still to come."""
    customer = stack.customer()
    body = _body(text="a long way " * 40)
    url = httpx2.URL(stack.url)
    size = -(-len(body) // pieces)

    async def trickle() -> bytes:
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\nconnection: close\r\n"
            b"content-type: application/json\r\n"
            + f"authorization: Bearer {customer.key}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        )
        for start in range(0, len(body), size):
            await asyncio.sleep(0.3)
            writer.write(body[start : start + size])
        answer = await reader.read()
        writer.close()
        return answer

    answer = asyncio.run(asyncio.wait_for(trickle(), 10))
    assert answer.startswith(b"HTTP/1.1 200")


def test_a_key_that_takes_long_to_look_up_costs_the_request_nothing_but_time(stack: Stack) -> None:
    customer = stack.customer()  # the gateway has never seen its key
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE accounts_apikey IN ACCESS EXCLUSIVE MODE")
            asking = pool.submit(_post, stack, customer, _body(text="hello again"))
            time.sleep(0.4)
        answer = asking.result(10)
    assert answer.status_code == 200
    assert "hello again" in answer.text
