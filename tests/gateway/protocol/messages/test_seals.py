"""Thinking of other makers, carried by a caller of this dialect."""

from __future__ import annotations

import json

import pytest

from gateway.protocol.conversation import Reasoning, Text, ToolCall
from gateway.protocol.envelope import seal
from gateway.protocol.reply import (
    Choice,
    Finished,
    FinishReason,
    ReasoningDelta,
    Reply,
    SignatureDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
)
from tests.gateway.protocol.messages.asking import CONTEXT, MESSAGES, OWN, decoded, spliced
from tests.gateway.protocol.messages.asking import sent as body_of
from tests.gateway.protocol.messages.streaming import collected

PIECES = [
    Reasoning("hm", signature="sig", origin=OWN),
    Reasoning(redacted="xx", origin=OWN),
    Reasoning("hm", redacted="enc", origin="openai_responses", id="rs_1"),
    Reasoning("hm", signature="c2ln", origin="gemini_generate"),
    Reasoning(signature="c2ln", origin="gemini_generate"),
    Reasoning("hm", origin="openai_chat"),
    Reasoning("hm"),
]


@pytest.mark.parametrize("piece", PIECES)
def test_a_piece_comes_back_as_it_was(piece: Reasoning) -> None:
    reply = Reply((Choice(0, (piece, Text("a")), FinishReason.STOP),))
    content = json.loads(MESSAGES.encode_reply(reply, CONTEXT))["content"]
    (turn,) = decoded(messages=[{"role": "assistant", "content": content}]).turns
    assert turn.parts == (piece, Text("a"))


@pytest.mark.parametrize(
    "events",
    [
        [ReasoningDelta("h"), ReasoningDelta("m"), SignatureDelta("sig", None, "gemini_generate"), TextDelta("a")],
        [ReasoningDelta("hm"), SignatureDelta("sig", None, OWN), TextDelta("a")],
        [SignatureDelta("sig", None, "gemini_generate"), ToolCallDelta(0, "c", "f", "{}")],
        [SignatureDelta(None, "enc", "openai_responses", id="rs_1"), TextDelta("a")],
        [TextDelta("a"), SignatureDelta("sig", None, "gemini_generate")],
    ],
)
def test_a_streamed_piece_comes_back_as_it_was(events: list[StreamEvent]) -> None:
    message = collected([*events, Finished(FinishReason.STOP)])
    (turn,) = decoded(messages=[{"role": "assistant", "content": message["content"]}]).turns
    signatures = [event for event in events if isinstance(event, SignatureDelta)]
    pieces = [part for part in turn.parts if isinstance(part, Reasoning)]
    assert [(piece.signature, piece.redacted, piece.origin, piece.id) for piece in pieces] == [
        (event.signature, event.redacted, event.origin, event.id) for event in signatures
    ]
    assert "".join(piece.text for piece in pieces) == "".join(
        event.text for event in events if isinstance(event, ReasoningDelta)
    )


def test_a_signature_of_a_call_stands_before_it() -> None:
    message = collected([SignatureDelta("sig", None, "gemini_generate"), ToolCallDelta(0, "c", "f", "{}")])
    assert [block["type"] for block in message["content"]] == ["thinking", "tool_use"]


def test_foreign_thinking_never_goes_to_anthropic() -> None:
    foreign = {"type": "thinking", "thinking": "h", "signature": seal(PIECES[2])}
    unsigned = {"type": "thinking", "thinking": "h", "signature": ""}
    own = {"type": "thinking", "thinking": "h", "signature": "EqQB"}
    answer = {"type": "text", "text": "a"}
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [foreign, unsigned, own, answer]},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [foreign]},
    ]
    request = spliced(messages=messages, provider={"only": ["x"]}, x=1)
    body = body_of(request)
    assert body["messages"][1]["content"] == [own, answer]
    assert len(body["messages"]) == 3
    assert "provider" not in body
    assert body["x"] == 1
    assert request.dropped == ()


def test_our_own_seal_of_this_dialect_is_opened() -> None:
    sealed = {"type": "thinking", "thinking": "", "signature": seal(Reasoning(redacted="xx", origin=OWN))}
    body = body_of(spliced(messages=[{"role": "assistant", "content": [sealed]}]))
    assert body["messages"][0]["content"] == [{"type": "redacted_thinking", "data": "xx"}]


def test_thinking_with_a_budget_is_off_while_tools_run_without_it() -> None:
    sealed = {"type": "thinking", "thinking": "h", "signature": seal(PIECES[3])}
    call = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "c", "content": "x"}
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [sealed, call]},
        {"role": "user", "content": [result]},
    ]
    request = spliced(messages=messages, thinking={"type": "enabled", "budget_tokens": 2000})
    assert body_of(request)["thinking"] == {"type": "disabled"}
    assert request.dropped == ("thinking",)
    assert body_of(spliced(messages=messages, thinking={"type": "adaptive"}))["thinking"] == {"type": "adaptive"}


@pytest.mark.parametrize("token", ["r1.", "r1.%%%", "r1.e30", "r1.W10"])
def test_a_broken_seal_is_no_signature(token: str) -> None:
    block = {"type": "thinking", "thinking": "h", "signature": token}
    (turn,) = decoded(messages=[{"role": "assistant", "content": [block]}]).turns
    assert turn.parts == (Reasoning("h"),)


def test_a_body_without_seals_stays_as_it_is() -> None:
    message = {"role": "assistant", "content": [{"type": "thinking", "thinking": "h", "signature": "EqQB", "z": 1}]}
    assert body_of(spliced(messages=[message, 5, {"role": "user", "content": "q"}]))["messages"] == [
        message,
        5,
        {"role": "user", "content": "q"},
    ]


def test_calls_keep_their_order_beside_thinking() -> None:
    reply = Reply((Choice(0, (Text("a"), PIECES[4], ToolCall("c", "f", "{}")), FinishReason.TOOL_CALLS),))
    content = json.loads(MESSAGES.encode_reply(reply, CONTEXT))["content"]
    assert [block["type"] for block in content] == ["text", "thinking", "tool_use"]
