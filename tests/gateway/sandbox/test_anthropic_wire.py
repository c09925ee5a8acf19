"""The Anthropic Messages dialect of the sandbox, through the official package."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest

HELLO: Any = [{"role": "user", "content": "Good day"}]
WEATHER: Any = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CLOCK: Any = {"name": "clock", "input_schema": {"type": "object", "properties": {}}}


def _create(client: anthropic.Anthropic, **body: Any) -> Any:
    return client.messages.create(**{"model": "sandbox-echo", "max_tokens": 1000, "messages": HELLO, **body})


def _streamed(client: anthropic.Anthropic, **body: Any) -> Any:
    with client.messages.stream(**{"model": "sandbox-echo", "max_tokens": 1000, "messages": HELLO, **body}) as stream:
        return stream.get_final_message()


def _names(message: Any) -> list[str]:
    return [block.name for block in message.content if block.type == "tool_use"]


def test_it_echoes_the_last_user_text(anthropic_client: anthropic.Anthropic) -> None:
    message = _create(anthropic_client)
    assert message.content[0].text == "Hello from the sandbox. You said: Good day"
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens == 6
    assert message._request_id is not None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": "sandbox-reasoning"},
        {"model": "sandbox-tools", "tools": [WEATHER, CLOCK], "messages": [{"role": "user", "content": "both!"}]},
        {"stop_sequences": ["You"]},
        {"max_tokens": 3},
        {"model": "sandbox-exact", "max_tokens": 40},
    ],
)
def test_a_stream_says_what_a_whole_answer_says(anthropic_client: anthropic.Anthropic, body: dict[str, Any]) -> None:
    whole, streamed = _create(anthropic_client, **body), _streamed(anthropic_client, **body)
    for field in ("stop_reason", "stop_sequence", "model", "role"):
        assert getattr(streamed, field) == getattr(whole, field)
    for one, two in zip(whole.content, streamed.content, strict=True):
        ignored = {"id", "parsed_output"}
        assert one.model_dump(exclude=ignored) == two.model_dump(exclude=ignored)
    assert streamed.usage.output_tokens == whole.usage.output_tokens
    assert streamed.usage.input_tokens == whole.usage.input_tokens


def test_a_forced_tool_is_called_and_its_result_is_quoted(anthropic_client: anthropic.Anthropic) -> None:
    tools = {"model": "sandbox-tools", "tools": [WEATHER, CLOCK]}
    asked = _create(anthropic_client, **tools, tool_choice={"type": "tool", "name": "clock"})
    assert _names(asked) == ["clock"]
    assert asked.stop_reason == "tool_use"
    result = {"type": "tool_result", "tool_use_id": asked.content[0].id, "content": [{"type": "text", "text": "12:00"}]}
    messages = [*HELLO, {"role": "assistant", "content": asked.content}, {"role": "user", "content": [result]}]
    assert _create(anthropic_client, **tools, messages=messages).content[0].text == 'The tool answered: "12:00".'


@pytest.mark.parametrize(("forbidden", "names"), [(False, ["weather", "clock"]), (True, ["weather"])])
def test_both_tools_are_called_at_once_where_that_is_allowed(
    anthropic_client: anthropic.Anthropic, forbidden: bool, names: list[str]
) -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": forbidden}
    messages = [{"role": "user", "content": "Use both tools"}]
    message = _streamed(
        anthropic_client, model="sandbox-tools", tools=[WEATHER, CLOCK], messages=messages, tool_choice=choice
    )
    assert _names(message) == names
    assert message.content[0].input == {"city": "sample city"}


def test_a_call_without_its_result_is_refused(anthropic_client: anthropic.Anthropic) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "clock", "input": {}}
    messages = [*HELLO, {"role": "assistant", "content": [call]}, {"role": "user", "content": "And?"}]
    with pytest.raises(anthropic.BadRequestError, match="tool_result"):
        _create(anthropic_client, tools=[CLOCK], messages=messages)


def test_structured_output_fits_its_schema(anthropic_client: anthropic.Anthropic) -> None:
    schema = {"type": "object", "properties": {"size": {"enum": ["small", "large"]}}, "required": ["size"]}
    message = _create(anthropic_client, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert json.loads(message.content[0].text) == {"size": "small"}


def test_a_thinking_block_must_come_back_unchanged(anthropic_client: anthropic.Anthropic) -> None:
    message = _streamed(anthropic_client, model="sandbox-reasoning")
    thinking, text = message.content
    assert (thinking.type, text.type) == ("thinking", "text")
    assert message.usage.output_tokens_details.thinking_tokens > 0
    turns = [*HELLO, {"role": "assistant", "content": [thinking, text]}, *HELLO]
    assert _create(anthropic_client, messages=turns).stop_reason == "end_turn"
    forged = {"type": "thinking", "thinking": "another thought", "signature": thinking.signature}
    with pytest.raises(anthropic.BadRequestError, match="signature"):
        _create(anthropic_client, messages=[*HELLO, {"role": "assistant", "content": [forged, text]}, *HELLO])


def test_it_does_not_think_where_that_is_switched_off(anthropic_client: anthropic.Anthropic) -> None:
    message = _create(anthropic_client, model="sandbox-reasoning", thinking={"type": "disabled"})
    assert [block.type for block in message.content] == ["text"]


def test_a_stop_sequence_is_named(anthropic_client: anthropic.Anthropic) -> None:
    message = _create(anthropic_client, stop_sequences=["day", " You"])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", " You")
    assert message.content[0].text == "Hello from the sandbox."


def _cache(usage: Any) -> tuple[int, int, int]:
    return usage.cache_read_input_tokens, usage.cache_creation_input_tokens, usage.input_tokens


def test_marked_prompts_are_written_to_the_cache_and_then_read_from_it(anthropic_client: anthropic.Anthropic) -> None:
    system = [{"type": "text", "text": "mark " * 100, "cache_control": {"type": "ephemeral"}}]
    assert _cache(_create(anthropic_client, system=system).usage) == (0, 100, 6)
    assert _cache(_streamed(anthropic_client, system=system).usage) == (100, 0, 6)
    assert _cache(_create(anthropic_client, system="mark " * 100).usage) == (0, 0, 106)


def test_the_two_lives_of_a_cache_entry_are_told_apart(anthropic_client: anthropic.Anthropic) -> None:
    system = [
        {"type": "text", "text": "long " * 70, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": "brief " * 80, "cache_control": {"type": "ephemeral"}},
    ]
    written = _create(anthropic_client, system=system).usage.cache_creation
    assert (written.ephemeral_1h_input_tokens, written.ephemeral_5m_input_tokens) == (70, 80)


def test_a_short_marked_prompt_is_not_cached(anthropic_client: anthropic.Anthropic) -> None:
    system = [{"type": "text", "text": "tiny " * 63, "cache_control": {"type": "ephemeral"}}]
    assert [_cache(_create(anthropic_client, system=system).usage) for _ in "12"] == [(0, 0, 69)] * 2


def test_an_image_is_seen_and_counted(anthropic_client: anthropic.Anthropic) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "Look"}]
    message = _create(anthropic_client, messages=[{"role": "user", "content": content}])
    assert message.content[0].text == "Hello from the sandbox. I see an image. You said: Look"
    assert message.usage.input_tokens == 1 + 4 + 85


def test_counting_agrees_with_the_usage(anthropic_client: anthropic.Anthropic) -> None:
    prompt: Any = {"system": "Be brief.", "messages": HELLO, "tools": [WEATHER]}
    counted = anthropic_client.messages.count_tokens(model="sandbox-echo", **prompt)
    assert counted.input_tokens == _create(anthropic_client, **prompt).usage.input_tokens


def test_the_models_are_listed(anthropic_client: anthropic.Anthropic) -> None:
    page = anthropic_client.models.list()
    assert page.has_more is False
    assert page.last_id == page.data[-1].id
    assert anthropic_client.models.retrieve("sandbox-echo").type == "model"


def test_an_unknown_model_is_404(anthropic_client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        _create(anthropic_client, model="claude-nothing")
    assert caught.value.type == "not_found_error"


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
        {"max_tokens": 0},
        {"extra_body": {"temperature": 1.5}},
        {"tools": [{"name": "x"}]},
        {"tool_choice": {"type": "any"}},
        {"thinking": {"type": "enabled", "budget_tokens": 5000}},
        {"system": 7, "tools": 7},
    ],
)
def test_bad_requests_are_400(anthropic_client: anthropic.Anthropic, body: dict[str, Any]) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        _create(anthropic_client, **body)
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id is not None
