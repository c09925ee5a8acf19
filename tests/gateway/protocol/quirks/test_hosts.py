"""Each host's file by what it makes of a request: which fields are sent, which are not, and what the caller is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.protocol.codec import EncodedRequest
from gateway.protocol.conversation import (
    Conversation,
    CustomFormat,
    Reasoning,
    ReasoningControls,
    ResponseFormat,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from gateway.protocol.dialects import codec_of
from gateway.protocol.quirks.hosts import HOSTS, quirks_of
from gateway.protocol.quirks.mistral import nine_letters

CHAT = codec_of("openai_chat")
CATALOGUE = Path(__file__).resolve().parents[4] / "routing" / "data" / "catalogue" / "providers.json"
TOOL = Tool("f", parameters={"type": "object"})
CUSTOM = Tool("g", "Runs code.", custom=CustomFormat("lark", "start: /x/"))
USER = Turn("user", (Text("q"),))
CALLED = (
    USER,
    Turn("assistant", (Reasoning("why", "sig", origin="anthropic_messages"), ToolCall("toolu_01abc", "f", "{}"))),
    Turn("tool", (ToolResult("toolu_01abc", (Text("42"),)),)),
)
OFF = ReasoningControls(enabled=False)
ON = ReasoningControls(enabled=True, budget_tokens=9000)
HIGH = ReasoningControls(effort="high")
SCHEMA = ResponseFormat("json_schema", "a", {"type": "object"}, True)
FORCED = ToolChoice("required")
ABSENT = object()

# (host, upstream model, conversation, fields of the body that must be so, names that must be dropped)
Case = tuple[str, str, dict[str, Any], dict[str, Any], tuple[str, ...]]
CASES: list[Case] = [
    ("deepseek", "deepseek-flash", {"reasoning": OFF}, {"thinking": {"type": "disabled"}}, ()),
    (
        "deepseek",
        "deepseek-flash",
        {"reasoning": ON},
        {"thinking": {"type": "enabled"}, "reasoning_effort": "high"},
        (),
    ),
    ("deepseek", "m", {"tools": (TOOL,), "tool_choice": FORCED}, {"thinking": {"type": "disabled"}}, ()),
    (
        "deepseek",
        "m",
        {"tools": (TOOL,), "tool_choice": FORCED, "reasoning": HIGH},
        {"thinking": {"type": "disabled"}, "reasoning_effort": ABSENT, "tool_choice": "required"},
        ("thinking",),
    ),
    (
        "deepseek",
        "m",
        {"response_format": SCHEMA},
        {"response_format": {"type": "json_object"}},
        ("output_config.format",),
    ),
    (
        "deepseek",
        "m",
        {"verbosity": "low", "cache_key": "k"},
        {"verbosity": ABSENT, "prompt_cache_key": ABSENT},
        ("verbosity",),
    ),
    ("xai", "grok-4.7", {"reasoning": ReasoningControls(effort="max")}, {"reasoning_effort": "xhigh"}, ()),
    ("xai", "grok-4.5", {"reasoning": ReasoningControls(effort="minimal")}, {"reasoning_effort": "low"}, ()),
    ("xai", "grok-4.3", {"reasoning": OFF}, {"reasoning_effort": "none"}, ()),
    ("xai", "grok-4.6", {"reasoning": OFF}, {"reasoning_effort": ABSENT}, ("thinking",)),
    ("xai", "grok-build-0.1", {"reasoning": HIGH}, {"reasoning_effort": ABSENT}, ("thinking",)),
    (
        "xai",
        "grok-4.6",
        {"sampling": Sampling(stop=("x",), presence_penalty=1)},
        {"stop": ABSENT, "presence_penalty": ABSENT},
        ("presence_penalty", "stop_sequences"),
    ),
    ("mistral", "mistral-small-2603", {"reasoning": ReasoningControls(effort="low")}, {"reasoning_effort": "high"}, ()),
    (
        "mistral",
        "m",
        {"sampling": Sampling(seed=7), "user": "u"},
        {"random_seed": 7, "seed": ABSENT, "user": ABSENT},
        (),
    ),
    ("mistral", "m", {"stream": True}, {"stream": True, "stream_options": ABSENT}, ()),
    ("groq", "qwen/qwen3.8-27b", {}, {"reasoning_format": "parsed"}, ()),
    ("groq", "qwen/qwen3.8-27b", {"reasoning": OFF}, {"reasoning_effort": "none"}, ()),
    ("groq", "openai/gpt-oss-120b", {"reasoning": OFF}, {"reasoning_effort": ABSENT}, ("thinking",)),
    ("groq", "openai/gpt-oss-120b", {"stream": True}, {"stream_options": {"include_usage": True}}, ()),
    (
        "cerebras",
        "gpt-oss-120b",
        {"sampling": Sampling(frequency_penalty=1)},
        {"frequency_penalty": ABSENT},
        ("frequency_penalty",),
    ),
    ("cerebras", "gpt-oss-120b", {"cache_key": "k", "metadata": {}}, {"prompt_cache_key": ABSENT}, ()),
    ("moonshotai", "kimi-k3", {"reasoning": ReasoningControls(effort="medium")}, {"reasoning_effort": "low"}, ()),
    ("moonshotai", "kimi-k2.6", {"reasoning": OFF}, {"thinking": {"type": "disabled"}}, ()),
    ("moonshotai", "kimi-k2.7-code", {"reasoning": OFF}, {"thinking": ABSENT}, ("thinking",)),
    (
        "moonshotai",
        "kimi-k2.7-code",
        {"tools": (TOOL,), "tool_choice": FORCED},
        {"tool_choice": "auto"},
        ("tool_choice",),
    ),
    ("moonshotai", "kimi-k3", {"tools": (TOOL,), "tool_choice": FORCED}, {"tool_choice": "required"}, ()),
    ("moonshotai", "kimi-k3", {"sampling": Sampling(temperature=0.2)}, {"temperature": ABSENT}, ("temperature",)),
    ("alibaba", "qwen3.8-max", {"reasoning": OFF}, {"enable_thinking": False}, ()),
    ("alibaba-cn", "qwen-plus", {"reasoning": ON}, {"enable_thinking": True, "thinking_budget": 9000}, ()),
    (
        "alibaba",
        "qwen3.8-max",
        {"tools": (TOOL,), "tool_choice": FORCED},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}, "enable_thinking": False},
        (),
    ),
    ("zai", "glm-5.3", {"reasoning": HIGH}, {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}, ()),
    ("zhipuai", "glm-5.1", {"reasoning": HIGH}, {"thinking": {"type": "enabled"}, "reasoning_effort": ABSENT}, ()),
    ("zai", "glm-5.3", {"tools": (TOOL,), "tool_choice": FORCED}, {"tool_choice": "auto"}, ("tool_choice",)),
    (
        "zai",
        "glm-5.3",
        {"tools": (TOOL,), "tool_choice": ToolChoice("none")},
        {"tools": ABSENT, "tool_choice": ABSENT},
        (),
    ),
    ("zai", "glm-5.3", {"sampling": Sampling(stop=("a", "b"))}, {"stop": ["a"]}, ("stop_sequences",)),
    ("minimax", "MiniMax-M3", {"reasoning": OFF}, {"thinking": {"type": "disabled"}, "reasoning_split": True}, ()),
    ("minimax", "MiniMax-M3.1-Flash", {"reasoning": OFF}, {"thinking": ABSENT}, ("thinking",)),
    ("minimax", "MiniMax-M3", {"response_format": SCHEMA}, {"response_format": ABSENT}, ("output_config.format",)),
    (
        "openrouter",
        "m",
        {"reasoning": ON, "stream": True},
        {"reasoning": {"max_tokens": 9000}, "stream_options": ABSENT},
        (),
    ),
    ("openrouter", "m", {"reasoning": OFF}, {"reasoning": {"enabled": False}}, ()),
    ("openai", "gpt-5.5", {"verbosity": "low", "cache_key": "k"}, {"verbosity": "low", "prompt_cache_key": "k"}, ()),
    (
        "azure",
        "gpt-5.5",
        {"tools": (CUSTOM,)},
        {
            "tools": [
                {
                    "type": "custom",
                    "custom": {
                        "name": "g",
                        "description": "Runs code.",
                        "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /x/"}},
                    },
                }
            ]
        },
        (),
    ),
    (
        "perplexity",
        "sonar",
        {"tools": (TOOL,), "stream": True},
        {"tools": ABSENT, "stream_options": ABSENT},
        ("tools",),
    ),
    ("google", "gemini-3.8-flash", {"sampling": Sampling(seed=1)}, {"seed": ABSENT}, ("seed",)),
    ("google", "gemini-2.5-flash", {"reasoning": OFF}, {"reasoning_effort": "none"}, ()),
    ("siliconflow", "m", {"reasoning": OFF}, {"enable_thinking": False}, ()),
    (
        "volcengine",
        "m",
        {"reasoning": ReasoningControls(effort="max")},
        {"thinking": {"type": "enabled"}, "reasoning_effort": "high"},
        (),
    ),
    ("xiaomi", "mimo-v2.6-pro", {"reasoning": OFF}, {"thinking": {"type": "disabled"}}, ()),
    ("together", "m", {"verbosity": "low"}, {"verbosity": ABSENT}, ("verbosity",)),
    ("fireworks", "m", {"service_tier": "priority"}, {"service_tier": "priority"}, ()),
]


def encode(host: str, model: str = "m", turns: tuple[Turn, ...] = (USER,), **wishes: Any) -> EncodedRequest:
    conversation = Conversation(model="x", turns=turns, dialect="anthropic_messages", **wishes)
    return CHAT.encode_request(conversation, upstream_model=model, max_output_tokens=None, quirks=quirks_of(host))


def body_of(encoded: EncodedRequest) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(encoded.body)
    return body


def splice(host: str, model: str = "m", **body: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    raw = json.dumps({"model": "x", **body}).encode()
    encoded = CHAT.splice_request(raw, upstream_model=model, max_output_tokens=None, quirks=quirks_of(host))
    return body_of(encoded), encoded.dropped


@pytest.mark.parametrize(("host", "model", "wishes", "expected", "dropped"), CASES)
def test_a_wish_is_said_in_the_words_of_its_host(
    host: str, model: str, wishes: dict[str, Any], expected: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    encoded = encode(host, model, **wishes)
    body = body_of(encoded)
    for name, value in expected.items():
        assert body.get(name, ABSENT) == value, (name, body)
    assert set(encoded.dropped) == set(dropped)


def test_every_host_of_the_catalogue_file_is_a_provider() -> None:
    slugs = {provider["slug"] for provider in json.loads(CATALOGUE.read_text(encoding="utf-8"))["providers"]}
    assert set(HOSTS) <= slugs
    assert set(HOSTS) <= {case[0] for case in CASES} | {"vertex"}


@pytest.mark.parametrize("host", ["deepseek", "mistral", "alibaba", "zai", "moonshotai", "cerebras"])
def test_the_developer_is_the_system_where_only_that_is_known(host: str) -> None:
    message = {"role": "developer", "content": "Be brief."}
    assert splice(host, messages=[message])[0]["messages"] == [{"role": "system", "content": "Be brief."}]
    assert splice("openai", messages=[message])[0]["messages"] == [message]


def test_mistral_gets_ids_of_nine_letters_for_calls_and_results_alike() -> None:
    messages = body_of(encode("mistral", turns=CALLED, tools=(TOOL,)))["messages"]
    call_id = messages[1]["tool_calls"][0]["id"]
    assert call_id == messages[2]["tool_call_id"] == nine_letters("toolu_01abc")
    assert len(call_id) == 9 and call_id.isalnum()
    assert nine_letters("abcDEF123") == "abcDEF123"
    assert len({nine_letters(f"call_{number}") for number in range(2000)}) == 2000


def test_mistral_thinks_in_the_content() -> None:
    turns = (USER, Turn("assistant", (Reasoning("hm", origin="openai_chat"), Text("a"))), USER)
    assistant = body_of(encode("mistral", turns=turns))["messages"][1]
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    assert assistant == {"role": "assistant", "content": [thinking, {"type": "text", "text": "a"}]}


def test_reasoning_comes_back_while_tools_are_offered_and_else_not() -> None:
    for host in ("deepseek", "moonshotai"):
        with_tools = body_of(encode(host, "kimi-k2.6", CALLED, tools=(TOOL,)))["messages"][1]
        assert with_tools["reasoning_content"] == "why"
        assert "reasoning_details" not in with_tools
        assert "reasoning_content" not in body_of(encode(host, "kimi-k2.6", CALLED))["messages"][1]


def test_thinking_is_off_where_earlier_calls_have_no_reasoning_at_all() -> None:
    turns = (USER, Turn("assistant", (ToolCall("c", "f", "{}"),)), Turn("tool", (ToolResult("c", ()),)))
    body = body_of(encode("deepseek", turns=turns, tools=(TOOL,)))
    assert body["thinking"] == {"type": "disabled"}
    assert "reasoning_content" not in body["messages"][1]
    always = body_of(encode("moonshotai", "kimi-k3", turns, tools=(TOOL,)))
    assert always["messages"][1]["reasoning_content"] == " "


def test_a_blank_stands_in_where_some_reasoning_is_missing() -> None:
    turns = (*CALLED, Turn("assistant", (ToolCall("c", "f", "{}"),)), Turn("tool", (ToolResult("c", ()),)))
    body = body_of(encode("deepseek", turns=turns, tools=(TOOL,)))
    assert [message.get("reasoning_content") for message in body["messages"]] == [None, "why", None, " ", None]
    assert "thinking" not in body


def test_signed_reasoning_goes_to_openrouter_and_to_nobody_else() -> None:
    assistant = body_of(encode("openrouter", turns=CALLED, tools=(TOOL,)))["messages"][1]
    detail = {"type": "reasoning.text", "text": "why", "signature": "sig", "format": "anthropic-claude-v1", "index": 0}
    assert assistant["reasoning_details"] == [detail]
    for host in sorted(set(HOSTS) - {"openrouter"}):
        assert "sig" not in encode(host, turns=CALLED, tools=(TOOL,)).body.decode()


def test_later_system_messages_are_said_by_the_user_where_one_is_taken() -> None:
    system = Turn("system", (Text("a"),))
    body = body_of(encode("minimax", turns=(system, Turn("system", (Text("b"),)), USER, system)))
    assert body["messages"] == [
        {"role": "system", "content": "a\n\nb"},
        {"role": "user", "content": "q"},
        {"role": "user", "content": "<system-reminder>\na\n</system-reminder>"},
    ]


def test_the_user_never_follows_a_tool_at_mistral() -> None:
    system = Turn("system", (Text("a"),))
    expected = ["user", "assistant", "tool", "assistant", "user", "user"]
    messages = body_of(encode("mistral", turns=(*CALLED, USER, system)))["messages"]
    assert [message["role"] for message in messages] == expected
    assert messages[3] == {"role": "assistant", "content": "I have the results."}
    passed, dropped = splice("mistral", messages=[*messages[:3], *messages[4:]])
    assert ([message["role"] for message in passed["messages"]], dropped) == (expected, ())
    other = body_of(encode("openai", turns=(*CALLED, USER)))["messages"]
    assert [message["role"] for message in other] == ["user", "assistant", "tool", "user"]


def test_a_wish_for_what_is_so_anyway_is_not_named() -> None:
    assert encode("deepseek", tools=(TOOL,), parallel_tools=True).dropped == ()
    assert encode("deepseek", tools=(TOOL,), parallel_tools=False).dropped == ("tool_choice.disable_parallel_tool_use",)


def test_perplexity_gets_messages_that_take_turns() -> None:
    messages, _ = splice("perplexity", messages=[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])
    assert messages["messages"] == [{"role": "user", "content": "a\n\nb"}]


def test_a_prefill_is_marked() -> None:
    turns = (USER, Turn("assistant", (Text("Once"),)))
    for host, mark in (("mistral", "prefix"), ("moonshotai", "partial"), ("alibaba", "partial")):
        assert body_of(encode(host, turns=turns))["messages"][-1][mark] is True
    assert set(body_of(encode("openai", turns=turns))["messages"][-1]) == {"role", "content"}


def test_cache_breakpoints_go_only_where_they_are_understood() -> None:
    turns = (Turn("user", (Text("q", cache="5m"),)),)
    for host in ("openrouter", "alibaba"):
        assert b"cache_control" in encode(host, turns=turns).body
    assert b"cache_control" not in encode("groq", turns=turns).body
    marked = (Tool("f", parameters={"type": "object", "$schema": "x"}, cache="5m"),)
    assert b"cache_control" in encode("openrouter", tools=marked).body
    for word in (b"cache_control", b"$schema"):
        assert word not in encode("openai", tools=marked).body


def test_a_schema_is_told_in_words_where_there_is_no_field_for_it() -> None:
    body = body_of(encode("zai", response_format=SCHEMA, turns=(Turn("system", (Text("s"),)), USER)))
    assert body["messages"][0]["content"].startswith("s\n\nAnswer with nothing but JSON")
    assert '{"type":"object"}' in body["messages"][0]["content"]


def test_custom_tools_are_functions_where_only_those_are_known() -> None:
    tool = body_of(encode("groq", tools=(CUSTOM,)))["tools"][0]
    assert (tool["type"], tool["function"]["name"]) == ("function", "g")
    assert tool["function"]["parameters"]["required"] == ["input"]


def test_allowed_tools_narrow_the_list_where_there_is_no_field_for_it() -> None:
    other = Tool("h")
    choice = ToolChoice("auto", allowed=("f",))
    narrowed = body_of(encode("groq", tools=(TOOL, other), tool_choice=choice))
    assert [tool["function"]["name"] for tool in narrowed["tools"]] == ["f"]
    native = body_of(encode("openai", tools=(TOOL, other), tool_choice=choice))
    assert len(native["tools"]) == 2
    assert native["tool_choice"]["allowed_tools"]["mode"] == "auto"


def test_pass_through_changes_only_what_the_host_refuses() -> None:
    body = {"messages": [{"role": "user", "content": "é"}], "x": 1, "verbosity": "low", "store": False}
    for host in ("deepseek", "moonshotai", "zai", "openai", "together"):
        assert splice(host, **body) == ({"model": "m", **body}, ())
    spliced, dropped = splice("mistral", **body, max_completion_tokens=5)
    assert spliced == {"model": "m", "messages": body["messages"], "x": 1, "max_tokens": 5}
    assert dropped == ("verbosity",)


def test_earlier_reasoning_is_renamed_or_left_out_in_pass_through() -> None:
    message = {"role": "assistant", "content": "a", "reasoning_content": "r"}
    assert splice("groq", messages=[message])[0]["messages"] == [
        {"role": "assistant", "content": "a", "reasoning": "r"}
    ]
    assert splice("mistral", messages=[message])[0]["messages"] == [{"role": "assistant", "content": "a"}]
    assert splice("deepseek", messages=[message])[0]["messages"] == [message]


def test_a_foreign_word_for_reasoning_is_translated_in_pass_through() -> None:
    assert splice("groq", "openai/gpt-oss-20b", reasoning={"effort": "high"})[0]["reasoning_effort"] == "high"
    assert splice("cerebras", "gpt-oss-120b", reasoning={"enabled": False})[1] == ("reasoning",)
    assert splice("openrouter", reasoning={"effort": "high"})[0]["reasoning"] == {"effort": "high"}


ODD: list[Any] = [None, 7, "x", [], {}, [7], [{}], {"type": 7}, [{"role": []}], [{"role": "system", "content": 7}]]


@pytest.mark.parametrize("host", sorted(HOSTS))
def test_odd_bodies_never_break_the_fitting(host: str) -> None:
    for odd in ODD:
        for name in ("messages", "tools", "tool_choice", "stream_options", "stop", "reasoning_effort", "thinking"):
            splice(host, "grok-4.6", **{"tools": [{}], "tool_choice": "required", "stream": True, name: odd})
        splice(host, messages=[{"role": "assistant", "tool_calls": odd, "content": odd, "tool_call_id": odd}])
