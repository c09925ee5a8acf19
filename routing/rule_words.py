"""A rule as a sentence: what it looks for, and what it then does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from routing.price_caps import CAPS, LABELS, dollars_of

NEEDS = {
    "stream": gettext_lazy("Streaming"),
    "images": gettext_lazy("Images"),
    "audio": gettext_lazy("Audio"),
    "video": gettext_lazy("Video"),
    "files": gettext_lazy("Files"),
    "tools": gettext_lazy("Tools"),
    "structured_output": gettext_lazy("Structured output"),
    "reasoning": gettext_lazy("Reasoning"),
}
DAYS = {
    0: pgettext_lazy("weekday", "Mon"),
    1: pgettext_lazy("weekday", "Tue"),
    2: pgettext_lazy("weekday", "Wed"),
    3: pgettext_lazy("weekday", "Thu"),
    4: pgettext_lazy("weekday", "Fri"),
    5: pgettext_lazy("weekday", "Sat"),
    6: pgettext_lazy("weekday", "Sun"),
}
PRESET_WORDS = {
    "": gettext_lazy("As the project has it"),
    "balanced": gettext_lazy("Balanced"),
    "cheapest": gettext_lazy("Cheapest"),
    "fastest": gettext_lazy("Fastest"),
    "best": gettext_lazy("Best"),
    "custom": gettext_lazy("Custom"),
}
_COMMA = pgettext_lazy("between the items of a list", ", ")


def conditions(match: Mapping[str, Any], key_names: Mapping[int, str]) -> list[str]:
    """Each condition in words; none for a rule that takes every request."""
    return list(_conditions(match, key_names))


def _conditions(match: Mapping[str, Any], key_names: Mapping[int, str]) -> Iterator[str]:
    if names := match.get("models"):
        yield _("model %(names)s") % {"names": _list(names)}
    least, most = match.get("min_prompt_tokens"), match.get("max_prompt_tokens")
    if least is not None and most is not None:
        yield _("prompt of %(least)s to %(most)s tokens") % {"least": f"{least:,}", "most": f"{most:,}"}
    elif least is not None:
        yield _("prompt of at least %(least)s tokens") % {"least": f"{least:,}"}
    elif most is not None:
        yield _("prompt of at most %(most)s tokens") % {"most": f"{most:,}"}
    if needs := match.get("needs"):
        yield _("with %(needs)s") % {"needs": _list([str(NEEDS.get(need, need)) for need in needs])}
    if keys := match.get("key_ids"):
        yield _("key %(names)s") % {"names": _list([key_names.get(key, f"#{key}") for key in keys])}
    for name, pattern in match.get("headers", ()):
        yield f"{name}: {pattern}"
    if when := _when(match):
        yield when


def _when(match: Mapping[str, Any]) -> str:
    days, hours = match.get("weekdays"), match.get("hours")
    parts = [_days(days)] if days else []
    if hours:
        parts.append("–".join(f"{minute // 60 % 24:02}:{minute % 60:02}" for minute in hours))
    return " ".join((*parts, match.get("timezone") or "UTC")) if parts else ""


def _days(days: Sequence[int]) -> str:
    """Three and more in a row as a span."""
    first, last = min(days), max(days)
    if len(days) > 2 and last - first == len(set(days)) - 1:
        return f"{DAYS[first]}–{DAYS[last]}"
    return _list([str(DAYS[day]) for day in days])


def effects(action: Mapping[str, Any]) -> list[str]:
    """Each thing that the rule does, in words."""
    return list(_effects(action))


def _effects(action: Mapping[str, Any]) -> Iterator[str]:
    if names := action.get("models"):
        yield _("use %(names)s") % {"names": _list(names)}
    if names := action.get("fallbacks"):
        yield _("then %(names)s") % {"names": _list(names)}
    if names := action.get("only"):
        yield _("only %(names)s") % {"names": _list(names)}
    if names := action.get("ignore"):
        yield _("never %(names)s") % {"names": _list(names)}
    if names := action.get("order"):
        yield _("%(names)s first") % {"names": _list(names)}
    if weights := action.get("weights"):
        speed, cost, quality = (round(weight * 100) for weight in weights)
        values = {"speed": speed, "cost": cost, "quality": quality}
        yield _("speed %(speed)s, cost %(cost)s, quality %(quality)s") % values
    elif preset := action.get("preset"):
        yield str(PRESET_WORDS.get(preset, preset))
    for name, cap in zip(CAPS, action.get("max_price") or (), strict=False):
        if cap is not None:
            yield _("at most $%(price)s %(unit)s") % {"price": dollars_of(cap), "unit": str(LABELS[name]).lower()}


def _list(names: Sequence[str]) -> str:
    return str(_COMMA).join(names)
