"""A stream of plain text that breaks off: where the project wants it another provider goes on, and both are paid."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from accounts.models import Project
from billing.verify_receipt import charge_problems, signature_problems
from routing.project_settings import change_routing
from tests.fakes.faulty import Faulty
from tests.scenarios.conftest import Customer, Stack
from tests.scenarios.processes import Process
from tests.scenarios.test_canary import _in_database, _in_files, _in_redis

WHOLE = "Hello from a provider."
FIRST, SECOND = 0, 1  # of a model's providers, in the order in which they are asked
OUTPUT_NANOS = (2_000, 8_000)  # per token
INPUT_NANOS = 1_000
CASES = ("cut", "fails-late", "garbage-late", "hang", "messages", "responses", "gemini", "off", "json", "nobody",
         "both", "left", "short", "twice", "again", "canary")  # fmt: skip


def slug(case: str) -> str:
    return f"continuing/{case}"


def provider(case: str, place: int) -> str:
    return f"c-{case}-{place}"


@pytest.fixture(scope="module")
def faulty(stack: Stack) -> Iterator[Faulty]:
    """A model per case, so that no case opens the breaker of another, with two providers: a cheap and a dear one."""
    from routing.models import Deployment, Model, PriceCard, Provider

    faulty = Faulty()
    faulty.start()
    for case in CASES:
        model = Model.objects.create(
            slug=slug(case), name=case, author="continuing", input_modalities=["text"], output_modalities=["text"]
        )
        for place in (FIRST, SECOND):
            name = provider(case, place)
            row = Provider.objects.create(
                slug=name, name=name, auth="none", enabled=True, base_urls={"openai_chat": f"{faulty.url}/{name}/v1"}
            )
            deployment = Deployment.objects.create(provider=row, model=model, upstream_id="m", dialect="openai_chat")
            rates = {"input": str(1 + 3 * place), "output": str(OUTPUT_NANOS[place] // 1_000)}
            PriceCard.objects.create(deployment=deployment, rates=rates)
    yield faulty
    Model.objects.filter(author="continuing").update(enabled=False)
    faulty.stop()


@pytest.fixture(scope="module")
def gateway(stack: Stack, faulty: Faulty) -> Iterator[Process]:
    process = stack.processes.gateway(FIRST_BYTE_TIMEOUT_S="5", STALL_TIMEOUT_S="1")
    yield process
    process.stop()


def customer_of(stack: Stack, credit_usd: str = "5", **settings: Any) -> Customer:
    customer = stack.customer(credit_usd)
    chosen = {"stream_failure": "continue", **settings}
    change_routing(Project.objects.get(pk=customer.project_id), None, chosen)
    return customer


def body_of(case: str, **more: Any) -> dict[str, Any]:
    order = {"order": [provider(case, FIRST), provider(case, SECOND)]}
    return {
        "model": slug(case), "messages": [{"role": "user", "content": "go"}], "stream": True, "max_tokens": 50,
        "stream_options": {"include_usage": True}, "provider": order, **more,
    }  # fmt: skip


def ask(gateway: Process, customer: Customer, body: dict[str, Any], path: str = "/v1/chat/completions") -> str:
    headers = {"authorization": f"Bearer {customer.key}"}
    answer = httpx2.post(gateway.url + path, headers=headers, json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.text


def chunks(stream: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]


def text_of(stream: str) -> str:
    deltas = [choice["delta"] for chunk in chunks(stream) for choice in chunk.get("choices", ())]
    return "".join(delta.get("content") or "" for delta in deltas)


def records(stack: Stack, customer: Customer) -> list[tuple[Any, ...]]:
    """Part, provider, policy, usage and charge of what was settled."""
    stack.settle()
    found = stack.rows(
        "SELECT part, provider, policy, usage, charge_nanos FROM billing_usagerecord WHERE api_key_id = %s"
        " ORDER BY part",
        customer.api_key_id,
    )
    return [(*row[:3], json.loads(row[3]) if isinstance(row[3], str) else row[3], row[4]) for row in found]


def assert_paid(stack: Stack, customer: Customer) -> list[tuple[Any, ...]]:
    """The wallet has lost exactly what the records say, and the books hold."""
    stack.until(lambda: stack.wallet(customer)[1] == 0)
    found = records(stack, customer)
    assert stack.wallet(customer)[0] == 5 * 10**9 - sum(row[4] for row in found)
    holds = stack.rows(
        "SELECT sum(returned_count), sum(settled_count), sum(settled_nanos) FROM billing_hold"
        " WHERE organization_id = %s",
        customer.organization_id,
    )
    assert holds == [(len(found), len(found), sum(row[4] for row in found))]
    stack.assert_ledger_holds()
    return found


@pytest.mark.parametrize("case", ["cut", "fails-late", "garbage-late", "hang"])
def test_another_provider_goes_on_and_the_client_reads_one_answer(
    stack: Stack, faulty: Faulty, gateway: Process, case: str
) -> None:
    customer = customer_of(stack)
    faulty.modes[provider(case, FIRST)] = case.replace("-", "_")
    stream = ask(gateway, customer, body_of(case))
    told = chunks(stream)
    assert text_of(stream) == WHOLE
    assert len({chunk["id"] for chunk in told}) == 1 and stream.rstrip().endswith("data: [DONE]")
    assert sum("role" in choice["delta"] for chunk in told for choice in chunk["choices"]) == 1
    assert stream.count(f": continued by {provider(case, SECOND)} with {slug(case)}\n\n") == 1
    marked = [chunk["router"] for chunk in told if "router" in chunk]
    assert marked == [{"continued": True, "provider": provider(case, SECOND), "model": slug(case)}]
    assert [choice["finish_reason"] for chunk in told for choice in chunk["choices"] if choice["finish_reason"]] == [
        "stop"
    ]

    (first, rest) = assert_paid(stack, customer)
    assert first[:3] == (0, provider(case, FIRST), "broken_off")
    assert rest[:4] == (1, provider(case, SECOND), "continued", {"output": 5})
    assert rest[4] == 5 * OUTPUT_NANOS[SECOND]
    assert first[4] == first[3]["input"] * INPUT_NANOS + first[3]["output"] * OUTPUT_NANOS[FIRST]
    usage = told[-1]["usage"]
    assert usage["prompt_tokens"] == first[3]["input"]
    assert usage["completion_tokens"] == first[3]["output"] + 5
    assert usage["cost"] == pytest.approx((first[4] + rest[4]) / 10**9)

    (sent,) = faulty.bodies[provider(case, SECOND)]
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant", "user"]
    assert sent["messages"][1]["content"] == "Hello from"
    assert sent["max_tokens"] == 50 - first[3]["output"]
    ((trace, policy, charge),) = stack.rows(
        "SELECT trace, policy, charge_nanos FROM observability_requestlog WHERE organization_id = %s",
        customer.organization_id,
    )
    attempts = json.loads(trace)["attempts"] if isinstance(trace, str) else trace["attempts"]
    assert [(attempt[1], attempt[4]) for attempt in attempts][1] == (provider(case, SECOND), "continue")
    assert attempts[0][9] and not attempts[1][9]
    assert (policy, charge) == ("continued", first[4] + rest[4])


def test_its_receipt_names_both_parts_and_can_be_checked(stack: Stack, faulty: Faulty, gateway: Process) -> None:
    customer = customer_of(stack)
    faulty.modes[provider("again", FIRST)] = "cut"
    generation = chunks(ask(gateway, customer, body_of("again")))[0]["id"]
    stack.settle()
    headers = {"authorization": f"Bearer {customer.key}"}
    found = httpx2.get(f"{gateway.url}/v1/generation?id={generation}", headers=headers).json()["data"]
    receipt = found["receipt"]
    assert [part["policy"] for part in receipt["parts"]] == ["broken_off", "continued"]
    assert [attempt["reason"] for attempt in receipt["attempts"]][1] == "continue"
    assert charge_problems(receipt) == []
    if "signature" in receipt:
        assert signature_problems(receipt, None) == []
    assert receipt["charge_nanos"] == sum(row[4] for row in records(stack, customer))


@pytest.mark.parametrize(
    ("case", "path", "fields", "begins"),
    [
        ("messages", "/v1/messages", {}, "event: message_start"),
        ("responses", "/v1/responses", {"input": "go", "max_output_tokens": 50}, "event: response.created"),
        ("gemini", "", {}, ""),
    ],
)
def test_it_is_one_message_in_every_dialect(
    stack: Stack, faulty: Faulty, gateway: Process, case: str, path: str, fields: dict[str, Any], begins: str
) -> None:
    customer = customer_of(stack)
    faulty.modes[provider(case, FIRST)] = "cut"
    body = {**body_of(case), **fields}
    if case == "gemini":
        path = f"/v1beta/models/{slug(case)}:streamGenerateContent?alt=sse"
        body = {"contents": [{"role": "user", "parts": [{"text": "go"}]}], "provider": body["provider"]}
    else:
        for name in ("stream_options", *(("messages", "max_tokens") if case == "responses" else ())):
            body.pop(name)
    stream = ask(gateway, customer, body, path)
    told = chunks(stream)
    if case == "messages":
        pieces = [one["delta"]["text"] for one in told if one["type"] == "content_block_delta"]
        assert {one["index"] for one in told if "index" in one} == {0}
        assert told[-1]["type"] == "message_stop"
        usage = told[-2]["usage"]
    elif case == "responses":
        pieces = [one["delta"] for one in told if one["type"] == "response.output_text.delta"]
        assert [one["sequence_number"] for one in told] == list(range(len(told)))
        assert told[-1]["response"]["output"][0]["content"][0]["text"] == WHOLE
        usage = told[-1]["response"]["usage"]
    else:
        pieces = [part["text"] for one in told for part in one["candidates"][0]["content"]["parts"]]
        usage = {"output_tokens": told[-1]["usageMetadata"]["candidatesTokenCount"], **told[-1]["usageMetadata"]}
    assert "".join(pieces) == WHOLE
    assert not begins or stream.count(begins) == 1
    assert stream.count(": continued by") == 1
    first, rest = assert_paid(stack, customer)
    assert usage["output_tokens"] == first[3]["output"] + rest[3]["output"]
    assert usage["cost"] == pytest.approx((first[4] + rest[4]) / 10**9)


@pytest.mark.parametrize(
    ("case", "settings", "more"),
    [
        ("off", {"stream_failure": "error"}, {}),
        ("json", {}, {"response_format": {"type": "json_object"}}),
        ("short", {}, {"max_tokens": 17}),
    ],
)
def test_what_is_not_to_be_continued_ends_with_an_error_and_one_charge(
    stack: Stack, faulty: Faulty, gateway: Process, case: str, settings: dict[str, Any], more: dict[str, Any]
) -> None:
    customer = customer_of(stack, **settings)
    faulty.modes[provider(case, FIRST)] = "cut"
    stream = ask(gateway, customer, body_of(case, **more))
    assert '"error"' in stream and "continued" not in stream
    assert not faulty.calls[provider(case, SECOND)]
    ((part, _, policy, _, _),) = assert_paid(stack, customer)
    assert (part, policy) == (0, "broken_off")


def test_where_nobody_can_go_on_it_ends_with_an_error_and_one_charge(
    stack: Stack, faulty: Faulty, gateway: Process
) -> None:
    customer = customer_of(stack)
    faulty.modes.update({provider("nobody", FIRST): "cut", provider("nobody", SECOND): "broken"})
    stream = ask(gateway, customer, body_of("nobody"))
    assert text_of(stream) == "Hello from " and '"error"' in stream and "continued" not in stream
    ((part, who, policy, usage, _),) = assert_paid(stack, customer)
    assert (part, who, policy) == (0, provider("nobody", FIRST), "broken_off")
    assert usage["output"] == 3


def test_where_the_second_breaks_too_both_parts_are_paid_and_it_is_over(
    stack: Stack, faulty: Faulty, gateway: Process
) -> None:
    customer = customer_of(stack)
    faulty.modes.update({provider("both", FIRST): "cut", provider("both", SECOND): "fails_late"})
    stream = ask(gateway, customer, body_of("both"))
    assert text_of(stream) == WHOLE and '"error"' in stream
    first, rest = assert_paid(stack, customer)
    assert (first[2], rest[2]) == ("broken_off", "continued")
    assert 0 < rest[3]["output"] <= 5


def test_a_client_that_leaves_meanwhile_pays_for_what_it_got(stack: Stack, faulty: Faulty, gateway: Process) -> None:
    customer = customer_of(stack)
    faulty.modes[provider("left", FIRST)] = "cut"
    faulty.modes[provider("left", SECOND)] = "hang"
    headers = {"authorization": f"Bearer {customer.key}"}
    url = f"{gateway.url}/v1/chat/completions"
    with httpx2.stream("POST", url, headers=headers, json=body_of("left"), timeout=30) as answer:
        for line in answer.iter_lines():
            if '"router"' in line:
                break
    stack.until(lambda: len(records(stack, customer)) == 2)
    first, rest = assert_paid(stack, customer)
    assert (first[2], rest[2]) == ("broken_off", "continued")


def test_the_same_event_again_charges_nothing_more(stack: Stack, faulty: Faulty, gateway: Process) -> None:
    """The gateway that is in doubt appends again; here everything that it ever appended comes twice."""
    from gateway.drain import drain
    from gateway.journal_event import FIELD, STREAM
    from gateway.tasks import journal_redis

    customer = customer_of(stack)
    faulty.modes[provider("twice", FIRST)] = "cut"
    ask(gateway, customer, body_of("twice"))
    deadline = time.monotonic() + 10
    entries: list[tuple[bytes, bytes]] = []
    with journal_redis() as redis:
        while not entries and time.monotonic() < deadline:
            names = [name for name in redis.scan_iter(f"{STREAM}:*") if redis.type(name) == b"stream"]
            entries = [(name, fields[FIELD]) for name in names for _, fields in redis.xrange(name)]
            entries = [entry for entry in entries if b'"continued"' in entry[1]]
        assert entries, "the worker was quicker"
        for name, value in entries:
            redis.xadd(name, {FIELD: value})
        drain(redis)
        for name, value in entries:
            redis.xadd(name, {FIELD: value})
        drain(redis)
    assert len(assert_paid(stack, customer)) == 2


DIALECTS = ("openai_chat", "openai_responses", "anthropic_messages", "gemini_generate")
KINDS = {"echo": ("words=30", "words=30"), "reasoning": ("words=30;reasoning=9;after=24", "words=30;reasoning=9")}


@pytest.fixture(scope="module")
def native(stack: Stack, faulty: Faulty) -> None:
    """Two deployments of each model at the sandbox, in one dialect; the first is always cut."""
    from routing.models import Deployment, Model, PriceCard, Provider

    sandbox = Provider.objects.get(slug="sandbox")
    for dialect in DIALECTS:
        kinds = {**KINDS, "thinking": ("words=30;reasoning=9;after=4", "words=30")}  # cut while it thinks
        for kind, (first, second) in kinds.items():
            model = Model.objects.create(
                slug=f"native/{dialect}-{kind}", name=kind, author="continuing",
                input_modalities=["text"], output_modalities=["text"],
            )  # fmt: skip
            for place, options in enumerate((f"{first};fail=cut", second)):
                upstream_id = f"sandbox-{kind.replace('thinking', 'reasoning')};{options}"
                deployment = Deployment.objects.create(
                    provider=sandbox, model=model, upstream_id=upstream_id, dialect=dialect, priority=place
                )
                PriceCard.objects.create(deployment=deployment, rates={"input": "1", "output": "2"})


def native_request(dialect: str, kind: str) -> tuple[str, dict[str, Any]]:
    model = f"native/{dialect}-{kind}"
    thinks = kind == "reasoning"
    say = [{"role": "user", "content": "go"}]
    if dialect == "openai_chat":
        return "/v1/chat/completions", {"model": model, "messages": say, "stream": True, "max_tokens": 3000}
    if dialect == "openai_responses":
        wish = {"reasoning": {"effort": "low", "summary": "auto"}} if thinks else {}
        return "/v1/responses", {"model": model, "input": "go", "stream": True, "max_output_tokens": 3000, **wish}
    if dialect == "anthropic_messages":
        wish = {"thinking": {"type": "enabled", "budget_tokens": 1024}} if thinks else {}
        return "/v1/messages", {"model": model, "messages": say, "stream": True, "max_tokens": 3000, **wish}
    config = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}} if thinks else {}
    path = f"/v1beta/models/{model}:streamGenerateContent?alt=sse"
    return path, {"contents": [{"role": "user", "parts": [{"text": "go"}]}], **config}


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_provider_of_the_callers_own_dialect_is_continued_too(
    stack: Stack, gateway: Process, native: None, dialect: str, kind: str
) -> None:
    customer = customer_of(stack)
    path, body = native_request(dialect, kind)
    stack.until(
        lambda: (
            f"native/{dialect}-{kind}" in {one["id"] for one in httpx2.get(f"{gateway.url}/v1/models").json()["data"]}
        )
    )
    stream = ask(gateway, customer, body, path)
    seam = f": continued by sandbox with native/{dialect}-{kind}\n\n"
    assert stream.count(seam) == 1, stream
    assert "event: error" not in stream and '"error":{' not in stream, stream
    before, after = stream.split(seam)
    told = chunks(stream)
    if dialect == "anthropic_messages":
        assert [one["type"] for one in told].count("message_start") == 1 and told[-1]["type"] == "message_stop"
        assert {one["index"] for one in chunks(after) if "index" in one} == {int(kind == "reasoning")}
    elif dialect == "openai_responses":
        assert [one["sequence_number"] for one in told] == list(range(len(told)))
        assert told[-1]["type"] == "response.completed"
    elif dialect == "openai_chat":
        assert len({one["id"] for one in told}) == 1
    else:
        assert len({one["responseId"] for one in told}) == 1
    if kind == "reasoning" and dialect != "openai_chat":
        assert "hink" in before or "easoning" in before or "hought" in before
    assert "thinking_delta" not in after and "reasoning_content" not in after and '"thought":true' not in after
    first, rest = assert_paid(stack, customer)
    assert (first[2], rest[2]) == ("broken_off", "continued")
    assert rest[3].keys() == {"output"}


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic_messages"])
def test_what_is_cut_while_it_thinks_is_not_continued(
    stack: Stack, gateway: Process, native: None, dialect: str
) -> None:
    customer = customer_of(stack)
    path, body = native_request(dialect, "reasoning")
    stream = ask(gateway, customer, {**body, "model": f"native/{dialect}-thinking"}, path)
    assert "continued by" not in stream and '"error"' in stream
    assert "lorem" in stream, "some of its thoughts went out"
    ((part, _, policy, _, _),) = assert_paid(stack, customer)
    assert (part, policy) == (0, "broken_off")


def test_nothing_of_prompt_or_answer_is_kept(stack: Stack, faulty: Faulty, gateway: Process) -> None:
    customer = customer_of(stack)
    canary = f"canary{secrets.token_hex(8)}"
    faulty.modes[provider("canary", FIRST)] = "cut"
    faulty.modes[provider("canary", SECOND)] = "fails_late"
    messages = [{"role": "user", "content": canary}]
    stream = ask(gateway, customer, body_of("canary", messages=messages))
    assert text_of(stream) == WHOLE and '"error"' in stream
    assert faulty.bodies[provider("canary", SECOND)][0]["messages"][0]["content"] == canary
    assert len(assert_paid(stack, customer)) == 2
    for needle in (canary, "Hello from"):
        assert _in_database(stack, needle) == []
        assert _in_redis(needle) == []
        assert _in_files(stack, needle) == []
