"""Which models an API key may use. Pure: the gateway asks here for every request.

A pattern is a model's public id, such as `openai/gpt-4o`, in which `*` stands for any text, such as `anthropic/*`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

_LITERALLY = str.maketrans({"?": "[?]", "[": "[[]"})  # what fnmatch would take for a wildcard of its own


def allows(patterns: Sequence[str], slug: str) -> bool:
    """Whether a key with these patterns may use the model; none allows all. Upper and lower case are the same."""
    lowered = slug.lower()
    return not patterns or any(fnmatchcase(lowered, pattern.lower().translate(_LITERALLY)) for pattern in patterns)
