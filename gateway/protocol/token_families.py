"""How many tokens the makers' vocabularies make of the same text, against o200k.

Measured on English, Chinese, Python, JSON and chat texts (November 2026): the factor that texts have in the middle,
and one that they hardly exceed. Makers who publish no vocabulary have careful guesses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """``middle`` and ``upper`` multiply o200k tokens; the other figures are tokens of framing."""

    middle: float
    upper: float
    per_request: int = 3
    per_turn: int = 3
    with_tools: int = 0


OTHERS = Family(1.10, 1.50)
_OPENAI = Family(1.00, 1.05)
_CLAUDE = Family(1.20, 1.50, per_request=7, per_turn=0, with_tools=550)
_CLAUDE_SINCE_4_7 = Family(1.50, 1.75, per_request=7, per_turn=0, with_tools=550)

_FAMILIES: tuple[tuple[re.Pattern[str], Family], ...] = tuple(
    (re.compile(pattern), family)
    for pattern, family in (
        (r"gpt-|chatgpt|codex|\bo[134]\b|computer-use|text-embedding", _OPENAI),
        (r"gemini|gemma", Family(1.05, 1.35)),
        (r"deepseek", Family(1.00, 1.15)),
        (r"qwen|qwq", Family(0.98, 1.15)),
        (r"\bglm", Family(0.97, 1.10)),
        (r"kimi|moonshot", Family(0.95, 1.10)),
        (r"llama", Family(1.00, 1.15)),
        (r"mistral|mixtral|ministral|magistral|codestral|devstral|pixtral", Family(1.08, 1.30)),
    )
)
_CLAUDE_VERSION = re.compile(r"(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2})(?!\d))?")


def family_of(model: str) -> Family:
    """By a public or an upstream model id; the careful guess for an unknown one."""
    name = model.lower()
    _, claude, rest = name.partition("claude-")
    if claude:
        return _claude(rest)
    return next((family for pattern, family in _FAMILIES if pattern.search(name)), OTHERS)


def _claude(rest: str) -> Family:
    """The vocabulary changed with Opus 4.7 and the fifth generation."""
    found = _CLAUDE_VERSION.match(rest)
    if found is None:
        return _CLAUDE_SINCE_4_7
    version = (int(found.group(1)), int(found.group(2) or 0))
    return _CLAUDE_SINCE_4_7 if version >= (4, 7) else _CLAUDE
