"""Field names: camelCase on the wire, snake_case accepted from callers as Google does."""

from __future__ import annotations

import re
from typing import Any

from gateway.protocol.conversation import JsonObject

DIALECT = "gemini_generate"
_SNAKE = re.compile(r"_([a-z])")


def camel(source: JsonObject) -> dict[str, Any]:
    """The object with camelCase names; what lies inside its values stays as it is."""
    return {_SNAKE.sub(lambda match: match.group(1).upper(), name): value for name, value in source.items()}


def snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: "_" + match.group(0).lower(), name)


def string(source: Any, name: str) -> str:
    """A text of a provider's reply; "" for anything else."""
    value = source.get(name) if isinstance(source, dict) else None
    return value if isinstance(value, str) else ""


def inner(source: Any, name: str) -> dict[str, Any]:
    """An object of a provider's reply; an empty one for anything else."""
    value = source.get(name) if isinstance(source, dict) else None
    return value if isinstance(value, dict) else {}


def listed(source: Any, name: str) -> list[dict[str, Any]]:
    """The objects in a list of a provider's reply."""
    value = source.get(name) if isinstance(source, dict) else None
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
