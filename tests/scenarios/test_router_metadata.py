"""Who asks is told how its request was routed: in every dialect, streamed or not, and with an error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from tests.fakes.faulty import Faulty
from tests.scenarios.conftest import Customer, Stack
from tests.scenarios.processes import Process
from tests.scenarios.test_all_sdks import claude

THEIRS = {"X-OpenRouter-Metadata": "enabled"}
OURS = {"X-Router-Metadata": "enabled"}
MESSAGES: Any = [{"role": "user", "content": "a word that nobody keeps"}]
PATHS = {
    "/v1/chat/completions": {"messages": MESSAGES, "max_tokens": 50},
    "/v1/responses": {"input": "go", "max_output_tokens": 50},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 50},
    "/v1/completions": {"prompt": "go", "max_tokens": 50},
}
PURPOSES = ("whole", "streamed", "failing", *("cut" + path.replace("/", "-") for path in PATHS))
UPSTREAMS = ("sandbox/echo", "sandbox/echo-anthropic", "sandbox/echo-gemini", "sandbox/echo-responses")


@pytest.fixture(scope="module")
def providers(stack: Stack) -> Iterator[Faulty]:
    """Two providers for each model, `bad` before `well`; none shares them, so that no test opens another's breaker."""
    from routing.models import Deployment, Model, PriceCard, Provider

    faulty = Faulty()
    faulty.start()
    for purpose in PURPOSES:
        model = Model.objects.create(
            slug=f"told/{purpose}", name=purpose, author="told", input_modalities=["text"], output_modalities=["text"]
        )
        for place, name in enumerate((f"bad-{purpose}", f"well-{purpose}")):
            provider = Provider.objects.create(
                slug=name, name=name, auth="none", enabled=True, base_urls={"openai_chat": f"{faulty.url}/{name}/v1"}
            )
            deployment = Deployment.objects.create(
                provider=provider, model=model, upstream_id="m", dialect="openai_chat", priority=place, region="EU"
            )
            PriceCard.objects.create(deployment=deployment, rates={"input": "1", "output": "2"})
    yield faulty
    for model in Model.objects.filter(author="told"):
        model.enabled = False
        model.save()
    faulty.stop()


@pytest.fixture(scope="module")
def own(stack: Stack, providers: Faulty) -> Iterator[Stack]:
    """The same product with a gateway that knows them."""
    process: Process = stack.processes.gateway(SANDBOX_URL=stack.sandbox.url)
    yield Stack(stack.processes, process, stack.sandbox)
    process.stop()


@pytest.fixture(scope="module")
def customer(stack: Stack) -> Customer:
    return stack.customer()


def check(told: dict[str, Any], model: str, provider: str = "sandbox") -> dict[str, Any]:
    """Both objects are there and name who answered; ours is given back."""
    theirs, ours = told["openrouter_metadata"], told["router_metadata"]
    assert (theirs["requested"], theirs["attempt"]) == (model, len(theirs["attempts"]))
    assert {"provider": provider, "model": model, "selected": True} in theirs["endpoints"]["available"]
    assert theirs["attempts"][-1] == {"provider": provider, "model": model, "status": 200}
    assert set(theirs) < set(ours) and ours["candidates"] and ours["overhead_ms"] > 0
    assert "nobody keeps" not in json.dumps(told)
    return ours


def post(stack: Stack, customer: Customer, path: str, body: dict[str, Any], **headers: str) -> httpx2.Response:
    return httpx2.post(
        f"{stack.url}{path}", headers={"authorization": f"Bearer {customer.key}", **headers}, json=body, timeout=30
    )


def events(answer: httpx2.Response) -> list[dict[str, Any]]:
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def test_openai_sdk(stack: Stack, customer: Customer) -> None:
    client, ask = stack.openai(customer), {"messages": MESSAGES, "max_tokens": 50, "extra_headers": THEIRS}
    for model in UPSTREAMS:
        whole = client.chat.completions.create(model=model, **ask)
        check(whole.model_extra or {}, model)
        *before, last = client.chat.completions.create(
            model=model, stream=True, stream_options={"include_usage": True}, **ask
        )
        assert last.usage is not None and last.usage.completion_tokens > 0
        check(last.model_extra or {}, model)
        assert not any("router_metadata" in (one.model_extra or {}) for one in before)
        *_, last = client.chat.completions.create(model=model, stream=True, **ask)
        check(last.model_extra or {}, model)
        response = client.responses.create(model=model, input="go", extra_headers=THEIRS)
        check(response.model_extra or {}, model)
        with client.responses.stream(model=model, input="go", extra_headers=THEIRS) as stream:
            final = stream.get_final_response()
        check(final.model_extra or {}, model)
        assert final.output_text == response.output_text
    found = client.embeddings.create(model="sandbox/embedding", input="go", extra_headers=THEIRS)
    check(found.model_extra or {}, "sandbox/embedding")
    assert len(found.data[0].embedding) == 256


def test_anthropic_sdk(stack: Stack, customer: Customer) -> None:
    client, ask = claude(stack, customer), {"messages": MESSAGES, "max_tokens": 50, "extra_headers": THEIRS}
    for model in UPSTREAMS:
        check(client.messages.create(model=model, **ask).model_extra or {}, model)
        *before, last = client.messages.create(model=model, stream=True, **ask)
        assert last.type == "message_stop"
        check(last.model_extra or {}, model)
        assert not any("router_metadata" in (one.model_extra or {}) for one in before)


@pytest.mark.parametrize("model", UPSTREAMS)
def test_gemini(stack: Stack, customer: Customer, model: str) -> None:
    body = {"contents": [{"parts": [{"text": "go"}]}]}
    whole = post(stack, customer, f"/v1beta/models/{model}:generateContent", body, **THEIRS)
    check(whole.json(), model)
    streamed = post(stack, customer, f"/v1beta/models/{model}:streamGenerateContent?alt=sse", body, **THEIRS)
    *before, last = events(streamed)
    check(last, model)
    assert before and not any("router_metadata" in one for one in before)


@pytest.mark.parametrize("path", PATHS)
def test_who_does_not_ask_is_told_nothing_and_our_own_header_gets_our_own_words(
    stack: Stack, customer: Customer, path: str
) -> None:
    for stream in (False, True):
        ask = {"model": "sandbox/echo", "stream": stream, **PATHS[path]}
        assert "router_metadata" not in post(stack, customer, path, ask).text
        told = post(stack, customer, path, ask, **{"X-Router-Metadata": "enabled"}).text
        assert told.count('"router_metadata":{') == 1 and "openrouter_metadata" not in told


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_failover_is_told(own: Stack, providers: Faulty, customer: Customer, stream: bool) -> None:
    purpose = "streamed" if stream else "whole"
    providers.modes[f"bad-{purpose}"] = "limited"
    answer: Any = own.openai(customer).chat.completions.create(
        model=f"told/{purpose}", messages=MESSAGES, max_tokens=50, stream=stream, extra_headers=THEIRS
    )
    last = list(answer)[-1] if stream else answer
    ours = check(last.model_extra or {}, f"told/{purpose}", f"well-{purpose}")
    assert (ours["region"], ours["endpoints"]["total"], ours["source"]) == ("EU", 2, "priority")
    failed, good = ours["attempts"]
    assert (failed["provider"], failed["status"]) == (f"bad-{purpose}", 429)
    assert (failed["error_class"], failed["reason"]) == ("rate_limited", "priority")
    assert (good["error_class"], good["reason"]) == (None, "failover")
    assert failed["started_ms"] <= good["started_ms"]


def test_an_error_has_it_beside_it(own: Stack, providers: Faulty, customer: Customer) -> None:
    providers.modes.update({"bad-failing": "broken", "well-failing": "broken"})
    for path, ask in PATHS.items():
        told = post(own, customer, path, {"model": "told/failing", **ask}, **THEIRS)
        assert told.status_code in (502, 503)
        body = told.json()
        assert body["error"]["message"] and body["openrouter_metadata"]["summary"] == "available=2, selected=none"
        assert body["openrouter_metadata"]["attempt"] == len(body["openrouter_metadata"]["attempts"])
        ours = body["router_metadata"]
        assert {one["provider"] for one in (*ours["attempts"], *ours["refused"])} == {"bad-failing", "well-failing"}


def test_the_sdks_read_an_error_as_before(stack: Stack, customer: Customer) -> None:
    wish: Any = {"provider": {"only": ["nobody"]}}
    with pytest.raises(openai.NotFoundError) as refused:
        stack.openai(customer).chat.completions.create(
            model="sandbox/echo", messages=MESSAGES, extra_headers=THEIRS, extra_body=wish
        )
    assert refused.value.code == "no_provider_allowed"
    told = refused.value.response.json()["openrouter_metadata"]
    assert told["endpoints"] == {"total": 1, "available": []} and told["attempts"] == []
    assert refused.value.response.json()["router_metadata"]["refused"] == [
        {"provider": "sandbox", "model": "sandbox/echo", "reason": "provider_not_allowed"}
    ]
    with pytest.raises(anthropic.NotFoundError) as unknown:
        claude(stack, customer).messages.create(model="no/such", messages=MESSAGES, max_tokens=5, extra_headers=THEIRS)
    body: Any = unknown.value.body
    assert body["error"]["type"] == "not_found_error" and body["openrouter_metadata"]["requested"] == "no/such"
    assert "router_metadata" not in post(stack, customer, "/v1/chat/completions", {"model": 5}, **THEIRS).text
    stranger = {"authorization": "Bearer sk-ro-nobody", **THEIRS}
    assert "router_metadata" not in httpx2.post(f"{stack.url}/v1/chat/completions", headers=stranger, json={}).text


@pytest.mark.parametrize("path", PATHS)
def test_a_stream_that_breaks_off_tells_it_with_its_error(
    own: Stack, providers: Faulty, customer: Customer, path: str
) -> None:
    purpose = "cut" + path.replace("/", "-")
    providers.modes[f"bad-{purpose}"] = "cut"
    answer = post(own, customer, path, {"model": f"told/{purpose}", "stream": True, **PATHS[path]}, **OURS)
    assert answer.status_code == 200
    last = events(answer)[-1]
    told = last.get("response", last)
    assert told["error"]
    attempt = told["router_metadata"]["attempts"][-1]
    assert (attempt["provider"], attempt["error_class"], attempt["status"]) == (f"bad-{purpose}", "cut", 502)
    assert told["router_metadata"]["endpoints"]["available"][0]["selected"], "some of it was delivered"
