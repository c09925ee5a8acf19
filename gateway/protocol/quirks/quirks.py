"""What a host does otherwise than the maker of the dialect that it speaks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quirks:
    """The defaults are the dialect's own ways; a host's small file names only its differences."""

    name: str = ""


STANDARD = Quirks()
