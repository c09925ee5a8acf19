"""The OpenAI Chat dialect of the sandbox, through the official package."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

HELLO: Any = [{"role": "user", "content": "Guten Tag, 你好 👋"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
            "required": ["city", "days"],
        },
    },
}
CLOCK: Any = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}


def _streamed(client: openai.OpenAI, **body: Any) -> list[Any]:
    return list(client.chat.completions.create(stream=True, **body))


def _text(chunks: list[Any], choice: int = 0) -> str:
    found = (one for chunk in chunks for one in chunk.choices if one.index == choice)
    return "".join(one.delta.content or "" for one in found)


def test_it_echoes_the_last_user_text(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(model="sandbox-echo", messages=HELLO)
    assert answer.choices[0].message.content == "Hello from the sandbox. You said: Guten Tag, 你好 👋"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    # Guten, Tag, the comma, two characters, one emoji, and four for the message.
    assert answer.usage.prompt_tokens == 10
    assert answer.usage.total_tokens == 10 + answer.usage.completion_tokens


def test_the_same_request_has_the_same_answer_and_another_one_another_id(openai_client: openai.OpenAI) -> None:
    one, two = (openai_client.chat.completions.create(model="sandbox-echo", messages=HELLO) for _ in range(2))
    other = openai_client.chat.completions.create(model="sandbox-echo", messages=HELLO, seed=1)
    assert one == two
    assert one.id != other.id


def test_a_stream_says_what_a_whole_answer_says(openai_client: openai.OpenAI) -> None:
    whole = openai_client.chat.completions.create(model="sandbox-echo", messages=HELLO)
    chunks = _streamed(openai_client, model="sandbox-echo", messages=HELLO, stream_options={"include_usage": True})
    assert _text(chunks) == whole.choices[0].message.content
    assert len({chunk.id for chunk in chunks}) == 1
    assert [chunk.usage for chunk in chunks if chunk.usage] == [whole.usage]
    assert chunks[-1].choices == []


def test_a_stream_reports_no_usage_unless_asked(openai_client: openai.OpenAI) -> None:
    assert not any(chunk.usage for chunk in _streamed(openai_client, model="sandbox-echo", messages=HELLO))


def test_it_calls_the_first_tool_with_arguments_that_fit(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(model="sandbox-tools", messages=HELLO, tools=[WEATHER, CLOCK])
    calls: Any = answer.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["weather"]
    assert json.loads(calls[0].function.arguments) == {"city": "sample city", "days": 2}
    assert answer.choices[0].finish_reason == "tool_calls"


def test_a_forced_tool_is_called(openai_client: openai.OpenAI) -> None:
    choice: Any = {"type": "function", "function": {"name": "clock"}}
    answer = openai_client.chat.completions.create(
        model="sandbox-tools", messages=HELLO, tools=[WEATHER, CLOCK], tool_choice=choice
    )
    calls: Any = answer.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["clock"]
    assert calls[0].function.arguments == "{}"


def test_no_tool_is_called_where_that_is_forbidden(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(
        model="sandbox-tools", messages=HELLO, tools=[WEATHER], tool_choice="none"
    )
    assert answer.choices[0].message.tool_calls is None
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(("parallel", "names"), [(True, ["weather", "clock"]), (False, ["weather"])])
def test_both_tools_are_called_at_once_where_that_is_allowed(
    openai_client: openai.OpenAI, parallel: bool, names: list[str]
) -> None:
    messages: Any = [{"role": "user", "content": "Use both tools"}]
    with openai_client.chat.completions.stream(
        model="sandbox-tools", messages=messages, tools=[WEATHER, CLOCK], parallel_tool_calls=parallel
    ) as stream:
        calls: Any = stream.get_final_completion().choices[0].message.tool_calls
    assert [call.function.name for call in calls] == names
    assert len({call.id for call in calls}) == len(names)
    assert json.loads(calls[0].function.arguments)["city"] == "sample city"


def test_it_quotes_the_results_of_its_tools(openai_client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "Use both tools"}]
    asked = openai_client.chat.completions.create(model="sandbox-tools", messages=messages, tools=[WEATHER, CLOCK])
    calls: Any = asked.choices[0].message.tool_calls
    messages = [*messages, asked.choices[0].message]
    messages += [{"role": "tool", "tool_call_id": call.id, "content": f"result {at}"} for at, call in enumerate(calls)]
    answer = openai_client.chat.completions.create(model="sandbox-tools", messages=messages, tools=[WEATHER, CLOCK])
    assert answer.choices[0].message.content == 'The tool answered: "result 0", "result 1".'


@pytest.mark.parametrize("answered", [[], ["another"]])
def test_a_call_without_its_result_is_refused(openai_client: openai.OpenAI, answered: list[str]) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    messages: Any = [*HELLO, {"role": "assistant", "content": None, "tool_calls": [call]}]
    messages += [{"role": "tool", "tool_call_id": one, "content": "12:00"} for one in answered]
    with pytest.raises(openai.BadRequestError, match="tool_call"):
        openai_client.chat.completions.create(model="sandbox-tools", messages=messages, tools=[CLOCK])


class Address(BaseModel):
    street: str
    number: int


class Person(BaseModel):
    name: str
    age: int | None
    addresses: list[Address]


def test_structured_output_fits_its_schema(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.parse(model="sandbox-echo", messages=HELLO, response_format=Person)
    person = answer.choices[0].message.parsed
    assert person is not None
    assert person.name == "sample name"
    assert len(person.addresses) == 1


def test_any_object_may_be_asked_for(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(
        model="sandbox-echo", messages=HELLO, response_format={"type": "json_object"}
    )
    assert "Guten Tag" in json.loads(answer.choices[0].message.content or "")["answer"]


def test_reasoning_comes_before_the_text_and_is_counted(openai_client: openai.OpenAI) -> None:
    chunks = _streamed(
        openai_client, model="sandbox-reasoning;reasoning=7", messages=HELLO, stream_options={"include_usage": True}
    )
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    kinds = ["reasoning" if getattr(delta, "reasoning_content", None) else "text" for delta in deltas[1:-1]]
    assert kinds == ["reasoning"] * 7 + ["text"] * (len(kinds) - 7)
    usage = chunks[-1].usage
    assert usage.completion_tokens_details.reasoning_tokens == 7
    assert usage.completion_tokens == len(kinds)


def test_reasoning_may_use_up_the_whole_limit(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(model="sandbox-reasoning", messages=HELLO, max_completion_tokens=5)
    assert answer.choices[0].message.content is None
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5


@pytest.mark.parametrize(
    ("model", "limit", "tokens", "finish"),
    [
        ("sandbox-exact", 37, 37, "length"),
        ("sandbox-exact", 50_000, 50_000, "length"),
        ("sandbox-quarter", 37, 25, "stop"),
        ("sandbox-quarter", 3, 3, "length"),
    ],
)
def test_measured_answers_report_what_the_limit_says(
    openai_client: openai.OpenAI, model: str, limit: int, tokens: int, finish: str
) -> None:
    answer = openai_client.chat.completions.create(model=model, messages=HELLO, max_tokens=limit)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == tokens
    assert answer.choices[0].finish_reason == finish
    assert len((answer.choices[0].message.content or "").split()) == min(tokens, 4096)


def test_the_limit_cuts_the_answer(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(model="sandbox-echo", messages=HELLO, max_tokens=4)
    assert answer.choices[0].message.content == "Hello from the sandbox"
    assert answer.choices[0].finish_reason == "length"


def test_a_stop_sequence_ends_the_answer_before_it(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(model="sandbox-echo", messages=HELLO, stop=["Tag", " You"])
    assert answer.choices[0].message.content == "Hello from the sandbox."
    assert answer.choices[0].finish_reason == "stop"


def test_several_choices_are_interleaved_and_counted(openai_client: openai.OpenAI) -> None:
    chunks = _streamed(openai_client, model="sandbox-echo", messages=HELLO, n=3, stream_options={"include_usage": True})
    assert [chunk.choices[0].index for chunk in chunks[:6]] == [0, 1, 2, 0, 1, 2]
    assert _text(chunks, 0) == _text(chunks, 2)
    one = openai_client.chat.completions.create(model="sandbox-echo", messages=HELLO).usage
    assert one is not None
    assert chunks[-1].usage.completion_tokens == 3 * one.completion_tokens
    with pytest.raises(openai.BadRequestError):
        openai_client.chat.completions.create(model="sandbox-echo", messages=HELLO, n=5)


def test_an_image_is_seen_and_counted(openai_client: openai.OpenAI) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "Look"}, image]}]
    answer = openai_client.chat.completions.create(model="sandbox-echo", messages=messages)
    assert answer.choices[0].message.content == "Hello from the sandbox. I see an image. You said: Look"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 1 + 4 + 85


def _cached(answer: Any) -> int:
    return int(answer.usage.prompt_tokens_details.cached_tokens)


def test_a_prompt_that_grows_is_read_from_the_cache(openai_client: openai.OpenAI) -> None:
    system: Any = {"role": "system", "content": "grow " * 100}
    first = openai_client.chat.completions.create(model="sandbox-echo", messages=[system, *HELLO])
    second = openai_client.chat.completions.create(
        model="sandbox-echo", messages=[system, {"role": "user", "content": "Something else"}]
    )
    assert (_cached(first), _cached(second)) == (0, 64)


def test_a_short_prompt_is_never_cached(openai_client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "short " * 59}]
    assert [_cached(openai_client.chat.completions.create(model="sandbox-echo", messages=messages)) for _ in "12"] == [
        0,
        0,
    ]


def test_a_share_of_the_prompt_can_be_declared_cached(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(model="sandbox-echo;cached=0.5", messages=HELLO)
    assert _cached(answer) == 5


def test_the_models_are_listed(openai_client: openai.OpenAI) -> None:
    names = [model.id for model in openai_client.models.list()]
    assert "sandbox-echo" in names
    assert openai_client.models.retrieve("sandbox-cut").id == "sandbox-cut"
    with pytest.raises(openai.NotFoundError):
        openai_client.models.retrieve("gpt-nothing")


def test_an_unknown_model_is_404(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        openai_client.chat.completions.create(model="gpt-nothing", messages=HELLO)
    assert (caught.value.code, caught.value.type) == ("model_not_found", "invalid_request_error")


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {"messages": "hello"},
        {"messages": [{"role": "nobody", "content": "x"}]},
        {"messages": [{"role": "user", "content": None}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "ftp://x"}}]}]},
        {"max_tokens": 0},
        {"max_tokens": 5, "max_completion_tokens": 5},
        {"temperature": 3},
        {"tools": [{"type": "function"}]},
        {"tool_choice": "required"},
        {"stop": [1]},
        {"response_format": {"type": "json_schema"}},
        {"stop": {"a": 1}, "tools": 7},
    ],
)
def test_bad_requests_are_400(openai_client: openai.OpenAI, body: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.chat.completions.create(**{"model": "sandbox-echo", "messages": HELLO, **body})
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id is not None
