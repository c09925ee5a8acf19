"""One small conversation, or reply, for each thing that can be said in some dialect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from billing.pricing.usage import TokenUsage
from gateway.protocol.conversation import (
    Audio,
    Citation,
    Conversation,
    CustomFormat,
    File,
    ForeignTool,
    Image,
    Part,
    Reasoning,
    ReasoningControls,
    Refusal,
    ResponseFormat,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from gateway.protocol.reply import Choice, FinishReason, Reply, UsageReport

HELLO = Turn("user", (Text("Hello"),))
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
PICTURE = Image(data="AAAA", media_type="image/png")
TOOL = Tool("look_up", "Looks it up.", SCHEMA)
CALL = ToolCall("call_1", "look_up", '{"a":"b"}')
OWN_TOOLS = {
    "openai_chat": {"type": "web_search"},
    "openai_responses": {"type": "web_search"},
    "anthropic_messages": {"type": "web_search_20250305", "name": "web_search"},
    "gemini_generate": {"googleSearch": {}},
}


@dataclass(frozen=True)
class Asked:
    """``make`` gives the conversation in a caller's dialect; ``look`` what of it has to arrive; ``without`` is the
    same request without it."""

    name: str
    make: Callable[[str], Conversation]
    look: Callable[[Conversation], Any]
    without: Callable[[str], Conversation]


@dataclass(frozen=True)
class Answered:
    name: str
    make: Callable[[str], Reply]
    look: Callable[[Reply], Any]


def plain(dialect: str, *turns: Turn, **further: Any) -> Conversation:
    sampling = further.pop("sampling", Sampling())
    sampling = sampling if sampling.max_output_tokens else replace(sampling, max_output_tokens=4000)
    return Conversation(model="m", turns=turns or (HELLO,), sampling=sampling, dialect=dialect, **further)


def parts(conversation: Conversation, *kinds: type) -> list[Part]:
    return [part for turn in conversation.turns for part in turn.parts if isinstance(part, kinds)]


def field(name: str, attribute: str, **further: Any) -> Asked:
    """A field of the conversation."""
    return Asked(name, lambda d: plain(d, **further), lambda found: getattr(found, attribute), lambda d: plain(d))


def sampled(name: str, attribute: str, value: Any) -> Asked:
    asked = Sampling(**{attribute: value})
    return Asked(
        name, lambda d: plain(d, sampling=asked), lambda found: getattr(found.sampling, attribute), lambda d: plain(d)
    )


def said(name: str, part: Part, look: Callable[[Any], Any], without: Part | None = None) -> Asked:
    """A part of what the user says, compared with the request without it, or with a plainer one."""

    def make(*further: Part) -> Callable[[str], Conversation]:
        return lambda dialect: plain(dialect, Turn("user", (Text("Hello"), *further)))

    def found(conversation: Conversation) -> Any:
        return [look(item) for item in parts(conversation, type(part)) if item != Text("Hello")]

    return Asked(name, make(part), found, make() if without is None else make(without))


def tool(name: str, made: Tool, look: Callable[[Tool], Any], without: Tool | None = None) -> Asked:
    def found(conversation: Conversation) -> Any:
        return [look(item) for item in conversation.tools if isinstance(item, Tool)]

    bare = () if without is None else (without,)
    return Asked(name, lambda d: plain(d, tools=(made,)), found, lambda d: plain(d, tools=bare))


def chosen(name: str, choice: ToolChoice) -> Asked:
    tools = (TOOL, Tool("other", "Does more.", SCHEMA))
    return Asked(
        name,
        lambda d: plain(d, tools=tools, tool_choice=choice),
        lambda found: found.tool_choice,
        lambda d: plain(d, tools=tools),
    )


def thinking(name: str, controls: ReasoningControls) -> Asked:
    return Asked(
        name,
        lambda d: plain(d, reasoning=controls),
        lambda found: (found.reasoning.enabled, found.reasoning.effort, found.reasoning.budget_tokens),
        lambda d: plain(d),
    )


def _results(dialect: str, *results: ToolResult) -> Turn:
    return Turn("user" if dialect == "anthropic_messages" else "tool", results)


def called(name: str, *calls: ToolCall, result: ToolResult | None = None, look: Any = None) -> Asked:
    """Calls of the model with their results."""

    def make(dialect: str, final: ToolResult | None) -> Conversation:
        results = [ToolResult(call.id, (Text("found"),)) for call in calls]
        results = [final] if final is not None else results
        made = (Turn("assistant", calls), *(_results(dialect, item) for item in results))
        return plain(dialect, HELLO, *made, tools=(TOOL,))

    look = look or (lambda found: [(part.name, part.arguments) for part in parts(found, ToolCall)])
    if result is None:
        return Asked(name, lambda d: make(d, None), look, lambda d: plain(d, tools=(TOOL,)))
    return Asked(name, lambda d: make(d, result), look, lambda d: make(d, None))


def history(name: str, make: Callable[[str], Part]) -> Asked:
    """Something in an earlier answer of the model."""

    def conversation(dialect: str, *further: Part) -> Conversation:
        return plain(dialect, HELLO, Turn("assistant", (*further, Text("Hi"))), HELLO)

    def look(found: Conversation) -> Any:
        return [part for part in parts(found, Reasoning, Refusal) if part != Reasoning()]

    return Asked(name, lambda d: conversation(d, make(d)), look, conversation)


def _system_places(conversation: Conversation) -> Any:
    roles = [(turn.role in ("system", "developer"), tuple(part.text for part in turn.parts if isinstance(part, Text)))
             for turn in conversation.turns]  # fmt: skip
    return [(order, texts) for order, (is_system, texts) in enumerate(roles) if is_system]


EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")
PDF = {"media_type": "application/pdf", "name": "a.pdf"}
ASKED = [
    Asked("system text", lambda d: plain(d, Turn("system", (Text("Be brief."),)), HELLO), _system_places, plain),
    Asked(
        "system text between turns",
        lambda d: plain(d, HELLO, Turn("assistant", (Text("Hi"),)), HELLO, Turn("system", (Text("Be brief."),))),
        _system_places,
        lambda d: plain(d, HELLO, Turn("assistant", (Text("Hi"),)), HELLO),
    ),
    said("image, base64", PICTURE, lambda part: (part.data, part.media_type)),
    said("image, URL", Image(url="https://x.example/a.png"), lambda part: part.url),
    said("image detail", replace(PICTURE, detail="low"), lambda part: part.detail, PICTURE),
    said("PDF, base64", File(data="AAAA", **PDF), lambda part: (part.data, part.media_type)),
    said("PDF, URL", File(url="https://x.example/a.pdf", media_type="application/pdf"), lambda part: part.url),
    said("document of plain text", File(text="Some text.", name="a.txt"), lambda part: part.text),
    said("file stored at the provider", File(file_id="file-1"), lambda part: part.file_id),
    said("audio", Audio("AAAA", "wav"), lambda part: part),
    said("cache hint", Text("Long.", cache="1h"), lambda part: part.cache, Text("Long.")),
    tool("tool", TOOL, lambda found: (found.name, found.description, found.parameters)),
    tool("tool: strict", replace(TOOL, strict=True), lambda found: found.strict, TOOL),
    tool("custom tool (free text)", Tool("c", "d", custom=CustomFormat()), lambda found: found.custom),
    tool("custom tool with a grammar", Tool("c", "d", custom=CustomFormat("lark", "start: x")), lambda t: t.custom),
    tool("namespaced tool", replace(TOOL, namespace="space"), lambda found: (found.name, found.namespace), TOOL),
    tool("deferred tool", replace(TOOL, deferred=True), lambda found: (found.name, found.deferred)),
    Asked(
        "the provider's own tool (web search)",
        lambda d: plain(d, tools=(ForeignTool(d, "web_search", OWN_TOOLS.get(d, {})),)),
        lambda found: [item.value for item in found.tools if isinstance(item, ForeignTool)],
        plain,
    ),
    chosen("tool choice: auto", ToolChoice("auto")),
    chosen("tool choice: none", ToolChoice("none")),
    chosen("tool choice: required", ToolChoice("required")),
    chosen("tool choice: by name", ToolChoice("named", "look_up")),
    chosen("tool choice: some tools allowed", ToolChoice("required", allowed=("look_up",))),
    Asked(
        "one call at a time",
        lambda d: plain(d, tools=(TOOL,), tool_choice=ToolChoice("auto"), parallel_tools=False),
        lambda found: found.parallel_tools,
        lambda d: plain(d, tools=(TOOL,), tool_choice=ToolChoice("auto")),
    ),
    called("call and result", CALL),
    called("parallel calls and results", CALL, replace(CALL, id="call_2", arguments='{"a":"c"}')),
    called(
        "image in a tool result",
        CALL,
        result=ToolResult(CALL.id, (Text("found"), PICTURE)),
        look=lambda found: [len(part.parts) for part in parts(found, ToolResult)],
    ),
    called(
        "failed tool result",
        CALL,
        result=ToolResult(CALL.id, (Text("found"),), is_error=True),
        look=lambda found: [part.is_error for part in parts(found, ToolResult)],
    ),
    history("reasoning of its own in the history", lambda d: Reasoning("hm", origin=d)),
    history("refusal in the history", lambda d: Refusal("No.")),
    field("answer in JSON", "response_format", response_format=ResponseFormat("json_object")),
    Asked(
        "answer by a JSON schema",
        lambda d: plain(d, response_format=ResponseFormat("json_schema", "answer", SCHEMA)),
        lambda found: found.response_format and (found.response_format.kind, found.response_format.schema),
        plain,
    ),
    *(thinking(f"effort: {word}", ReasoningControls(effort=word)) for word in EFFORTS),
    thinking("thinking budget", ReasoningControls(enabled=True, budget_tokens=2000)),
    thinking("thinking off", ReasoningControls(enabled=False)),
    Asked(
        "output limit",
        lambda d: plain(d, sampling=Sampling(max_output_tokens=777)),
        lambda found: found.sampling.max_output_tokens,
        plain,
    ),
    sampled("temperature up to 1", "temperature", 0.5),
    sampled("temperature above 1", "temperature", 1.5),
    sampled("top p", "top_p", 0.5),
    sampled("top k", "top_k", 5),
    sampled("stop sequences", "stop", ("END",)),
    sampled("five stop sequences", "stop", ("a", "b", "c", "d", "e")),
    sampled("several answers (n)", "n", 2),
    sampled("seed", "seed", 7),
    sampled("frequency penalty", "frequency_penalty", 0.5),
    sampled("presence penalty", "presence_penalty", 0.5),
    field("verbosity", "verbosity", verbosity="low"),
    field("cache key", "cache_key", cache_key="k"),
    field("user", "user", user="u"),
    field("metadata", "metadata", metadata={"k": "v"}),
    field("service tier", "service_tier", service_tier="flex"),
    field("a field that nobody knows", "extras", extras={"unknown_field": 1}),
]  # fmt: skip


def answer(*made: Part, finish: FinishReason = FinishReason.STOP, stop: str | None = None, **usage: int) -> Reply:
    report = UsageReport(TokenUsage(**{"input": 10, "output": 5, **usage}))
    return Reply((Choice(0, made, finish, stop_sequence=stop),), report)


def _of(reply: Reply, *kinds: type) -> list[Part]:
    return [part for part in reply.choices[0].parts if isinstance(part, kinds)]


def finished(reason: FinishReason) -> Answered:
    made = (CALL,) if reason is FinishReason.TOOL_CALLS else (Text("Hi"),)
    return Answered(
        f"finish: {reason.value}", lambda d: answer(*made, finish=reason), lambda reply: reply.choices[0].finish
    )


def counted(name: str, bucket: str) -> Answered:
    return Answered(
        name,
        lambda d: answer(Text("Hi"), **{bucket: 3}),
        lambda reply: reply.usage and getattr(reply.usage.usage, bucket),
    )


def _calls(reply: Reply) -> Any:
    return [(part.name, part.arguments) for part in reply.choices[0].parts if isinstance(part, ToolCall)]


ANSWERED = [
    Answered("text", lambda d: answer(Text("Hi")), lambda reply: _of(reply, Text)),
    Answered(
        "reasoning text",
        lambda d: answer(Reasoning("hm", origin=d), Text("Hi")),
        lambda reply: [part.text for part in reply.choices[0].parts if isinstance(part, Reasoning)],
    ),
    Answered("call", lambda d: answer(CALL, finish=FinishReason.TOOL_CALLS), _calls),
    Answered(
        "parallel calls",
        lambda d: answer(CALL, replace(CALL, id="call_2", arguments="{}"), finish=FinishReason.TOOL_CALLS),
        _calls,
    ),
    Answered(
        "refusal in words",
        lambda d: answer(Refusal("No."), finish=FinishReason.REFUSAL),
        lambda reply: [part.text for part in reply.choices[0].parts if isinstance(part, Refusal)],
    ),
    Answered(
        "citations",
        lambda d: answer(Text("Hi", citations=(Citation("https://x.example", "t", "c", 0, 2),))),
        lambda reply: [item.url for part in _of(reply, Text) for item in getattr(part, "citations", ())],
    ),
    *(finished(reason) for reason in FinishReason),
    Answered(
        "which stop sequence was met",
        lambda d: answer(Text("Hi"), stop="END"),
        lambda reply: reply.choices[0].stop_sequence,
    ),
    Answered(
        "several answers",
        lambda d: Reply(tuple(Choice(n, (Text(f"Hi {n}"),), FinishReason.STOP) for n in range(2)), answer().usage),
        lambda reply: len(reply.choices),
    ),
    counted("tokens: input", "input"),
    counted("tokens: output", "output"),
    counted("tokens: read from the cache", "cache_read"),
    counted("tokens: written to the cache", "cache_write"),
    counted("tokens: written to the cache for an hour", "cache_write_long"),
    counted("tokens: reasoning", "reasoning"),
    counted("tokens: audio heard", "input_audio"),
    counted("tokens: audio spoken", "output_audio"),
    counted("searches of the provider", "web_search"),
    Answered(
        "service tier", lambda d: replace(answer(Text("Hi")), service_tier="flex"), lambda reply: reply.service_tier
    ),
]  # fmt: skip
