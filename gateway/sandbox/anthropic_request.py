"""Reading an Anthropic Messages request as strictly as the vendor does where a translation may go wrong. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gateway.sandbox.question import Json, Question, Refused, Tool, check_temperature, whole_number
from gateway.sandbox.tokens import ATTACHMENT_TOKENS, IMAGE_TOKENS, MESSAGE_TOKENS, Segment, segment
from gateway.sandbox.wire import as_text

_EXTRA = {"image": IMAGE_TOKENS, "document": ATTACHMENT_TOKENS}


def read(body: Json) -> Question:
    """Raises Refused with the vendor's words."""
    question = read_prompt(body)
    if body.get("max_tokens") is None:
        raise Refused(400, "max_tokens: Field required")
    choice = body.get("tool_choice") or {}
    may_call, forced = _tool_choice(choice, question.tools)
    check_temperature(body, 1)
    return replace(
        question,
        may_call=may_call,
        forced=forced,
        parallel=not choice.get("disable_parallel_tool_use"),
        max_tokens=whole_number(body, "max_tokens"),
        stop=_stop(body),
        schema=_schema(body),
        reasoning=_thinking(body),
        stream=body.get("stream") is True,
    )


def read_prompt(body: Json) -> Question:
    """The part of a request that is enough to count its tokens."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Refused(400, "model: Field required")
    messages = _messages(body)
    last_user: Json = next((m for m in reversed(messages) if m["role"] == "user"), {})
    return Question(
        model=model,
        text=_text_of(_blocks(last_user)),
        images=sum(1 for block in _blocks(last_user) if block.get("type") == "image"),
        results=tuple(_results(messages)),
        segments=tuple(_segments(body, messages)),
        tools=_tools(body),
    )


def signature_of(thinking: str) -> str:
    """The sandbox signs what it thinks, so that it can tell on the next turn whether it came back unchanged."""
    return base64.b64encode(hashlib.sha256(f"router-one-sandbox:{thinking}".encode()).digest() * 2).decode()


def _messages(body: Json) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise Refused(400, "messages: Field required" if messages is None else "messages: Input should be a valid list")
    if not messages:
        raise Refused(400, "messages: at least one message is required")
    called: list[str] = []
    for at, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant", "system"):
            raise Refused(400, f"messages.{at}.role: Input should be 'user' or 'assistant'")
        _check_content(message, at)
        called = _check_calls(message, at, called)
    if called:
        raise _unanswered(len(messages) - 1, called)
    return messages


def _check_content(message: dict[str, Any], at: int) -> None:
    content = message.get("content")
    if not isinstance(content, str | list) or not all(isinstance(b, dict) and "type" in b for b in _blocks(message)):
        raise Refused(400, f"messages.{at}.content: Input should be a valid string or a list of blocks")
    for number, block in enumerate(_blocks(message)):
        if block["type"] == "text" and not block.get("text") and isinstance(content, list):
            raise Refused(400, f"messages.{at}.content.{number}.text: text content blocks must be non-empty")
        if block["type"] == "tool_use" and not isinstance(block.get("input"), dict):
            raise Refused(400, f"messages.{at}.content.{number}.tool_use.input: Input should be a valid dictionary")
        if block["type"] == "thinking" and block.get("signature") != signature_of(str(block.get("thinking"))):
            raise Refused(400, f"messages.{at}.content.{number}: Invalid `signature` in `thinking` block")


def _check_calls(message: dict[str, Any], at: int, called: list[str]) -> list[str]:
    """Each tool_use must have its tool_result in the next message; returns the ids of this message's calls."""
    results = [str(b.get("tool_use_id")) for b in _blocks(message) if b["type"] == "tool_result"]
    for found in results:
        if found not in called:
            raise Refused(
                400,
                f"messages.{at}.content: unexpected `tool_use_id` found in `tool_result` blocks: {found}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous message.",
            )
    missing = [one for one in called if one not in results]
    if missing:
        raise _unanswered(at - 1, missing)
    return [str(b.get("id")) for b in _blocks(message) if b["type"] == "tool_use"]


def _unanswered(at: int, missing: list[str]) -> Refused:
    return Refused(
        400,
        f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
        "message.",
    )


def _blocks(message: Json) -> list[Json]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content if isinstance(content, list) else []


def _text_of(blocks: list[Json]) -> str:
    return "\n".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")


def _results(messages: list[dict[str, Any]]) -> list[str]:
    """The tool results since the assistant last spoke; a message of the system may stand behind them."""
    found: list[str] = []
    for message in messages:
        if message["role"] == "assistant":
            found = []
        found += [_result_text(block) for block in _blocks(message) if block.get("type") == "tool_result"]
    return found


def _result_text(block: Json) -> str:
    return _text_of(_blocks(block))


def _segments(body: Json, messages: list[dict[str, Any]]) -> Iterator[Segment]:
    """The prompt in the order in which it is cached: tools, system, messages; a segment for each block."""
    for tool in body.get("tools") or []:
        yield segment(as_text(_unmarked(tool)), mark=_mark(tool))
    output = body.get("output_config") or {}
    if output.get("format") or body.get("output_format"):
        yield segment(as_text(output.get("format") or body.get("output_format")))
    for block in _blocks({"content": body.get("system")}):
        yield segment(_text_of([block]), mark=_mark(block))
    for message in messages:
        yield segment(message["role"], extra_tokens=MESSAGE_TOKENS - 1)
        yield from (_block_segment(block) for block in _blocks(message))


def _block_segment(block: Json) -> Segment:
    kind = str(block.get("type"))
    if kind == "text":
        return segment(str(block.get("text", "")), mark=_mark(block))
    if kind in _EXTRA:
        whole = segment(as_text(_unmarked(block)))
        return Segment(whole.digest, _EXTRA[kind], _mark(block))
    if kind == "tool_result":
        images = sum(1 for part in _blocks(block) if part.get("type") == "image")
        counted = segment(_result_text(block), extra_tokens=images * IMAGE_TOKENS, mark=_mark(block))
        return replace(counted, digest=segment(as_text(_unmarked(block))).digest)
    if kind == "tool_use":
        return segment(f"{block.get('name')} {as_text(block.get('input'))}", mark=_mark(block))
    return segment(str(block.get("thinking", "")), mark=_mark(block))


def _mark(block: Json) -> str | None:
    control = block.get("cache_control")
    if not isinstance(control, dict):
        return None
    return "1h" if control.get("ttl") == "1h" else "5m"


def _unmarked(block: Json) -> Json:
    return {key: value for key, value in block.items() if key != "cache_control"}


def _tools(body: Json) -> tuple[Tool, ...]:
    """The tools that the client runs; the vendor's own have a type and no schema."""
    tools = body.get("tools") or []
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise Refused(400, "tools: Input should be a valid list")
    for at, tool in enumerate(tools):
        if not tool.get("name"):
            raise Refused(400, f"tools.{at}.name: Field required")
        if tool.get("type") in (None, "custom") and not isinstance(tool.get("input_schema"), dict):
            raise Refused(400, f"tools.{at}.custom.input_schema: Field required")
    return tuple(
        Tool(str(tool["name"]), tool["input_schema"]) for tool in tools if isinstance(tool.get("input_schema"), dict)
    )


def _tool_choice(choice: Json, tools: tuple[Tool, ...]) -> tuple[bool, str | None]:
    kind = choice.get("type", "auto")
    if kind not in ("auto", "any", "tool", "none"):
        raise Refused(400, "tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")
    if kind in ("any", "tool") and not tools:
        raise Refused(400, "tool_choice: may only be specified while providing tools.")
    if kind != "tool":
        return kind != "none", None
    if choice.get("name") not in [tool.name for tool in tools]:
        raise Refused(400, f"Tool '{choice.get('name')}' not found in provided tools")
    return True, str(choice["name"])


def _stop(body: Json) -> tuple[str, ...]:
    words = body.get("stop_sequences") or []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise Refused(400, "stop_sequences: Input should be a valid list")
    return tuple(words)


def _schema(body: Json) -> Json | None:
    wanted = (body.get("output_config") or {}).get("format") or body.get("output_format")
    if wanted is None:
        return None
    if (
        not isinstance(wanted, dict)
        or wanted.get("type") != "json_schema"
        or not isinstance(wanted.get("schema"), dict)
    ):
        raise Refused(400, "output_config.format: Input should be of type 'json_schema' with a schema")
    schema: Json = wanted["schema"]
    return schema


def _thinking(body: Json) -> bool:
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "enabled":
        budget = whole_number(thinking, "budget_tokens", least=1024)
        if budget is None:
            raise Refused(400, "thinking.enabled.budget_tokens: Field required")
        if isinstance(body.get("max_tokens"), int) and budget >= body["max_tokens"]:
            raise Refused(400, "`max_tokens` must be greater than `thinking.budget_tokens`.")
    return thinking.get("type") != "disabled"
