"""How streams end, for every client dialect on every provider dialect: well, or with an error that cannot be missed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.core.management import call_command

from tests.scenarios.conftest import Customer, Stack

UPSTREAMS = {
    "openai_chat": "/v1",
    "openai_responses": "/v1",
    "anthropic_messages": "/v1",
    "gemini_generate": "/v1beta",
}
MIDWAY = ("cut", "stall", "error", "malformed")
STATUSES = {"400": 400, "401": 503, "402": 503, "429": 429, "500": 502, "529": 503}
QUESTION = "Tell me something that takes more than a few words, please."
CLIENTS = ("openai_chat", "openai_responses", "anthropic_messages", "gemini_generate", "openai_completions")


def _name(dialect: str, fault: str, client: str = "any") -> str:
    """Each client has models of its own, since a provider that fails again and again is soon left alone."""
    return f"faults/{dialect}-{fault}-{client}".replace("_", "-")


@pytest.fixture(scope="module")
def url(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A gateway that loses patience soon, and a model for each fault in each dialect."""
    folder: Path = tmp_path_factory.mktemp("faults")
    providers = [
        {"slug": "faults", "name": "Faults", "kind": "test", "region": "test", "currency": "USD", "auth": "none",
         "base_urls": {dialect: stack.sandbox.url + base for dialect, base in UPSTREAMS.items()}},
    ]  # fmt: skip
    models = [
        {"slug": _name(dialect, fault, client), "name": fault, "author": "faults", "status": "active",
         "context_length": 100000, "max_output_tokens": 8000, "input_modalities": ["text"],
         "output_modalities": ["text"], "capabilities": {"sampling_params": fault != "bare"}, "offerings": [
             {"provider": "faults", "upstream_id": f"sandbox-echo{option}", "protocol": dialect, "currency": "USD",
              "price_cards": [{"rates": {"input": "1", "output": "2"}}]}]}
        for client in ("any", *CLIENTS)
        for dialect in UPSTREAMS
        for fault, option in [
            ("none", ""), ("bare", ""), ("slow", ";first_ms=1500"),
            *((fault, f";fail={fault};after=3") for fault in MIDWAY), *((code, f";fail={code}") for code in STATUSES),
        ]
    ]  # fmt: skip
    folder.joinpath("providers.json").write_text(
        json.dumps({"meta": {"version": 1}, "holiday_calendars": {}, "providers": providers})
    )
    folder.joinpath("models.json").write_text(json.dumps({"meta": {"version": 1}, "models": models}))
    call_command("load_catalogue", str(folder), quiet=True)
    impatient = stack.processes.gateway(
        SANDBOX_URL=stack.sandbox.url, STALL_TIMEOUT_S="1", KEEP_ALIVE_S="0.5", FIRST_BYTE_TIMEOUT_S="5"
    )
    return impatient.url


@pytest.fixture(scope="module")
def customer(stack: Stack) -> Customer:
    return stack.customer(credit_usd="100")


def _ask(url: str, customer: Customer, client: str, model: str) -> tuple[httpx2.Response, str]:
    messages = [{"role": "user", "content": QUESTION}]
    path, body = {
        "openai_chat": ("/v1/chat/completions", {"messages": messages}),
        "openai_completions": ("/v1/completions", {"prompt": QUESTION, "max_tokens": 500}),
        "openai_responses": ("/v1/responses", {"input": QUESTION}),
        "anthropic_messages": ("/v1/messages", {"messages": messages, "max_tokens": 500}),
        "gemini_generate": (
            f"/v1beta/models/{model}:streamGenerateContent?alt=sse",
            {"contents": [{"role": "user", "parts": [{"text": QUESTION}]}]},
        ),
    }[client]
    content: dict[str, Any] = body if client == "gemini_generate" else {**body, "model": model, "stream": True}
    answer = httpx2.post(url + path, json=content, headers={"authorization": f"Bearer {customer.key}"}, timeout=30)
    return answer, answer.text


def _events(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def _ending(client: str, text: str) -> str:
    """ "end" for the dialect's good ending, "error" for its error event, else what was there instead."""
    events = _events(text)
    last = events[-1]
    if client in ("openai_chat", "openai_completions"):
        if "error" in last:
            return "error" if last["error"]["message"] and "[DONE]" not in text else "error, and yet an end"
        return "end" if text.rstrip().endswith("data: [DONE]") else "nothing"
    if client == "anthropic_messages":
        return {"message_stop": "end", "error": "error"}.get(last["type"], last["type"])
    if client == "openai_responses":
        return {"response.completed": "end", "response.failed": "error"}.get(last["type"], last["type"])
    if "error" in last:
        return "error"
    return "end" if last["candidates"][0].get("finishReason") == "STOP" else "nothing"


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_good_stream_ends_in_the_clients_own_way(url: str, customer: Customer, client: str, upstream: str) -> None:
    answer, text = _ask(url, customer, client, _name(upstream, "none", client))
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
    assert _ending(client, text) == "end"


@pytest.mark.parametrize("fault", MIDWAY)
@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_stream_that_breaks_ends_in_an_error_event(
    url: str, customer: Customer, client: str, upstream: str, fault: str
) -> None:
    answer, text = _ask(url, customer, client, _name(upstream, fault, client))
    assert answer.status_code == 200, text
    assert _ending(client, text) == "error", text[-600:]
    if client == "openai_responses":
        told = [event["type"] for event in _events(text)]
        assert told.count("response.created") == 1, told
        if upstream != client:
            numbers = [event["sequence_number"] for event in _events(text)]
            assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_silent_provider_is_covered_by_signs_of_life(
    url: str, customer: Customer, client: str, upstream: str
) -> None:
    _, text = _ask(url, customer, client, _name(upstream, "slow", client))
    assert text.startswith((": ", "event: ping")), text[:80]
    assert _ending(client, text) == "end"


@pytest.mark.parametrize("code", STATUSES)
@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_refusal_keeps_its_meaning_and_never_blames_the_callers_key(
    url: str, customer: Customer, client: str, upstream: str, code: str
) -> None:
    answer, text = _ask(url, customer, client, _name(upstream, code, client))
    assert answer.status_code == STATUSES[code], text
    assert answer.json()["error"]["message"]
    if answer.status_code in (429, 503):
        assert int(answer.headers["retry-after"]) >= 1
    assert "sk-" not in text and "org-" not in text


def test_a_model_without_sampling_is_not_asked_for_any(url: str, customer: Customer) -> None:
    body = {"messages": [{"role": "user", "content": QUESTION}], "temperature": 0.2}
    headers = {"authorization": f"Bearer {customer.key}"}
    named = {}
    for upstream in ("openai_chat", "openai_responses"):
        asked = {**body, "model": _name(upstream, "bare")}
        answer = httpx2.post(f"{url}/v1/chat/completions", json=asked, headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text
        named[upstream] = answer.headers.get("x-router-dropped")
    assert named == {"openai_chat": None, "openai_responses": "temperature"}  # the own dialect passes through
