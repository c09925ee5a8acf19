"""The OpenAI Responses dialect of the sandbox, through the official package."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
import pytest

HELLO: Any = [{"role": "user", "content": "Good day"}]
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "strict": False,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CLOCK: Any = {"type": "function", "name": "clock", "strict": False, "parameters": {"type": "object", "properties": {}}}
PATCH: Any = {"type": "custom", "name": "patch", "format": {"type": "text"}}
THINKING: Any = {"model": "sandbox-reasoning", "reasoning": {"summary": "auto"}, "store": False}


def _create(client: openai.OpenAI, **body: Any) -> Any:
    return client.responses.create(**{"model": "sandbox-echo", "input": HELLO, **body})


def _streamed(client: openai.OpenAI, **body: Any) -> Any:
    """The last response of a stream; the package's own helper knows no incomplete ones."""
    if body.get("max_output_tokens"):
        return _events(client, **body)[-1].response
    with client.responses.stream(**{"model": "sandbox-echo", "input": HELLO, **body}) as stream:
        for _ in stream:
            pass
        return stream.get_final_response()


def _events(client: openai.OpenAI, **body: Any) -> list[Any]:
    return list(_create(client, stream=True, **body))


def _again(answer: Any) -> list[dict[str, Any]]:
    """The output items as a client sends them back."""
    return [item.model_dump(exclude_none=True) for item in answer.output]


def test_it_echoes_the_last_user_text(openai_client: openai.OpenAI) -> None:
    answer = _create(openai_client)
    assert answer.output_text == "Hello from the sandbox. You said: Good day"
    assert answer.status == "completed"
    assert (answer.usage.input_tokens, answer.usage.total_tokens) == (6, 6 + answer.usage.output_tokens)
    assert answer._request_id is not None


def test_a_text_alone_is_an_input(openai_client: openai.OpenAI) -> None:
    assert _create(openai_client, input="Good day").output_text == "Hello from the sandbox. You said: Good day"


@pytest.mark.parametrize(
    "body",
    [
        {},
        THINKING,
        {**THINKING, "reasoning": {}},
        {"model": "sandbox-tools", "tools": [WEATHER, PATCH], "input": "both!"},
        {"max_output_tokens": 16, "model": "sandbox-echo;words=40"},
        {"model": "sandbox-exact", "max_output_tokens": 5000},
        {"model": "sandbox-empty"},
    ],
)
def test_a_stream_says_what_a_whole_answer_says(openai_client: openai.OpenAI, body: dict[str, Any]) -> None:
    def comparable(answer: Any) -> Any:
        # The seed of ids is a hash of the body, in which `stream` differs.
        left_out = {"id", "call_id", "encrypted_content", "parsed", "parsed_arguments"}
        output = [item.model_dump(exclude_none=True) for item in answer.output]
        cleaned = [{name: value for name, value in item.items() if name not in left_out} for item in output]
        text = json.dumps(cleaned, sort_keys=True).replace(', "parsed": null', "")
        return answer.status, answer.incomplete_details, answer.usage.output_tokens, answer.output_text, text

    assert comparable(_streamed(openai_client, **body)) == comparable(_create(openai_client, **body))


def test_the_events_of_a_stream_are_complete_numbered_and_agree(openai_client: openai.OpenAI) -> None:
    events = _events(openai_client, **THINKING)
    kinds = [event.type for event in events]
    assert list(dict.fromkeys(kinds)) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert [item.model_dump() for item in events[-1].response.output] == [item.model_dump() for item in done]
    ids = {event.output_index: event.item_id for event in events if hasattr(event, "item_id")}
    assert [ids[at] for at in sorted(ids)] == [item.id for item in done]
    assert all(event.obfuscation for event in events if event.type.endswith("_text.delta"))


def test_each_event_is_named_by_its_type(sandbox_url: str) -> None:
    body = {"model": "sandbox-tools", "input": "Hi", "tools": [WEATHER], "stream": True}
    answer = httpx2.post(f"{sandbox_url}/v1/responses", json=body)
    blocks = [block.split("\n") for block in answer.text.strip().split("\n\n")]
    assert all(name == f"event: {json.loads(data[6:])['type']}" for name, data in blocks)
    assert any(name == "event: response.function_call_arguments.done" for name, _ in blocks)


def test_a_summary_and_sealed_thoughts_come_only_where_asked_for(openai_client: openai.OpenAI) -> None:
    plain = _create(openai_client, model="sandbox-reasoning").output[0]
    assert (plain.type, plain.summary, plain.encrypted_content) == ("reasoning", [], None)
    shown = _create(openai_client, model="sandbox-reasoning", reasoning={"summary": "auto"}).output[0]
    assert shown.summary[0].text.startswith("The user wrote")
    asked = _create(openai_client, model="sandbox-reasoning", include=["reasoning.encrypted_content"])
    assert asked.output[0].encrypted_content.startswith("gAAAAA")
    assert 0 < asked.usage.output_tokens_details.reasoning_tokens < asked.usage.output_tokens
    silent = _create(openai_client, model="sandbox-reasoning", reasoning={"effort": "none"})
    assert [item.type for item in silent.output] == ["message"]


def test_reasoning_may_use_up_the_whole_limit(openai_client: openai.OpenAI) -> None:
    answer = _create(openai_client, model="sandbox-reasoning;reasoning=90", max_output_tokens=16)
    assert [item.type for item in answer.output] == ["reasoning"]
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert answer.usage.output_tokens == 16


@pytest.mark.parametrize("streamed", [False, True])
def test_reasoning_comes_back_unchanged_with_its_item(openai_client: openai.OpenAI, streamed: bool) -> None:
    answer = (_streamed if streamed else _create)(openai_client, **THINKING)
    turns = [*HELLO, *_again(answer), *HELLO]
    for item in turns:
        for part in item["content"] if isinstance(item.get("content"), list) else []:
            part.pop("parsed", None)
    assert _create(openai_client, input=turns).status == "completed"
    thought = turns[1]
    others: Any = [
        {**thought, "encrypted_content": "gAAAAABforged"},
        {**thought, "encrypted_content": "cGxhaW4="},
        {**thought, "id": "rs_another"},
    ]
    for other in others:
        with pytest.raises(openai.BadRequestError) as caught:
            _create(openai_client, input=[HELLO[0], other, *turns[2:]])
        assert caught.value.code == "invalid_encrypted_content"


def test_what_begins_a_reasoning_item_is_not_what_must_come_back(openai_client: openai.OpenAI) -> None:
    events = _events(openai_client, **THINKING)
    added, done = (next(e.item for e in events if e.type == f"response.output_item.{end}") for end in ("added", "done"))
    assert added.id == done.id
    assert added.encrypted_content != done.encrypted_content


def test_a_forced_tool_is_called_and_its_result_is_quoted(openai_client: openai.OpenAI) -> None:
    tools = {"model": "sandbox-tools", "tools": [WEATHER, CLOCK]}
    asked = _create(openai_client, **tools, tool_choice={"type": "function", "name": "clock"})
    (call,) = asked.output
    assert (call.type, call.name, call.arguments) == ("function_call", "clock", "{}")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "12:00"}
    answer = _create(openai_client, **tools, input=[*HELLO, *_again(asked), result])
    assert answer.output_text == 'The tool answered: "12:00".'


@pytest.mark.parametrize(("parallel", "names"), [(True, ["weather", "clock"]), (False, ["weather"])])
def test_both_tools_are_called_at_once_where_that_is_allowed(
    openai_client: openai.OpenAI, parallel: bool, names: list[str]
) -> None:
    body = {"model": "sandbox-tools", "tools": [WEATHER, CLOCK], "input": "Use both", "parallel_tool_calls": parallel}
    calls = _streamed(openai_client, **body).output
    assert [call.name for call in calls] == names
    assert len({call.call_id for call in calls}) == len(names)
    assert json.loads(calls[0].arguments) == {"city": "sample city"}


def test_a_custom_tool_is_called_with_free_text(openai_client: openai.OpenAI) -> None:
    asked = _create(openai_client, model="sandbox-tools", tools=[PATCH])
    (call,) = asked.output
    assert (call.type, call.name, call.input) == ("custom_tool_call", "patch", "sample input")
    events = _events(openai_client, model="sandbox-tools", tools=[PATCH])
    assert "".join(e.delta for e in events if e.type == "response.custom_tool_call_input.delta") == "sample input"
    output = [{"type": "input_text", "text": "patched"}]
    result = {"type": "custom_tool_call_output", "call_id": call.call_id, "output": output}
    answer = _create(openai_client, model="sandbox-tools", tools=[PATCH], input=[*HELLO, *_again(asked), result])
    assert answer.output_text == 'The tool answered: "patched".'


def test_a_tool_of_a_namespace_is_called_by_both_names(openai_client: openai.OpenAI) -> None:
    space = {"type": "namespace", "name": "agents", "description": "Agents", "tools": [CLOCK]}
    (call,) = _create(openai_client, model="sandbox-tools", tools=[space]).output
    assert (call.name, call.namespace) == ("clock", "agents")


def test_tools_may_come_as_an_item_of_the_input(openai_client: openai.OpenAI) -> None:
    more = {"type": "additional_tools", "role": "developer", "tools": [PATCH]}
    (call,) = _create(openai_client, model="sandbox-tools", input=[more, *HELLO]).output
    assert call.name == "patch"


def test_a_deferred_tool_and_the_vendors_own_are_not_called(openai_client: openai.OpenAI) -> None:
    tools = [{"type": "web_search"}, {"type": "tool_search"}, {**WEATHER, "defer_loading": True}, CLOCK]
    (call,) = _create(openai_client, model="sandbox-tools", tools=tools).output
    assert call.name == "clock"


def test_structured_output_fits_its_schema(openai_client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"size": {"enum": ["small", "large"]}}, "required": ["size"]}
    answer = _create(openai_client, text={"format": {"type": "json_schema", "name": "size", "schema": schema}})
    assert json.loads(answer.output_text) == {"size": "small"}


def test_an_image_is_seen_and_counted(openai_client: openai.OpenAI) -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    content = [{"type": "input_text", "text": "Look"}, image]
    answer = _create(openai_client, input=[{"role": "user", "content": content}])
    assert answer.output_text == "Hello from the sandbox. I see an image. You said: Look"
    assert answer.usage.input_tokens == 1 + 4 + 85


def test_a_prompt_that_grows_is_read_from_the_cache(openai_client: openai.OpenAI) -> None:
    cached = [
        _create(openai_client, instructions="responses " * 100, input=text).usage.input_tokens_details.cached_tokens
        for text in ("One", "Two")
    ]
    assert cached == [0, 64 * 3]


def test_an_answer_may_have_no_end(openai_client: openai.OpenAI) -> None:
    events = _events(openai_client, model="sandbox-echo;finish=none")
    assert events[-1].type == "response.output_item.done"


def test_a_filtered_answer_is_incomplete(openai_client: openai.OpenAI) -> None:
    events = _events(openai_client, model="sandbox-echo;finish=content_filter")
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.incomplete_details.reason == "content_filter"


def test_an_unknown_model_is_400(openai_client: openai.OpenAI) -> None:
    for model in ("gpt-nothing", "sandbox-embedding"):
        with pytest.raises(openai.BadRequestError) as caught:
            _create(openai_client, model=model)
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


CALL: Any = {"type": "function_call", "call_id": "call_1", "name": "clock", "arguments": "{}"}
CUSTOM: Any = {"type": "custom_tool_call", "call_id": "call_1", "name": "patch", "input": "x"}
RESULT: Any = {"type": "function_call_output", "call_id": "call_1", "output": "12:00"}
THOUGHT: Any = {"type": "reasoning", "id": "rs_1", "summary": []}


def _said(kind: str, role: str = "assistant") -> dict[str, Any]:
    return {"role": role, "content": [{"type": kind, "text": "x"}]}


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([RESULT], "No tool call found for function call output with call_id call_1."),
        ([CALL], "No tool output found for function call call_1."),
        ([RESULT, CALL], "No tool call found"),
        ([CUSTOM, RESULT], "No tool call found for function call output"),
        ([CALL, {**RESULT, "type": "custom_tool_call_output"}], "No tool call found for custom tool call output"),
        ([{**CALL, "arguments": {}}, RESULT], "arguments"),
        ([{**CALL, "name": "a b"}, RESULT], "string does not match pattern"),
        ([{**CALL, "id": "call_1"}, RESULT], "Expected an ID that begins with 'fc'"),
        ([{**CALL, "call_id": "c" * 65}, {**RESULT, "call_id": "c" * 65}], "string too long"),
        ([CALL, {**RESULT, "output": None}], "output"),
        ([CALL, {**RESULT, "output": [{"type": "text", "text": "x"}]}], "input_text"),
        ([{"type": "tool_use", "id": "x"}], "Invalid value: 'tool_use'"),
        ([_said("input_text")], "Supported values are: 'output_text', 'refusal'"),
        ([_said("output_text", "user")], "Supported values are: 'input_text'"),
        ([_said("text", "user")], "Invalid value: 'text'"),
        ([_said("input_text", "tool")], "Invalid value: 'tool'"),
        ([{"role": "user", "content": None}], "content"),
        ([{"role": "user", "content": [{"type": "input_image", "image_url": {"url": "data:x"}}]}], "valid URL"),
        ([{"type": "reasoning", "id": "rs_1"}], "summary"),
        ([], "at least one item"),
    ],
)
def test_items_are_checked_as_the_vendor_checks_them(
    openai_client: openai.OpenAI, items: list[Any], words: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        _create(openai_client, input=items)
    assert words in caught.value.message
    assert caught.value.type == "invalid_request_error"


def test_reasoning_without_its_seal_is_not_found(openai_client: openai.OpenAI) -> None:
    for item in (THOUGHT, {"type": "item_reference", "id": "rs_1"}):
        with pytest.raises(openai.NotFoundError, match="not persisted"):
            _create(openai_client, input=[*HELLO, item, _said("output_text")])


def test_reasoning_needs_the_item_that_follows_it(openai_client: openai.OpenAI) -> None:
    thought = _again(_create(openai_client, **THINKING))[0]
    for rest in ([], HELLO):
        with pytest.raises(openai.BadRequestError, match="without its required following item"):
            _create(openai_client, input=[*HELLO, thought, *rest])


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": None}, "model"),
        ({"input": None}, "input"),
        ({"messages": []}, "messages"),
        ({"stop": ["x"]}, "stop"),
        ({"stream_options": {"include_usage": True}}, "stream_options.include_usage"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"max_output_tokens": 15}, "max_output_tokens"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"reasoning": {"summary": True}}, "reasoning.summary"),
        ({"tools": [{"type": "function", "function": {"name": "x"}}]}, "tools[0].name"),
        ({"tools": [{"type": "function", "name": "a.b"}]}, "tools[0].name"),
        ({"tools": [{"type": "teapot"}]}, "tools[0]"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function"}]}]}, "tools[0].tools[0].name"),
        ({"tools": [CLOCK], "tool_choice": {"type": "function", "name": "other"}}, "tool_choice"),
        ({"tools": [CLOCK], "tool_choice": {"type": "function", "function": {"name": "clock"}}}, "tool_choice.name"),
        ({"tools": [CLOCK], "tool_choice": "any"}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"text": {"verbosity": "loud"}}, "text.verbosity"),
        ({"text": 7}, "text"),
    ],
)
def test_bad_requests_are_400_and_name_the_parameter(sandbox_url: str, body: dict[str, Any], param: str) -> None:
    answer = httpx2.post(f"{sandbox_url}/v1/responses", json={"model": "sandbox-echo", "input": "Hi", **body})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
