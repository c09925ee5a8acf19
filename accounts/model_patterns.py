"""What people write to limit an API key to models, checked and cleaned. See `model_limits` for what it means."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

PATTERNS_MAX = 50
PATTERN_MAX = 160  # characters, as long as a model's id may be
_ALLOWED = re.compile(r"[a-z0-9._:/@+*-]+")


class BadPatterns(ValueError):
    """What is wrong with them, in words for the person who wrote them. `code` is for programs."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def clean(patterns: Iterable[str]) -> tuple[str, ...]:
    """The patterns in lower case, each once, in the order given. Raises BadPatterns."""
    cleaned = tuple(dict.fromkeys(one for pattern in patterns if (one := str(pattern).strip().lower())))
    if len(cleaned) > PATTERNS_MAX:
        raise BadPatterns(
            _("At most %(most)s models. A star stands for any text: anthropic/*.") % {"most": PATTERNS_MAX}, "too_many"
        )
    for pattern in cleaned:
        _check(pattern)
    return cleaned


def _check(pattern: str) -> None:
    if len(pattern) > PATTERN_MAX:
        raise BadPatterns(_("“%(start)s…” is longer than the name of any model.") % {"start": pattern[:40]}, "too_long")
    if not _ALLOWED.fullmatch(pattern):
        raise BadPatterns(
            _("“%(pattern)s” is no model: write ids such as openai/gpt-4o, one per line; * stands for any text.")
            % {"pattern": pattern},
            "characters",
        )
    if "/" not in pattern and "*" not in pattern:
        raise BadPatterns(
            _("“%(pattern)s” lacks its maker: write maker/%(pattern)s, or */%(pattern)s for any maker.")
            % {"pattern": pattern},
            "maker",
        )


def validate_patterns(patterns: Any) -> None:
    """For what staff enter: a list just as `clean` leaves it. Raises ValidationError for `allowed_models`."""
    try:
        if isinstance(patterns, list) and list(clean(patterns)) == patterns:
            return
        message = _("Write a list of model ids in lower case.")
    except BadPatterns as bad:
        message = str(bad)
    raise ValidationError({"allowed_models": message})
