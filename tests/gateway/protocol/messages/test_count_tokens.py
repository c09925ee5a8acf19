"""Counting tokens: the question to a provider, and our own estimate."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.protocol import tokenizer
from gateway.protocol.anthropic_messages.count_tokens import decode_count, encode_token_count, splice_count
from gateway.protocol.conversation import Image, Text, ToolResult, Turn
from gateway.protocol.estimate import count_tokens, prompt_tokens_upper, text_tokens
from gateway.protocol.token_families import OTHERS, family_of
from tests.gateway.protocol.messages.asking import MESSAGES, asked

CORPUS = Path(__file__).resolve().parents[5] / "shared" / "corpus" / "exchanges" / "anthropic_count_tokens"
ENGLISH = "The quick brown fox jumps over the lazy dog. " * 20


def test_the_question_holds_only_what_the_endpoint_takes() -> None:
    body: dict[str, Any] = {
        "model": "m",
        "messages": [{"role": "user", "content": "q"}],
        "system": "s",
        "tools": [],
        "thinking": {"type": "adaptive"},
        "max_tokens": 5,
        "stream": True,
        "temperature": 1,
        "metadata": {"user_id": "u"},
        "provider": {},
    }
    encoded = splice_count(body, "up", {"anthropic-beta": "token-counting-2024-11-01", "cookie": "no"})
    assert encoded.path == "/messages/count_tokens"
    assert json.loads(encoded.body) == {
        "model": "up",
        "messages": body["messages"],
        "system": "s",
        "tools": [],
        "thinking": {"type": "adaptive"},
    }
    assert encoded.headers == {"anthropic-version": "2023-06-01", "anthropic-beta": "token-counting-2024-11-01"}
    assert body["model"] == "m"


@pytest.mark.parametrize(
    ("body", "tokens"),
    [(b'{"input_tokens": 14}', 14), (b'{"input_tokens": -1}', None), (b"{}", None), (b"[]", None), (b"<", None)],
)
def test_an_answer_is_read(body: bytes, tokens: int | None) -> None:
    assert decode_count(body) == tokens


def test_an_answer_is_written() -> None:
    assert encode_token_count(14) == b'{"input_tokens":14}'


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside this checkout")
def test_recorded_counts_are_met() -> None:
    for path in sorted(CORPUS.glob("*.json")):
        exchange = json.loads(path.read_text(encoding="utf-8"))
        body = {"max_tokens": 1, **exchange["request"]["body"]}
        estimate = count_tokens(MESSAGES.decode_request(json.dumps(body).encode()), exchange["model"])
        truth = exchange["response"]["body"]["input_tokens"]
        assert abs(estimate - truth) <= max(4, 0.15 * truth), (path.name, estimate, truth)


@pytest.mark.parametrize(
    ("model", "factor"),
    [
        ("openai/gpt-5.5", 1.0),
        ("o4-mini", 1.0),
        ("anthropic/claude-opus-4.6", 1.2),
        ("claude-3-5-sonnet-20241022", 1.2),
        ("claude-sonnet-4-20250514", 1.2),
        ("claude-opus-4-7", 1.5),
        ("anthropic/claude-sonnet-5", 1.5),
        ("google/gemini-3.6-flash", 1.05),
        ("moonshotai/kimi-k3", 0.95),
        ("z-ai/glm-5.3", 0.97),
        ("qwen3-max", 0.98),
        ("mistral-large", 1.08),
        ("MiniMax-M3", OTHERS.middle),
        ("", OTHERS.middle),
    ],
)
def test_every_family_has_its_factor(model: str, factor: float) -> None:
    assert family_of(model).middle == factor


def test_openai_s_own_text_is_counted_exactly() -> None:
    # 200 tokens of text, 3 of the message, 3 of the request, and the last space.
    assert count_tokens(asked(Turn("user", (Text(ENGLISH),))), "gpt-5.5") == pytest.approx(207, abs=1)


def test_what_is_no_text_has_its_price() -> None:
    result = Turn("tool", (ToolResult("c", (Text("a"), Image(url="https://x"))),))
    assert 1600 <= count_tokens(asked(result), "gpt-5.5") <= 1620


def test_lone_surrogates_are_counted() -> None:
    assert count_tokens(asked(Turn("user", (Text("a\ud800b"),))), "gpt-5.5") >= 1


def test_a_long_text_is_counted_by_samples_and_quickly() -> None:
    text = ENGLISH * 2400  # 2 MB
    tokenizer.load()
    began = time.perf_counter()
    counted = tokenizer.count(text)
    took = time.perf_counter() - began
    assert counted == pytest.approx(20 * 10 * 2400, rel=0.03)
    assert took < 0.25  # some 5 ms; the machine may be busy


def test_without_the_vocabulary_the_size_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "load", lambda: None)
    assert count_tokens(asked(Turn("user", (Text(ENGLISH),))), "gpt-5.5") == text_tokens(ENGLISH) + 6


def test_a_tokenizer_that_fails_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def count(self, text: str) -> int:
            raise ValueError(text)

    monkeypatch.setattr(tokenizer, "load", Broken)
    assert tokenizer.count("a") is None


def test_a_hold_is_larger_for_the_makers_who_count_most() -> None:
    question = asked(Turn("user", (Text(ENGLISH),)))
    plain = prompt_tokens_upper(question)
    assert prompt_tokens_upper(question, "gpt-5.5") == plain
    assert prompt_tokens_upper(question, "claude-sonnet-5") == pytest.approx(plain * 1.75 / 1.5, abs=1)
