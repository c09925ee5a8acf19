"""Reading an OpenAI Chat Completions request as strictly as the vendor does where a translation may go wrong. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.sandbox.question import Json, Question, Refused, Tool, check_temperature, whole_number
from gateway.sandbox.tokens import ATTACHMENT_TOKENS, IMAGE_TOKENS, MESSAGE_TOKENS, Segment, segment
from gateway.sandbox.wire import as_text

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_EXTRA = {"image_url": IMAGE_TOKENS, "input_audio": ATTACHMENT_TOKENS, "file": ATTACHMENT_TOKENS}


def read(body: Json) -> Question:
    """Raises Refused with the vendor's words."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Refused(400, "you must provide a model parameter")
    messages = _messages(body)
    check_temperature(body, 2)
    tools = _tools(body)
    may_call, forced = _tool_choice(body, tools)
    last_user: Json = next((m for m in reversed(messages) if m["role"] == "user"), {})
    stream_options = body.get("stream_options") or {}
    return Question(
        model=model,
        text=_text(last_user),
        images=sum(1 for part in _parts(last_user) if part.get("type") == "image_url"),
        results=tuple(_results(messages)),
        segments=tuple(_segments(body, messages)),
        tools=tools,
        may_call=may_call,
        forced=forced,
        parallel=body.get("parallel_tool_calls") is not False,
        max_tokens=_limit(body),
        stop=_stop(body),
        schema=_schema(body),
        choices=whole_number(body, "n", most=4) or 1,
        reasoning=body.get("reasoning_effort") != "none",
        stream=body.get("stream") is True,
        stream_usage=bool(stream_options.get("include_usage")) if isinstance(stream_options, dict) else False,
    )


def _invalid(param: str, expected: str) -> Refused:
    return Refused(400, f"Invalid '{param}': expected {expected}.", code="invalid_value", param=param)


def _messages(body: Json) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if messages is None:
        raise Refused(
            400, "Missing required parameter: 'messages'.", code="missing_required_parameter", param="messages"
        )
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "Invalid 'messages': expected at least one message.", code="empty_array", param="messages")
    open_calls: list[str] = []
    for at, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise _invalid(f"messages[{at}].role", f"one of {', '.join(_ROLES)}")
        _check_parts(message, at)
        open_calls = _check_calls(message, at, open_calls)
    if open_calls:
        raise _unanswered(open_calls)
    return messages


def _check_parts(message: dict[str, Any], at: int) -> None:
    content = message.get("content")
    if content is None and message["role"] != "assistant":
        raise _invalid(f"messages[{at}].content", "a string or a list of parts, got null instead")
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list) or not all(isinstance(part, dict) and "type" in part for part in content):
        raise _invalid(f"messages[{at}].content", "a string or a list of parts")
    for part in content:
        if part["type"] == "image_url" and not str((part.get("image_url") or {}).get("url", "")).startswith(
            ("http", "data:")
        ):
            raise _invalid(f"messages[{at}].content", "an image with an http or data URL")


def _check_calls(message: dict[str, Any], at: int, open_calls: list[str]) -> list[str]:
    """Each call must be answered by a tool message directly behind it; returns the ids that still wait."""
    if message["role"] == "tool":
        if message.get("tool_call_id") not in open_calls:
            raise Refused(
                400,
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                "'tool_calls'.",
                param=f"messages.[{at}].role",
            )
        return [one for one in open_calls if one != message["tool_call_id"]]
    if open_calls:
        raise _unanswered(open_calls)
    calls = message.get("tool_calls") or []
    if message["role"] != "assistant" or not isinstance(calls, list):
        return []
    for call in calls:
        if not isinstance(call, dict) or not isinstance(_payload(call), str):
            raise _invalid(f"messages[{at}].tool_calls", "calls with an id and a function with arguments as text")
    return [str(call.get("id")) for call in calls]


def _payload(call: Json) -> object:
    if call.get("type") == "custom":
        return (call.get("custom") or {}).get("input")
    return (call.get("function") or {}).get("arguments")


def _unanswered(open_calls: list[str]) -> Refused:
    return Refused(
        400,
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(open_calls)}",
        param="messages",
    )


def _parts(message: Json) -> list[Json]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content if isinstance(content, list) else []


def _text(message: Json) -> str:
    return "\n".join(str(part.get("text", "")) for part in _parts(message) if part.get("type") == "text")


def _results(messages: list[dict[str, Any]]) -> list[str]:
    """The tool results since the assistant last spoke; a message of the user may stand behind them."""
    found: list[str] = []
    for message in messages:
        if message["role"] == "assistant":
            found = []
        if message["role"] in ("tool", "function"):
            found.append(_text(message))
    return found


def _segments(body: Json, messages: list[dict[str, Any]]) -> Iterator[Segment]:
    """The prompt in the order in which it is cached: tools, schema, messages."""
    for key in ("tools", "response_format"):
        if body.get(key):
            yield segment(as_text(body[key]))
    for message in messages:
        extra = sum(_EXTRA.get(str(part.get("type")), 0) for part in _parts(message))
        calls = as_text(message["tool_calls"]) if message.get("tool_calls") else ""
        text = segment(f"{_text(message)}{calls}", extra_tokens=extra + MESSAGE_TOKENS)
        # Two images count the same; the hash must still tell them apart, and who said what.
        kind = segment(as_text([message["role"], message["content"] if extra else None]))
        yield Segment(text.digest + kind.digest, text.tokens)


def _tools(body: Json) -> tuple[Tool, ...]:
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        raise _invalid("tools", "a list")
    found = []
    for at, tool in enumerate(tools):
        custom = isinstance(tool, dict) and tool.get("type") == "custom"
        function = tool.get("custom" if custom else "function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise _invalid(f"tools[{at}]", "a function with a name")
        schema = {} if custom else function.get("parameters") or {"type": "object", "properties": {}}
        found.append(Tool(function["name"], schema, custom=custom))
    return tuple(found)


def _tool_choice(body: Json, tools: tuple[Tool, ...]) -> tuple[bool, str | None]:
    """May a tool be called, and which one must be."""
    choice = body.get("tool_choice")
    if choice is not None and not tools:
        raise Refused(400, "'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
    if isinstance(choice, dict):
        name = (choice.get("function") or choice.get("custom") or {}).get("name")
        if name not in [tool.name for tool in tools]:
            raise _invalid("tool_choice", "the name of one of the tools")
        return True, name
    if choice not in (None, "none", "auto", "required"):
        raise _invalid("tool_choice", "none, auto, required or a function")
    return choice != "none", None


def _limit(body: Json) -> int | None:
    old, new = whole_number(body, "max_tokens"), whole_number(body, "max_completion_tokens")
    if old is not None and new is not None:
        raise _invalid("max_tokens", "only one of 'max_tokens' and 'max_completion_tokens'")
    return new if new is not None else old


def _stop(body: Json) -> tuple[str, ...]:
    stop = body.get("stop")
    words = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(words, list) or len(words) > 4 or not all(isinstance(word, str) for word in words):
        raise _invalid("stop", "a text or a list of up to 4 texts")
    return tuple(words)


def _schema(body: Json) -> Json | None:
    wanted = body.get("response_format")
    if wanted is None or (isinstance(wanted, dict) and wanted.get("type") == "text"):
        return None
    if isinstance(wanted, dict) and wanted.get("type") == "json_object":
        return {}
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        described = wanted.get("json_schema")
        if isinstance(described, dict) and described.get("name") and isinstance(described.get("schema", {}), dict):
            return described.get("schema") or {}
        raise Refused(
            400,
            "Missing required parameter: 'response_format.json_schema.name'.",
            code="missing_required_parameter",
            param="response_format.json_schema.name",
        )
    raise _invalid("response_format", "a type of text, json_object or json_schema")
