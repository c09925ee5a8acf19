"""Which pages have their language in the address: English at /…, Chinese at /zh/…; all others follow the reader."""

from __future__ import annotations

import re

CHINESE = "zh-hans"
PREFIX = "/zh"
_PUBLIC = re.compile(r"/(docs(/charges)?|pricing|models(/.+)?)?")


def is_public(path: str) -> bool:
    """Whether the page at this path, without prefix, has an address per language."""
    return _PUBLIC.fullmatch(path) is not None


def without_prefix(path: str) -> str | None:
    """`/docs` for `/zh/docs`; None where the path is not the Chinese address of a page."""
    if path != PREFIX and not path.startswith(PREFIX + "/"):
        return None
    plain = path.removeprefix(PREFIX) or "/"
    return plain if is_public(plain) else None


def addresses(path: str) -> tuple[str, str] | None:
    """The English and the Chinese path of the page at `path` (either of them); None for pages with one address."""
    plain = without_prefix(path) or path
    return (plain, PREFIX + plain) if is_public(plain) else None
