"""What a caller would read out of decoded replies and events, in one flat shape for comparing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.protocol.conversation import Part, Reasoning, Refusal, Text, ToolCall
from gateway.protocol.reply import (
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Reply,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    UsageReport,
    UsageSeen,
)


def of_reply(reply: Reply) -> dict[str, Any]:
    choices = [_of_choice(choice.parts, choice.native_finish) for choice in reply.choices]
    return {"choices": choices, "usage": of_usage(reply.usage), "error": False}


def _of_choice(parts: Iterable[Part], finish: str) -> dict[str, Any]:
    parts = list(parts)
    return {
        "text": "".join(part.text for part in parts if isinstance(part, Text)),
        "reasoning": "".join(part.text for part in parts if isinstance(part, Reasoning)),
        "refusal": "".join(part.text for part in parts if isinstance(part, Refusal)),
        "tool_calls": [
            {"id": part.id, "name": part.name, "arguments": part.arguments}
            for part in parts
            if isinstance(part, ToolCall)
        ],
        "finish": finish,
    }


def of_events(events: Iterable[StreamEvent]) -> dict[str, Any]:
    choices: dict[int, dict[str, Any]] = {}
    usage: UsageReport | None = None
    error = False
    for event in events:
        if isinstance(event, UsageSeen):
            usage = event.report
        elif isinstance(event, StreamError):
            error = True
        elif isinstance(event, TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta | Finished):
            _add(choices.setdefault(event.choice, _of_choice((), "")), event)
    return {"choices": [choices[index] for index in sorted(choices)], "usage": of_usage(usage), "error": error}


def _add(choice: dict[str, Any], event: StreamEvent) -> None:
    if isinstance(event, TextDelta):
        choice["text"] += event.text
    elif isinstance(event, ReasoningDelta):
        choice["reasoning"] += event.text
    elif isinstance(event, RefusalDelta):
        choice["refusal"] += event.text
    elif isinstance(event, Finished):
        choice["finish"] = event.native
    elif isinstance(event, ToolCallDelta):
        if event.index == len(choice["tool_calls"]):
            choice["tool_calls"].append({"id": event.id, "name": event.name, "arguments": ""})
        choice["tool_calls"][event.index]["arguments"] += event.arguments


def of_usage(report: UsageReport | None) -> dict[str, int] | None:
    if report is None:
        return None
    usage = report.usage
    long_lived = {"cache_write_1h_tokens": usage.cache_write_long} if usage.cache_write_long else {}
    return {
        **long_lived,
        "input_tokens": usage.prompt_size,
        "cache_read_tokens": usage.cache_read,
        "cache_write_tokens": usage.cache_write + usage.cache_write_long,
        "output_tokens": usage.output_size,
        "reasoning_tokens": usage.reasoning,
    }
