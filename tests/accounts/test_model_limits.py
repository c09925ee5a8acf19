from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from accounts.model_limits import allows
from accounts.model_patterns import PATTERNS_MAX, BadPatterns, clean, validate_patterns


@pytest.mark.parametrize(
    ("patterns", "slug", "is_allowed"),
    [
        ((), "openai/gpt-4o", True),
        (("openai/gpt-4o",), "openai/gpt-4o", True),
        (("openai/gpt-4o",), "openai/gpt-4o-mini", False),
        (("anthropic/*",), "anthropic/claude-opus-4.6", True),
        (("anthropic/*",), "openrouter/anthropic/claude", False),
        (("*/gpt-4o",), "openai/gpt-4o", True),
        (("*gpt*",), "openai/gpt-4o", True),
        (("*",), "openai/gpt-4o", True),
        (("google/*", "openai/*"), "openai/gpt-4o", True),
        (("OpenAI/GPT-4o",), "openai/gpt-4o", True),
        (("openai/gpt-4o",), "OpenAI/GPT-4o", True),
        (("openai/gpt-?o",), "openai/gpt-4o", False),
        (("openai/gpt-[0-9]o",), "openai/gpt-4o", False),
        (("openai/gpt-4.1",), "openai/gpt-4x1", False),
        (("",), "openai/gpt-4o", False),
    ],
)
def test_a_star_stands_for_any_text_and_nothing_else_does(
    patterns: tuple[str, ...], slug: str, is_allowed: bool
) -> None:
    assert allows(patterns, slug) is is_allowed


def test_many_stars_take_no_time() -> None:
    assert not allows(("*a" * 79 + "b",), "a" * 160)


def test_patterns_are_cleaned() -> None:
    assert clean([" OpenAI/gpt-4o ", "", "anthropic/*", "openai/GPT-4o"]) == ("openai/gpt-4o", "anthropic/*")


@pytest.mark.parametrize(
    ("pattern", "code", "says"),
    [
        ("gpt-4o", "maker", "maker/gpt-4o"),
        ("openai/gpt 4o", "characters", "one per line"),
        ("openai/gpt-?", "characters", "* stands for any text"),
        ("模型/*", "characters", "is no model"),
        ("a/" + "x" * 160, "too_long", "longer than"),
    ],
)
def test_what_can_match_no_model_is_refused_in_words(pattern: str, code: str, says: str) -> None:
    with pytest.raises(BadPatterns, match=says.replace("*", r"\*")) as refused:
        clean([pattern])
    assert refused.value.code == code


def test_there_are_only_so_many() -> None:
    clean(f"openai/{number}" for number in range(PATTERNS_MAX))
    with pytest.raises(BadPatterns, match="At most 50"):
        clean(f"openai/{number}" for number in range(PATTERNS_MAX + 1))


@pytest.mark.parametrize("entered", ["openai/*", {"openai/*": 1}, ["OpenAI/*"], ["gpt-4o"], [1], None])
def test_staff_can_enter_nothing_else_than_clean_patterns(entered: object) -> None:
    validate_patterns(["openai/*"])
    with pytest.raises(ValidationError):
        validate_patterns(entered)
