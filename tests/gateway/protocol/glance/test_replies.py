"""A glance at a whole answer sees what the codec reads."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given

from gateway.protocol.dialects import CODECS, GLANCES
from gateway.protocol.glance import seen_in
from gateway.protocol.problem import ProtocolError
from tests.gateway.protocol.glance.test_requests import _broken
from tests.gateway.protocol.test_corpus import CORPUS, exchanges, replayer

DIALECTS = ("openai_chat", "mistral_chat", "anthropic_messages", "openai_responses", "gemini_generate")
recorded = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside this checkout")


def agrees(dialect: str, body: bytes) -> bool:
    """Whether it was an answer at all; fails where a glance differs from the codec."""
    try:
        expected = seen_in(CODECS[dialect].decode_reply(body))
    except ProtocolError as refused:
        with pytest.raises(ProtocolError) as seen:
            GLANCES[dialect].glance_reply(body)
        assert seen.value.problem == refused.problem
        return False
    assert GLANCES[dialect].glance_reply(body) == expected
    return True


@recorded
@pytest.mark.parametrize("dialect", DIALECTS)
def test_recorded_answers_are_seen_as_the_codec_reads_them(dialect: str) -> None:
    name = "openai_chat" if dialect == "mistral_chat" else dialect
    found = [exchange for exchange in exchanges(dialect) if not exchange["streaming"]]
    good = [agrees(name, replayer().response_bytes(exchange)) for exchange in found]
    assert sum(good) > 10


ANSWERS: dict[str, Any] = {
    "openai_chat": {
        "id": "c", "model": "m", "service_tier": "default",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {
            "role": "assistant", "content": "Hi", "refusal": None, "annotations": [], "reasoning_content": "",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
    },
    "anthropic_messages": {
        "id": "m", "type": "message", "model": "m", "stop_reason": "end_turn", "stop_details": None,
        "content": [{"type": "text", "text": "Hi"}, {"type": "tool_use", "id": "t", "name": "f", "input": {}}],
        "usage": {"input_tokens": 5, "output_tokens": 7, "service_tier": "standard"},
    },
    "openai_responses": {
        "id": "r", "status": "completed", "service_tier": "default", "incomplete_details": None,
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi"}]},
                   {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}],
        "usage": {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12},
    },
    "gemini_generate": {
        "candidates": [{"index": 0, "finishReason": "STOP", "content": {"parts": [{"text": "Hi"}], "role": "model"}}],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 7, "serviceTier": "STANDARD"},
    },
}  # fmt: skip


@pytest.mark.parametrize("dialect", ANSWERS)
def test_a_glance_at_any_answer_agrees_with_the_codec(dialect: str) -> None:
    @given(_broken(ANSWERS[dialect]))
    def check(answer: Any) -> None:
        agrees(dialect, orjson.dumps(answer))

    check()
    assert agrees(dialect, orjson.dumps(ANSWERS[dialect]))
