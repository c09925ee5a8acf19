"""The official SDKs and two frameworks, each against models of every provider dialect."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from google import genai
from google.genai import types as gemini_types
from pydantic import BaseModel

from tests.scenarios.conftest import Customer, Stack

UPSTREAMS = ("", "-anthropic", "-responses", "-gemini")
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
QUESTION = "What is the weather in Chengdu?"
SUNNY = "sunny, 21 degrees"

pytestmark = pytest.mark.parametrize("upstream", UPSTREAMS, ids=lambda name: name.strip("-") or "chat")


@pytest.fixture(scope="module")
def customer(stack: Stack) -> Customer:
    return stack.customer()


def claude(stack: Stack, customer: Customer) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=stack.url, api_key=customer.key, max_retries=0, timeout=30)


def gemini(stack: Stack, customer: Customer) -> genai.Client:
    options = gemini_types.HttpOptions(base_url=stack.url, retry_options=gemini_types.HttpRetryOptions(attempts=1))
    return genai.Client(api_key=customer.key, http_options=options)


def test_anthropic_whole_and_streamed(stack: Stack, customer: Customer, upstream: str) -> None:
    client = claude(stack, customer)
    ask: Any = {
        "model": f"sandbox/echo{upstream}",
        "max_tokens": 500,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": QUESTION}],
    }
    whole = client.messages.create(**ask)
    assert whole.stop_reason == "end_turn" and QUESTION in whole.content[0].text
    with client.messages.stream(**ask) as stream:
        streamed = stream.get_final_message()
    assert streamed.content[0].text == whole.content[0].text
    assert streamed.usage.output_tokens == whole.usage.output_tokens > 0
    assert streamed.usage.input_tokens > 0


def test_anthropic_tools_with_reasoning_and_an_image_in_the_result(
    stack: Stack, customer: Customer, upstream: str
) -> None:
    client = claude(stack, customer)
    tools: Any = [{"name": "get_weather", "description": "Weather", "input_schema": SCHEMA}]
    messages: Any = [{"role": "user", "content": QUESTION}]
    ask: Any = {"model": f"sandbox/tools{upstream}", "max_tokens": 2000, "tools": tools}
    with client.messages.stream(messages=messages, **ask) as stream:
        first = stream.get_final_message()
    assert first.stop_reason == "tool_use"
    call = next(block for block in first.content if block.type == "tool_use")
    assert call.name == "get_weather" and "city" in call.input
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    messages += [
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": call.id, "content": [
                {"type": "text", "text": SUNNY},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": pixel}}]}]},
    ]  # fmt: skip
    second = client.messages.create(messages=messages, **ask)
    assert SUNNY in "".join(block.text for block in second.content if block.type == "text")


def test_anthropic_thinking_survives_the_round_trip(stack: Stack, customer: Customer, upstream: str) -> None:
    """The sandbox refuses reasoning whose signature is not its own, unchanged."""
    client = claude(stack, customer)
    ask: Any = {
        "model": f"sandbox/reasoning{upstream}",
        "max_tokens": 4000,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    messages: Any = [{"role": "user", "content": QUESTION}]
    with client.messages.stream(messages=messages, **ask) as stream:
        first = stream.get_final_message()
    thoughts = [block for block in first.content if block.type == "thinking"]
    assert thoughts and thoughts[0].thinking
    if upstream:
        assert any(block.signature for block in thoughts)
    messages += [
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]},
        {"role": "user", "content": "And tomorrow?"},
    ]
    second = client.messages.create(messages=messages, **ask)
    assert second.stop_reason == "end_turn"


def test_openai_responses_whole_and_streamed(stack: Stack, customer: Customer, upstream: str) -> None:
    client = stack.openai(customer)
    ask: Any = {"model": f"sandbox/echo{upstream}", "input": QUESTION, "instructions": "Be brief."}
    whole = client.responses.create(**ask)
    assert whole.status == "completed" and QUESTION in whole.output_text
    with client.responses.stream(**ask) as stream:
        events = list(stream)
        streamed = stream.get_final_response()
    assert [event.sequence_number for event in events if hasattr(event, "sequence_number")]
    assert streamed.output_text == whole.output_text
    assert streamed.usage.output_tokens == whole.usage.output_tokens > 0


def test_openai_responses_tools_custom_tools_and_reasoning(stack: Stack, customer: Customer, upstream: str) -> None:
    client = stack.openai(customer)
    tools: Any = [
        {"type": "custom", "name": "apply_patch", "description": "Change files",
         "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}},
        {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False},
    ]  # fmt: skip
    items: Any = [{"role": "user", "content": QUESTION}]
    model = f"sandbox/tools{upstream}"
    with client.responses.stream(model=model, input=items, tools=tools, store=False) as stream:
        for _ in stream:
            pass
        first = stream.get_final_response()
    call = next(item for item in first.output if item.type == "custom_tool_call")
    assert call.name == "apply_patch" and call.input and not call.input.startswith("{")
    items += [item.model_dump(exclude_none=True) for item in first.output]
    items.append({"type": "custom_tool_call_output", "call_id": call.call_id, "output": SUNNY})
    second = client.responses.create(model=model, input=items, tools=tools, store=False)
    assert SUNNY in second.output_text


def test_openai_responses_reasoning_goes_back_where_it_was_made(
    stack: Stack, customer: Customer, upstream: str
) -> None:
    client = stack.openai(customer)
    ask: Any = {
        "model": f"sandbox/reasoning{upstream}",
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    items: Any = [{"role": "user", "content": QUESTION}]
    first = client.responses.create(input=items, **ask)
    thoughts = [item for item in first.output if item.type == "reasoning"]
    assert thoughts
    if upstream:
        assert any(item.encrypted_content for item in thoughts)
    items += [item.model_dump(exclude_none=True) for item in first.output]
    items.append({"role": "user", "content": "And tomorrow?"})
    assert client.responses.create(input=items, **ask).output_text


def test_openai_chat_reasoning_and_structured_output(stack: Stack, customer: Customer, upstream: str) -> None:
    class Event(BaseModel):
        name: str
        people: list[str]

    client = stack.openai(customer)
    question: Any = [{"role": "user", "content": "An event, please."}]
    parsed = client.chat.completions.parse(model=f"sandbox/echo{upstream}", messages=question, response_format=Event)
    assert isinstance(parsed.choices[0].message.parsed, Event)
    model = f"sandbox/reasoning{upstream}"
    wish: Any = {"reasoning": {"enabled": True, "effort": "medium"}}
    first = client.chat.completions.create(model=model, messages=question, extra_body=wish)
    message = first.choices[0].message
    assert message.reasoning_content
    question += [message.model_dump(exclude_none=True), {"role": "user", "content": "And another."}]
    assert client.chat.completions.create(model=model, messages=question).choices[0].message.content


def test_google_genai_whole_streamed_and_tools(stack: Stack, customer: Customer, upstream: str) -> None:
    client = gemini(stack, customer)
    model = f"sandbox/echo{upstream}"
    whole = client.models.generate_content(model=model, contents=QUESTION)
    assert QUESTION in (whole.text or "")
    streamed = list(client.models.generate_content_stream(model=model, contents=QUESTION))
    assert "".join(chunk.text or "" for chunk in streamed) == whole.text
    assert streamed[-1].usage_metadata.candidates_token_count == whole.usage_metadata.candidates_token_count
    weather = gemini_types.FunctionDeclaration(name="get_weather", description="Weather", parameters_json_schema=SCHEMA)
    config = gemini_types.GenerateContentConfig(
        tools=[gemini_types.Tool(function_declarations=[weather])],
        automatic_function_calling=gemini_types.AutomaticFunctionCallingConfig(disable=True),
    )
    contents: Any = [gemini_types.Content(role="user", parts=[gemini_types.Part(text=QUESTION)])]
    first = client.models.generate_content(model=f"sandbox/tools{upstream}", contents=contents, config=config)
    call = first.function_calls[0]
    assert call.name == "get_weather" and "city" in call.args
    result = gemini_types.FunctionResponse(id=call.id, name=call.name, response={"result": SUNNY})
    contents += [
        first.candidates[0].content,
        gemini_types.Content(role="user", parts=[gemini_types.Part(function_response=result)]),
    ]
    second = client.models.generate_content(model=f"sandbox/tools{upstream}", contents=contents, config=config)
    assert SUNNY in (second.text or "")


@pytest.mark.parametrize("wire", ["chat", "responses", "messages"])
def test_pydantic_ai_calls_a_tool(stack: Stack, customer: Customer, upstream: str, wire: str) -> None:
    from pydantic_ai import Agent
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.anthropic import AnthropicProvider
    from pydantic_ai.providers.openai import OpenAIProvider

    name = f"sandbox/tools{upstream}"
    model: Any
    if wire == "messages":
        model = AnthropicModel(name, provider=AnthropicProvider(base_url=stack.url, api_key=customer.key))
    else:
        provider = OpenAIProvider(base_url=f"{stack.url}/v1", api_key=customer.key)
        model = (OpenAIChatModel if wire == "chat" else OpenAIResponsesModel)(name, provider=provider)
    agent = Agent(model)

    @agent.tool_plain
    def get_weather(city: str) -> str:
        return f"{SUNNY} in {city}"

    result = agent.run_sync(QUESTION)
    assert SUNNY in result.output
    assert (
        result.usage.output_tokens > 0 if hasattr(result.usage, "output_tokens") else result.usage().output_tokens > 0
    )


def test_langchain_streams_and_calls_a_tool(stack: Stack, customer: Customer, upstream: str) -> None:
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_openai import ChatOpenAI

    options: Any = {"base_url": f"{stack.url}/v1", "api_key": customer.key, "max_retries": 0, "stream_usage": True}
    pieces = list(ChatOpenAI(model=f"sandbox/echo{upstream}", **options).stream(QUESTION))
    assert QUESTION in "".join(str(piece.content) for piece in pieces)
    assert any(piece.usage_metadata for piece in pieces)
    bound = ChatOpenAI(model=f"sandbox/tools{upstream}", **options).bind_tools(
        [{"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": SCHEMA}}]
    )
    messages: list[Any] = [HumanMessage(QUESTION)]
    first = bound.invoke(messages)
    call = first.tool_calls[0]
    messages += [first, ToolMessage(SUNNY, tool_call_id=call["id"])]
    assert SUNNY in str(bound.invoke(messages).content)
