"""The official OpenAI SDK against the running product."""

from __future__ import annotations

import openai
import pytest
from pydantic import BaseModel

from tests.scenarios.conftest import Stack

HELLO = [{"role": "user", "content": "Say hello to the sandbox."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}


@pytest.mark.parametrize("model", ["sandbox/echo", "sandbox/echo-anthropic"])
def test_a_whole_answer_is_charged_and_logged(stack: Stack, model: str) -> None:
    customer = stack.customer()
    answer = stack.openai(customer).chat.completions.with_raw_response.create(model=model, messages=HELLO)
    completion = answer.parse()
    assert completion.choices[0].message.content
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage and completion.usage.prompt_tokens > 0
    assert answer.headers["x-request-id"] == answer.headers["request-id"]
    assert answer.headers["x-router-provider"] == "sandbox"
    posted, held = stack.wallet(customer)
    assert held == 0
    (row,) = stack.rows(
        "SELECT outcome, status, model, input_tokens, output_tokens, charge_nanos FROM observability_requestlog"
        " WHERE api_key_id = %s",
        customer.api_key_id,
    )
    assert row[:3] == ("answered", 200, model)
    assert row[3] == completion.usage.prompt_tokens and row[4] == completion.usage.completion_tokens
    assert row[5] > 0 and posted == 5_000_000_000 - row[5]
    assert float(answer.headers["x-router-cost"]) == pytest.approx(row[5] / 1e9)


@pytest.mark.parametrize("model", ["sandbox/echo", "sandbox/echo-anthropic"])
@pytest.mark.parametrize("include_usage", [True, False])
def test_a_streamed_answer_is_the_same_and_hides_usage_unless_asked(
    stack: Stack, model: str, include_usage: bool
) -> None:
    customer = stack.customer()
    client = stack.openai(customer)
    whole = client.chat.completions.create(model=model, messages=HELLO)
    options = {"stream_options": {"include_usage": True}} if include_usage else {}
    chunks = list(client.chat.completions.create(model=model, messages=HELLO, stream=True, **options))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
    assert any(chunk.usage for chunk in chunks) is include_usage
    stack.settle()
    rows = stack.rows(
        "SELECT output_tokens, usage_source FROM observability_requestlog WHERE api_key_id = %s",
        customer.api_key_id,
    )
    assert len(rows) == 2 and rows[0][0] == rows[1][0] > 0
    assert {row[1] for row in rows} == {"reported"}


def test_tools_are_called_and_answered(stack: Stack) -> None:
    client = stack.openai(stack.customer())
    messages: list = [{"role": "user", "content": "What is the weather in Chengdu?"}]
    first = client.chat.completions.create(model="sandbox/tools", messages=messages, tools=[WEATHER])
    call = first.choices[0].message.tool_calls[0]
    assert first.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "get_weather" and "city" in call.function.arguments
    messages += [
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "sunny, 21 degrees"},
    ]
    second = client.chat.completions.create(model="sandbox/tools", messages=messages, tools=[WEATHER])
    assert "sunny" in (second.choices[0].message.content or "")
    streamed = client.chat.completions.create(
        model="sandbox/tools", messages=messages[:1], tools=[WEATHER], stream=True
    )
    arguments = ""
    for chunk in streamed:
        for delta in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            arguments += delta.function.arguments or ""
    assert arguments == call.function.arguments


def test_structured_output_is_parsed(stack: Stack) -> None:
    class Event(BaseModel):
        name: str
        people: list[str]

    parsed = stack.openai(stack.customer()).chat.completions.parse(
        model="sandbox/echo", messages=[{"role": "user", "content": "An event, please."}], response_format=Event
    )
    assert isinstance(parsed.choices[0].message.parsed, Event)


def test_models_are_listed(stack: Stack) -> None:
    client = stack.openai(stack.customer())
    ids = [model.id for model in client.models.list()]
    assert "sandbox/echo" in ids
    assert client.models.retrieve("sandbox/echo").id == "sandbox/echo"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody/nothing")


def test_a_wrong_key_is_401_and_final(stack: Stack) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        stack.openai("sk-ro-wrong").chat.completions.create(model="sandbox/echo", messages=HELLO)
    assert caught.value.code == "invalid_api_key"
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert caught.value.request_id == caught.value.response.headers["request-id"]


def test_an_empty_wallet_is_402_with_the_way_out(stack: Stack) -> None:
    customer = stack.customer(credit_usd="0")
    with pytest.raises(openai.APIStatusError) as caught:
        stack.openai(customer).chat.completions.create(model="sandbox/echo", messages=HELLO)
    assert caught.value.status_code == 402
    assert caught.value.type == "insufficient_quota"
    assert "/wallet" in caught.value.message
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_an_unknown_model_is_404(stack: Stack) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        stack.openai(stack.customer()).chat.completions.create(model="nobody/nothing", messages=HELLO)
    assert caught.value.code == "model_not_found"


def test_too_many_requests_are_429_with_a_time(stack: Stack) -> None:
    client = stack.openai(stack.customer(requests_per_minute=3))
    with pytest.raises(openai.RateLimitError) as caught:
        for _ in range(4):
            client.chat.completions.create(model="sandbox/echo", messages=HELLO)
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert caught.value.response.headers["x-ratelimit-limit-requests"] == "3"


@pytest.mark.parametrize("stream", [True, False])
def test_an_upstream_500_is_a_502_and_free(stack: Stack, stream: bool) -> None:
    customer = stack.customer()
    found: list[int] = []

    def is_asked() -> bool:
        """Others asked it before, so it may be left alone for some seconds."""
        with pytest.raises(openai.InternalServerError) as caught:
            stack.openai(customer).chat.completions.create(model="sandbox/fail-500", messages=HELLO, stream=stream)
        found.append(caught.value.status_code)
        return found[-1] != 503

    stack.until(is_asked, timeout_s=30)
    assert found[-1] == 502
    assert stack.wallet(customer) == (5_000_000_000, 0)


def test_bad_requests_are_400_in_openais_shape(stack: Stack) -> None:
    client = stack.openai(stack.customer())
    bodies: list[dict] = [
        {"model": 5, "messages": HELLO},
        {"model": "sandbox/echo", "messages": "hi"},
        {"messages": []},
    ]
    for body in bodies:
        with pytest.raises(openai.BadRequestError) as caught:
            client.post("/chat/completions", body=body, cast_to=object)
        assert caught.value.type == "invalid_request_error"


def test_a_limit_beyond_the_models_own_is_lowered_to_what_was_held(stack: Stack) -> None:
    customer = stack.customer()
    asked = 1_000_000
    answer = stack.openai(customer).chat.completions.create(model="sandbox/exact", messages=HELLO, max_tokens=asked)
    assert answer.usage and answer.usage.completion_tokens == 16_384  # the model's maximum
    posted, held = stack.wallet(customer)
    assert posted > 0 and held == 0
