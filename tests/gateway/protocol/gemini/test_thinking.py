"""How each generation of models is asked to think."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.protocol.conversation import Conversation, ReasoningControls, Text, Turn
from gateway.protocol.gemini_generate.thinking import gemini_version, wants_signatures
from tests.gateway.protocol.gemini.asking import decode, encode

HIGH = ReasoningControls(effort="high")
OFF = ReasoningControls(enabled=False)
BUDGET = ReasoningControls(enabled=True, budget_tokens=2000)
SHOWN = {"includeThoughts": True}


def thinking(wish: ReasoningControls, model: str, dialect: str = "openai_chat") -> tuple[Any, tuple[str, ...]]:
    conversation = Conversation("m", (Turn("user", (Text("Hi"),)),), reasoning=wish, dialect=dialect)
    body, encoded = encode(conversation, model=model)
    return body.get("generationConfig", {}).get("thinkingConfig"), encoded.dropped


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("gemini-2.5-pro", (2, 5)),
        ("google/gemini-3-flash-preview", (3, 0)),
        ("gemini-3.1-pro", (3, 1)),
        ("gemini-2.0-flash-001", (2, 0)),
        ("gemini-1.5-pro-002", (1, 5)),
        ("gemini-flash-latest", (99, 0)),
    ],
)
def test_the_generation_is_read_from_the_name(model: str, version: tuple[int, int]) -> None:
    assert gemini_version(model) == version


@pytest.mark.parametrize(
    ("model", "wanted"),
    [("gemini-3-pro", True), ("gemini-pro-latest", True), ("gemini-2.5-flash", False), ("gemma-3-27b-it", False)],
)
def test_only_newer_models_want_signatures(model: str, wanted: bool) -> None:
    assert wants_signatures(model) is wanted


@pytest.mark.parametrize(
    ("model", "wish", "expected", "dropped"),
    [
        ("gemini-3-flash", HIGH, {"thinkingLevel": "high", **SHOWN}, False),
        ("gemini-3-flash", ReasoningControls(effort="minimal"), {"thinkingLevel": "minimal", **SHOWN}, False),
        ("gemini-3-flash", ReasoningControls(effort="max"), {"thinkingLevel": "high", **SHOWN}, False),
        ("gemini-3-pro", ReasoningControls(effort="minimal"), {"thinkingLevel": "low", **SHOWN}, False),
        ("gemini-3.1-pro", ReasoningControls(effort="medium"), {"thinkingLevel": "medium", **SHOWN}, False),
        ("gemini-3-flash", ReasoningControls(enabled=True), SHOWN, False),
        ("gemini-3-flash", OFF, {"thinkingLevel": "minimal"}, False),
        ("gemini-3-pro", OFF, {"thinkingLevel": "low"}, True),
        ("gemini-3-flash", ReasoningControls(effort="none"), {"thinkingLevel": "minimal"}, False),
        ("gemini-2.5-flash", HIGH, {"thinkingBudget": 24576, **SHOWN}, False),
        ("gemini-2.5-flash", ReasoningControls(effort="low"), {"thinkingBudget": 1024, **SHOWN}, False),
        ("gemini-2.5-flash", ReasoningControls(enabled=True), {"thinkingBudget": -1, **SHOWN}, False),
        ("gemini-2.5-flash", BUDGET, {"thinkingBudget": 2000, **SHOWN}, False),
        ("gemini-2.5-flash", OFF, {"thinkingBudget": 0}, False),
        ("gemini-2.5-pro", OFF, {"thinkingBudget": 128}, True),
        (
            "gemini-2.5-pro",
            ReasoningControls(enabled=True, budget_tokens=90_000),
            {"thinkingBudget": 32768, **SHOWN},
            False,
        ),
        (
            "gemini-2.5-flash-lite",
            ReasoningControls(enabled=True, budget_tokens=10),
            {"thinkingBudget": 512, **SHOWN},
            False,
        ),
        ("gemini-2.0-flash", HIGH, None, True),
        ("gemini-2.0-flash", OFF, None, False),
        ("gemini-3-flash", ReasoningControls(), None, False),
    ],
)
def test_a_wish_of_another_dialect_is_told(
    model: str, wish: ReasoningControls, expected: dict[str, Any] | None, dropped: bool
) -> None:
    assert thinking(wish, model) == (expected, ("reasoning_effort",) if dropped else ())


def test_a_budget_becomes_the_nearest_level() -> None:
    config, dropped = thinking(BUDGET, "gemini-3-flash")
    assert config["thinkingLevel"] in ("low", "minimal")
    assert dropped == ()


def test_what_was_lost_is_told_in_the_words_of_the_caller() -> None:
    assert thinking(HIGH, "gemini-2.0-flash", "anthropic_messages")[1] == ("thinking",)
    assert thinking(HIGH, "gemini-2.0-flash", "openai_responses")[1] == ("reasoning.effort",)


@pytest.mark.parametrize(
    ("config", "model", "expected"),
    [
        ({"thinkingBudget": 0}, "gemini-2.5-flash", {"thinkingBudget": 0}),
        ({"thinkingBudget": -1}, "gemini-2.5-flash", {"thinkingBudget": -1}),
        (
            {"thinkingBudget": 700, "includeThoughts": False},
            "gemini-2.5-flash",
            {"thinkingBudget": 700, "includeThoughts": False},
        ),
        ({"thinkingLevel": "LOW"}, "gemini-3-flash", {"thinkingLevel": "low"}),
        (
            {"thinkingLevel": "LOW", **SHOWN},
            "gemini-3-flash",
            {"thinkingLevel": "low", **SHOWN},
        ),
    ],
)
def test_a_wish_of_gemini_s_own_is_kept(config: dict[str, Any], model: str, expected: dict[str, Any]) -> None:
    body, encoded = encode(decode(generationConfig={"thinkingConfig": config}), model=model)
    assert body["generationConfig"]["thinkingConfig"] == expected
    assert encoded.dropped == ()
