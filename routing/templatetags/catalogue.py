"""How the marketplace writes prices and conditions."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from django import template
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

register = template.Library()

_LABELS = {
    "tools": gettext_lazy("Tools"),
    "vision": gettext_lazy("Vision"),
    "reasoning": gettext_lazy("Reasoning"),
    "structured_output": gettext_lazy("Structured output"),
    "prompt_caching": gettext_lazy("Prompt cache"),
    "audio_input": gettext_lazy("Audio"),
    "web_search": gettext_lazy("Web search"),
    "text": gettext_lazy("Text"),
    "image": gettext_lazy("Image"),
    "audio": gettext_lazy("Audio"),
    "video": gettext_lazy("Video"),
    "pdf": gettext_lazy("PDF"),
    "embedding": gettext_lazy("Embedding"),
    "quality": gettext_lazy("Quality first"),
    "price": gettext_lazy("Cheapest first"),
    "context": gettext_lazy("Longest context first"),
    "name": gettext_lazy("By name"),
    "standard": pgettext_lazy("service tier", "Standard"),
    "batch": pgettext_lazy("service tier", "Batch"),
    "flex": pgettext_lazy("service tier", "Flex"),
    "priority": pgettext_lazy("service tier", "Priority"),
    "fast": pgettext_lazy("service tier", "Fast"),
}
_SMALLEST = Decimal("0.000001")


@register.filter
def label(name: str) -> str:
    """The word for a capability, modality, order or tier."""
    return str(_LABELS.get(name, name))


@register.filter
def per_million(value: object, sign: str = "$") -> str:
    """A price per million tokens: at least two places, at most six, no useless zeros; a dash where there is none."""
    if not isinstance(value, Decimal):  # a template's lookup on a missing price gives an empty text
        return "–"
    rounded = value.quantize(_SMALLEST)
    whole, _dot, places = f"{rounded:f}".partition(".")
    return f"{sign}{int(whole):,}.{places.rstrip('0').ljust(2, '0')}"


@register.filter
def tokens(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


@register.filter
def hours(schedule: Mapping[str, object]) -> str:
    """The hours of a schedule with its zone, such as 01:00–04:00, 06:00–10:00 UTC."""
    windows = schedule.get("windows")
    spans = ", ".join(f"{start}–{end}" for start, end in windows) if isinstance(windows, list) else ""
    text = f"{spans} {schedule.get('timezone') or 'UTC'}"
    if schedule.get("weekdays") == [1, 2, 3, 4, 5]:
        text = _("%(hours)s, Monday to Friday") % {"hours": text}
    return _("%(hours)s, not on public holidays") % {"hours": text} if schedule.get("except_holidays") else text
