"""A place in a JSON file: reads values of a wanted kind and notes what is wrong, with file and path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Node:
    """Readers return a harmless value after noting a problem, so that one run finds all problems of a file."""

    file: str
    path: str
    value: Any
    problems: list[str] = field(default_factory=list)

    def complain(self, what: str) -> None:
        self.problems.append(f"{self.file}: {self.path}: {what}")

    def complain_all(self, what: list[str]) -> None:
        for each in what:
            self.complain(each)

    def child(self, key: str) -> Node:
        value = self.value.get(key) if isinstance(self.value, dict) else None
        path = f"{self.path}.{key}" if self.path != "$" else key
        return Node(self.file, path, value, self.problems)

    def items(self, key: str, *, required: bool = False) -> Iterator[Node]:
        """The elements of a list; objects only."""
        child = self.child(key)
        if child.value is None and not required:
            return
        if not isinstance(child.value, list):
            child.complain("must be a list" if child.value is not None else "is missing")
            return
        for index, value in enumerate(child.value):
            node = Node(self.file, f"{child.path}[{index}]", value, self.problems)
            if isinstance(value, dict):
                yield node
            else:
                node.complain("must be an object")

    def text(self, key: str, *, default: str | None = None, longest: int = 300) -> str:
        """A string; required unless a default is given, null counts as absent."""
        child = self.child(key)
        if child.value is None and default is not None:
            return default
        if not isinstance(child.value, str) or (default is None and not child.value.strip()):
            child.complain("must be a non-empty string" if default is None else "must be a string")
            return default or ""
        if len(child.value) > longest:
            child.complain(f"is longer than {longest} characters")
        return child.value.strip()

    def choice(self, key: str, choices: tuple[str, ...], *, default: str | None = None) -> str:
        value = self.text(key, default=default)
        if value and value not in choices:
            self.child(key).complain(f"is {value!r}; must be one of {', '.join(choices)}")
        return value

    def whole_number(self, key: str, *, default: int | None = None) -> int | None:
        child = self.child(key)
        if child.value is None:
            return default
        if type(child.value) is not int or not 0 <= child.value < 2**31:
            child.complain(f"is {child.value!r}; must be a whole number, not negative")
            return default
        return child.value

    def flag(self, key: str) -> bool | None:
        child = self.child(key)
        if child.value is not None and not isinstance(child.value, bool):
            child.complain("must be true, false or null")
            return None
        return child.value

    def texts(self, key: str, *, default: tuple[str, ...] = ()) -> list[str]:
        child = self.child(key)
        if child.value is None:
            return list(default)
        if not isinstance(child.value, list) or any(not isinstance(item, str) or not item for item in child.value):
            child.complain("must be a list of non-empty strings")
            return list(default)
        return child.value

    def mapping(self, key: str) -> dict[str, Any]:
        child = self.child(key)
        if child.value is None:
            return {}
        if not isinstance(child.value, dict):
            child.complain("must be an object")
            return {}
        return child.value

    def day(self, key: str) -> date | None:
        child = self.child(key)
        if child.value is None:
            return None
        try:
            return date.fromisoformat(child.value)
        except (TypeError, ValueError):
            child.complain(f"is {child.value!r}; must be a date such as 2026-11-22")
            return None

    def moment(self, key: str) -> datetime | None:
        """A date (midnight UTC) or a time with its zone."""
        child = self.child(key)
        if child.value is None:
            return None
        try:
            at = datetime.fromisoformat(child.value)
        except (TypeError, ValueError):
            child.complain(f"is {child.value!r}; must be a date such as 2026-11-22 or a time with its zone")
            return None
        return at if at.tzinfo else at.replace(tzinfo=UTC)
