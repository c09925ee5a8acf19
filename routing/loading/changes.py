"""What a load would change or has changed, in words for the operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Changes:
    """Lines in the order in which they were found. `gone` is only reported; nothing is removed."""

    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.new or self.changed)

    def lines(self) -> list[str]:
        return [
            *(f"+ {line}" for line in self.new),
            *(f"~ {line}" for line in self.changed),
            *(f"- {line} (gone from the files; kept)" for line in self.gone),
            *(f"! {line}" for line in self.notes),
        ]


def describe(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Short values as `name old → new`, long ones by name alone."""
    parts = []
    for name, value in after.items():
        old, new = repr(before[name]), repr(value)
        parts.append(name if len(old) + len(new) > 80 else f"{name} {old} → {new}")
    return ", ".join(parts)
