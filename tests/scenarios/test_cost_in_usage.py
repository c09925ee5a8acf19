"""What an answer costs stands in its usage, and the vendors' own SDKs read the answer as before."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest

from tests.scenarios.conftest import Customer, Stack
from tests.scenarios.test_all_sdks import claude, gemini

COST = 0.001
MESSAGES: Any = [{"role": "user", "content": "go"}]


@pytest.fixture(scope="module")
def customer(stack: Stack) -> Customer:
    return stack.customer()


def extra(usage: Any) -> Any:
    """The field, which no SDK knows and each keeps beside its own."""
    return (usage.model_extra or {}).get("cost")


def test_openai_chat(stack: Stack, customer: Customer) -> None:
    client, ask = stack.openai(customer), {"model": "sandbox/exact", "messages": MESSAGES, "max_tokens": 100}
    whole = client.chat.completions.create(**ask)
    assert whole.usage is not None and whole.usage.completion_tokens == 100
    assert extra(whole.usage) == COST
    *_, last = client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True})
    assert last.usage is not None and last.usage.completion_tokens == 100
    assert extra(last.usage) == COST


def test_openai_responses(stack: Stack, customer: Customer) -> None:
    client = stack.openai(customer)
    ask: Any = {"model": "sandbox/echo-responses", "input": "go", "max_output_tokens": 100}
    whole = client.responses.create(**ask)
    assert whole.usage is not None and extra(whole.usage) > 0
    with client.responses.stream(**ask) as stream:
        final = stream.get_final_response()
    assert final.usage is not None and final.usage.output_tokens == whole.usage.output_tokens > 0
    assert extra(final.usage) == extra(whole.usage)


def test_anthropic(stack: Stack, customer: Customer) -> None:
    client, ask = claude(stack, customer), {"model": "sandbox/echo-anthropic", "messages": MESSAGES, "max_tokens": 100}
    whole = client.messages.create(**ask)
    assert whole.usage.output_tokens > 0 and extra(whole.usage) > 0
    seen = [event for event in client.messages.create(**ask, stream=True) if event.type == "message_delta"]
    assert seen[-1].usage.output_tokens == whole.usage.output_tokens
    assert extra(seen[-1].usage) == extra(whole.usage)


def test_google_genai(stack: Stack, customer: Customer) -> None:
    """It keeps no field that it does not know, and minds none."""
    client, ask = gemini(stack, customer), {"model": "sandbox/echo-gemini", "contents": "go"}
    ask["config"] = {"max_output_tokens": 100}
    whole = client.models.generate_content(**ask)
    *_, last = client.models.generate_content_stream(**ask)
    for usage in (whole.usage_metadata, last.usage_metadata):
        assert usage is not None and usage.candidates_token_count > 0
    answer = httpx2.post(
        f"{stack.url}/v1beta/models/sandbox/echo-gemini:generateContent",
        headers={"x-goog-api-key": customer.key},
        json={"contents": [{"parts": [{"text": "go"}]}], "generationConfig": {"maxOutputTokens": 100}},
        timeout=30,
    )
    assert answer.json()["usageMetadata"]["cost"] > 0


def test_embeddings(stack: Stack, customer: Customer) -> None:
    client = stack.openai(customer)
    answer: Any = client.embeddings.with_raw_response.create(model="sandbox/embedding", input="go")
    found = answer.parse()
    assert len(found.data) == 1 and found.usage.prompt_tokens > 0
    assert extra(found.usage) == float(answer.headers["x-router-cost"])


@pytest.mark.parametrize(
    "model", ["sandbox/echo", "sandbox/echo-anthropic", "sandbox/echo-gemini", "sandbox/echo-responses"]
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/completions"])
def test_a_translated_answer_says_it_too(stack: Stack, customer: Customer, path: str, model: str) -> None:
    limit = "max_output_tokens" if path == "/v1/responses" else "max_tokens"
    asked = {"/v1/responses": {"input": "go"}, "/v1/completions": {"prompt": "go"}}.get(path, {"messages": MESSAGES})
    options = {} if path in ("/v1/responses", "/v1/messages") else {"stream_options": {"include_usage": True}}
    told = []
    for more in ({}, {"stream": True, **options}):
        answer = httpx2.post(
            f"{stack.url}{path}",
            headers={"authorization": f"Bearer {customer.key}"},
            json={"model": model, limit: 100, **asked, **more},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        told.append([float(cost) for cost in re.findall(r'"cost":([-+.e\d]+)', answer.text)])
        if not more:
            assert told[0] == [float(answer.headers["x-router-cost"])]
    assert told[1] == told[0] and told[0][0] > 0


@pytest.fixture(scope="module")
def uncounted(stack: Stack) -> str:
    """A model whose provider counts nothing."""
    from routing.models import Deployment, Model, PriceCard, Provider

    model = Model.objects.create(
        slug="uncounted/model", name="U", author="u", input_modalities=["text"], output_modalities=["text"]
    )
    deployment = Deployment.objects.create(
        provider=Provider.objects.get(slug="sandbox"),
        model=model,
        upstream_id="sandbox-no-usage",
        dialect="openai_chat",
    )
    PriceCard.objects.create(deployment=deployment, rates={"input": "1", "output": "2"})
    return model.slug


def test_where_no_provider_counts_a_translated_answer_tells_what_is_charged(stack: Stack, uncounted: str) -> None:
    customer = stack.customer(credit_usd="5")
    client, ask = claude(stack, customer), {"model": uncounted, "messages": MESSAGES, "max_tokens": 100}
    stack.until(lambda: _answers(stack, customer, uncounted))
    before = stack.wallet(customer)[0]
    whole = client.messages.create(**ask)
    assert whole.usage.input_tokens > 0 and whole.usage.output_tokens > 0
    seen = [event for event in client.messages.create(**ask, stream=True) if event.type == "message_delta"]
    assert seen[-1].usage.output_tokens == whole.usage.output_tokens
    assert extra(seen[-1].usage) == extra(whole.usage) > 0
    responses = stack.openai(customer).responses.create(model=uncounted, input="go", max_output_tokens=100)
    assert responses.usage is not None and responses.usage.output_tokens == whole.usage.output_tokens
    spent = round(10**9 * (extra(whole.usage) * 2 + extra(responses.usage)))
    stack.until(lambda: stack.wallet(customer) == (before - spent, 0), timeout_s=20)


def _answers(stack: Stack, customer: Customer, model: str) -> bool:
    """The gateway has heard of the model."""
    listed = httpx2.get(f"{stack.url}/v1/models", headers={"x-api-key": customer.key}).json()["data"]
    return any(item["id"] == model for item in listed)
