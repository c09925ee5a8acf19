"""Makes table rows equal to what files say, and notes the differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from django.db import models

from routing.loading.changes import Changes, describe

Row = TypeVar("Row", bound=models.Model)


def update(row: models.Model, wanted: Mapping[str, Any], label: str, changes: Changes) -> bool:
    """Saves the columns that differ. True when any did."""
    before = {name: getattr(row, name) for name in wanted}
    after = {name: value for name, value in wanted.items() if before[name] != value}
    if not after:
        return False
    for name, value in after.items():
        setattr(row, name, value)
    row.save()
    changes.changed.append(f"{label}: {describe(before, after)}")
    return True
