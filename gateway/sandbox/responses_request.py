"""Reading an OpenAI Responses request as strictly as the vendor does where a translation may go wrong. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.sandbox.question import Json, Question, Refused, Tool, check_temperature, whole_number
from gateway.sandbox.responses_items import (
    check_name,
    invalid,
    missing,
    parts_of,
    read_items,
    results,
    text_of,
    unsupported,
)
from gateway.sandbox.tokens import ATTACHMENT_TOKENS, IMAGE_TOKENS, MESSAGE_TOKENS, Segment, segment
from gateway.sandbox.wire import as_text

_PARAMETERS = frozenset(
    (
        *("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "max_tool_calls"),
        *("reasoning", "include", "store", "stream", "stream_options", "text", "temperature", "top_p"),
        *("top_logprobs", "max_output_tokens", "truncation", "metadata", "client_metadata", "user"),
        *("safety_identifier", "service_tier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),
        *("previous_response_id", "conversation", "background", "prompt", "context_management"),
    )
)
_HOSTED_TOOLS = (
    *("web_search", "web_search_preview", "web_search_2025_08_26", "file_search", "code_interpreter", "mcp"),
    *("image_generation", "computer", "computer_use_preview", "local_shell", "shell", "apply_patch", "tool_search"),
)
_TOOLS = ("function", "custom", "namespace", *_HOSTED_TOOLS)
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_SUMMARIES = ("auto", "concise", "detailed")
_VERBOSITIES = ("low", "medium", "high")
_EXTRA = {"input_image": IMAGE_TOKENS, "input_audio": ATTACHMENT_TOKENS, "input_file": ATTACHMENT_TOKENS}
_LEAST_OUTPUT = 16


def read(body: Json) -> Question:
    """Raises Refused with the vendor's words."""
    _check_parameters(body)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise missing("model")
    items = read_items(body)
    tools = tuple(_tools(_offered(body, items)))
    may_call, forced = _tool_choice(body.get("tool_choice"), tools)
    reasoning = _object(body, "reasoning")
    last_user: Json = next((item for item in reversed(items) if item.get("role") == "user"), {})
    check_temperature(body, 2)
    return Question(
        model=model,
        text=text_of(last_user.get("content")),
        images=sum(1 for part in parts_of(last_user.get("content")) if part["type"] == "input_image"),
        results=tuple(results(items)),
        segments=tuple(_segments(body, items)),
        tools=tools,
        may_call=may_call,
        forced=forced,
        parallel=body.get("parallel_tool_calls") is not False,
        max_tokens=_limit(body),
        schema=_schema(body),
        reasoning=_word(reasoning, "effort", "reasoning", _EFFORTS) != "none",
        thoughts=_word(reasoning, "summary", "reasoning", _SUMMARIES) is not None,
        sealed=body.get("store") is False or "reasoning.encrypted_content" in (body.get("include") or []),
        stream=body.get("stream") is True,
    )


def _check_parameters(body: Json) -> None:
    for name in body:
        if name not in _PARAMETERS:
            raise Refused(400, f"Unknown parameter: '{name[:80]}'.", code="unknown_parameter", param=name[:80])
    for name in _object(body, "stream_options"):
        if name != "include_obfuscation":
            param = f"stream_options.{name[:80]}"
            raise Refused(400, f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)
    if body.get("previous_response_id") is not None:
        message = f"Previous response with id '{str(body['previous_response_id'])[:80]}' not found."
        raise Refused(400, message, code="previous_response_not_found", param="previous_response_id")
    for name in ("conversation", "prompt", "background"):
        if body.get(name):
            raise Refused(400, f"Sandbox: '{name}' is not offered.", code="unsupported_parameter", param=name)


def _object(body: Json, name: str) -> Json:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise invalid(name, "an object")
    return value or {}


def _word(body: Json, name: str, place: str, known: tuple[str, ...]) -> str | None:
    value = body.get(name)
    if value is not None and value not in known:
        raise unsupported(f"{place}.{name}", value, known)
    return value


def _offered(body: Json, items: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The tools of the request and of its `additional_tools` items, each with the place where it stands."""
    places = [("tools", body.get("tools"))]
    places += [(f"input[{at}].tools", item.get("tools")) for at, item in _additional(items)]
    for place, tools in places:
        if tools is not None and not isinstance(tools, list):
            raise invalid(place, "a list")
        yield from ((f"{place}[{at}]", tool) for at, tool in enumerate(tools or []))


def _additional(items: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    return ((at, item) for at, item in enumerate(items) if item["type"] == "additional_tools")


def _tools(offered: Iterator[tuple[str, Any]], namespace: str | None = None) -> Iterator[Tool]:
    """The tools that the client runs and that can be called at once: a deferred one would have to be searched first."""
    for place, tool in offered:
        if not isinstance(tool, dict):
            raise invalid(place, "an object")
        kind = tool.get("type")
        if kind not in _TOOLS:
            raise unsupported(place, kind, _TOOLS)
        if kind in _HOSTED_TOOLS:
            continue
        name = check_name(tool.get("name"), f"{place}.name")
        if kind == "namespace":
            inner = tool.get("tools")
            if not isinstance(inner, list) or namespace is not None:
                raise invalid(f"{place}.tools", "a list of functions and custom tools")
            yield from _tools(((f"{place}.tools[{at}]", one) for at, one in enumerate(inner)), name)
        elif tool.get("defer_loading") is not True:
            yield _tool(tool, name, place, namespace)


def _tool(tool: Json, name: str, place: str, namespace: str | None) -> Tool:
    if tool["type"] == "custom":
        return Tool(name, {}, custom=True, namespace=namespace)
    schema = tool.get("parameters")
    if schema is not None and not isinstance(schema, dict):
        raise invalid(f"{place}.parameters", "an object")
    return Tool(name, schema or {"type": "object", "properties": {}}, namespace=namespace)


def _tool_choice(choice: object, tools: tuple[Tool, ...]) -> tuple[bool, str | None]:
    """May a tool be called, and which one must be."""
    if isinstance(choice, dict):
        return _chosen(choice, tools)
    words = ("none", "auto", "required")
    if choice is not None and choice not in words:
        raise unsupported("tool_choice", choice, words)
    if choice == "required" and not tools:
        raise Refused(
            400, "Tool choice 'required' must be specified with 'tools' parameter.", code=None, param="tool_choice"
        )
    return choice != "none", None


def _chosen(choice: Json, tools: tuple[Tool, ...]) -> tuple[bool, str | None]:
    kind = choice.get("type")
    if kind == "allowed_tools":
        return True, None
    if kind in _HOSTED_TOOLS:
        return False, None
    if kind not in ("function", "custom"):
        raise unsupported("tool_choice.type", kind, ("allowed_tools", "function", "custom", *_HOSTED_TOOLS))
    if choice.get("name") is None:
        raise missing("tool_choice.name")
    if choice["name"] not in [tool.name for tool in tools if tool.custom == (kind == "custom")]:
        raise Refused(
            400, f"Tool choice '{choice['name']}' not found in 'tools' parameter.", code=None, param="tool_choice"
        )
    return True, choice["name"]


def _limit(body: Json) -> int | None:
    limit = whole_number(body, "max_output_tokens")
    if limit is not None and limit < _LEAST_OUTPUT:
        message = (
            f"Invalid 'max_output_tokens': integer below minimum value. Expected a value >= {_LEAST_OUTPUT}, but got "
            f"{limit} instead."
        )
        raise Refused(400, message, code="integer_below_min_value", param="max_output_tokens")
    return limit


def _schema(body: Json) -> Json | None:
    text = _object(body, "text")
    _word(text, "verbosity", "text", _VERBOSITIES)
    wanted = _object(text, "format")
    kind = _word(wanted, "type", "text.format", ("text", "json_object", "json_schema"))
    if kind != "json_schema":
        return {} if kind == "json_object" else None
    check_name(wanted.get("name"), "text.format.name")
    schema = wanted.get("schema")
    if not isinstance(schema, dict):
        raise missing("text.format.schema")
    return schema


def _segments(body: Json, items: list[dict[str, Any]]) -> Iterator[Segment]:
    """The prompt in the order in which it is cached: tools, format, instructions, items."""
    if body.get("tools"):
        yield segment(as_text(body["tools"]))
    if _object(body, "text").get("format"):
        yield segment(as_text(body["text"]["format"]))
    if body.get("instructions"):
        yield segment(str(body["instructions"]), extra_tokens=MESSAGE_TOKENS)
    for item in items:
        yield _item_segment(item)


def _item_segment(item: Json) -> Segment:
    if item["type"] == "reasoning":
        return segment(text_of(item["summary"]), extra_tokens=MESSAGE_TOKENS)
    content = item.get("content") if item["type"] == "message" else item.get("output")
    if content is None:
        return segment(as_text({k: v for k, v in item.items() if k not in ("id", "status")}))
    extra = sum(_EXTRA.get(str(part.get("type")), 0) for part in parts_of(content))
    text = segment(text_of(content), extra_tokens=extra + MESSAGE_TOKENS)
    # Two images count the same; the hash must still tell them apart, and who said what.
    kind = segment(as_text([item["type"], item.get("role"), content if extra else None]))
    return Segment(text.digest + kind.digest, text.tokens)
