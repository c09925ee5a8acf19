"""Conversations and replies in a shape in which two that mean the same are equal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from gateway.protocol.codec import Codec, EncodedRequest, ReplyContext, Target
from gateway.protocol.conversation import Conversation, Image, Part, Reasoning, Refusal, Text, ToolCall, ToolResult
from gateway.protocol.reply import (
    Choice,
    CitationDelta,
    Done,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Reply,
    SignatureDelta,
    Started,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    UsageReport,
    UsageSeen,
)

CONTEXT = ReplyContext(response_id="gen-1", created=1_700_000_000, model="some/model")
MODEL = "m"


def write(codec: Codec, conversation: Conversation) -> EncodedRequest:
    return codec.encode_request(conversation, upstream_model=MODEL, max_output_tokens=None)


def read(codec: Codec, encoded: EncodedRequest, *, stream: bool) -> Conversation:
    """A request that we wrote, as its provider would read it."""
    return codec.decode_request(encoded.body, Target(MODEL, stream))


def said(conversation: Conversation) -> list[tuple[str, Part]]:
    """All parts with who said them: how they are arranged in turns is the dialect's own matter.

    Calls are numbered, since one dialect has no ids: what matters is which call a result belongs to.
    """
    sides = {"tool": "user", "developer": "system"}
    numbers: dict[str, str] = {}
    found: list[tuple[str, Part]] = []
    for turn in conversation.turns:
        for part in turn.parts:
            if isinstance(part, ToolCall):
                numbers[part.id] = f"call {len(found)}"
                part = replace(part, id=numbers[part.id])
            elif isinstance(part, ToolResult):
                part = replace(part, call_id=numbers.get(part.call_id, ""))
            found.append((sides.get(turn.role, turn.role), _plain(part)))
    return found


def _plain(part: Part) -> Part:
    return replace(part, detail=None) if isinstance(part, Image) and part.detail == "auto" else part


def wishes(conversation: Conversation) -> Conversation:
    """All but what was said, and what a dialect must say always or never."""
    form = conversation.response_format
    if form is not None:
        form = replace(form, name=None, strict=None)
    return replace(conversation, turns=(), include_usage=False, response_format=form, dialect="", extras={}, source={})


def story(reply: Reply, pieces: int) -> Iterator[StreamEvent]:
    """The reply as the events of a stream, each text cut in so many pieces."""
    yield Started("up-1", "up-model")
    for choice in reply.choices:
        order = 0
        for part in choice.parts:
            if isinstance(part, ToolCall):
                yield ToolCallDelta(order, part.id, part.name, choice=choice.index)
                for piece in _cut(part.arguments, pieces):
                    yield ToolCallDelta(order, arguments=piece, choice=choice.index)
                order += 1
            else:
                yield from _deltas(part, choice.index, pieces)
        if choice.finish is not None:
            yield Finished(choice.finish, choice.index, choice.native_finish, choice.stop_sequence)
    if reply.usage is not None:
        yield UsageSeen(reply.usage)
    yield Done()


def _cut(text: str, pieces: int) -> list[str]:
    size = max(1, -(-len(text) // pieces))
    return [text[at : at + size] for at in range(0, len(text), size)]


def _deltas(part: Part, choice: int, pieces: int) -> Iterator[StreamEvent]:
    kinds: dict[Any, Any] = {Text: TextDelta, Reasoning: ReasoningDelta, Refusal: RefusalDelta}
    for piece in _cut(getattr(part, "text", ""), pieces):
        yield kinds[type(part)](piece, choice)
    if isinstance(part, Reasoning) and (part.signature is not None or part.redacted is not None):
        yield SignatureDelta(part.signature, part.redacted, part.origin, choice, part.id)


def written(codec: Any, events: Iterable[StreamEvent], context: ReplyContext = CONTEXT) -> bytes:
    encoder = codec.stream_encoder(context)
    return b"".join(encoder.encode(event) for event in events) + bytes(encoder.end())


def of_reply(reply: Reply) -> dict[str, Any]:
    return {"choices": {choice.index: _of_choice(choice) for choice in reply.choices}, "usage": _usage(reply.usage)}


def of_events(events: Iterable[StreamEvent]) -> dict[str, Any]:
    choices: dict[int, dict[str, Any]] = {}
    usage: UsageReport | None = None
    for event in events:
        if isinstance(event, UsageSeen):
            usage = event.report
        elif isinstance(event, StreamError):
            raise AssertionError(event.failure)
        elif not isinstance(event, Started | Done | CitationDelta):
            _add(choices.setdefault(event.choice, _of_choice(Choice(0, (), None))), event)
    return {"choices": choices, "usage": _usage(usage)}


def _usage(report: UsageReport | None) -> Any:
    return report and (report.usage.as_dict(), report.flags)


def _of_choice(choice: Choice) -> dict[str, Any]:
    parts = choice.parts
    thoughts = [part for part in parts if isinstance(part, Reasoning)]
    return {
        "text": "".join(part.text for part in parts if isinstance(part, Text)),
        "reasoning": "".join(part.text for part in thoughts),
        "signatures": [(part.signature, part.redacted) for part in thoughts if part.signature or part.redacted],
        "refusal": "".join(part.text for part in parts if isinstance(part, Refusal)),
        "calls": [[part.id, part.name, part.arguments] for part in parts if isinstance(part, ToolCall)],
        "finish": choice.finish,
        "stop_sequence": choice.stop_sequence,
    }


def _add(choice: dict[str, Any], event: StreamEvent) -> None:
    if isinstance(event, TextDelta):
        choice["text"] += event.text
    elif isinstance(event, ReasoningDelta):
        choice["reasoning"] += event.text
    elif isinstance(event, SignatureDelta):
        choice["signatures"].append((event.signature, event.redacted))
    elif isinstance(event, RefusalDelta):
        choice["refusal"] += event.text
    elif isinstance(event, Finished):
        choice["finish"], choice["stop_sequence"] = event.reason, event.stop_sequence
    elif isinstance(event, ToolCallDelta):
        if event.index == len(choice["calls"]):
            choice["calls"].append([event.id, event.name, ""])
        choice["calls"][event.index][2] += event.arguments
