"""How the log's pages write durations, times, tokens and names."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from django import template
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from observability.charts import Block
from observability.why import error_words

register = template.Library()

BUCKET_NAMES: Final = {
    "input": _("Input, not cached"),
    "input_audio": _("Audio input"),
    "cache_read": _("Cache read"),
    "cache_read_audio": _("Audio cache read"),
    "cache_write": _("Cache write"),
    "cache_write_long": _("Cache write, 1 hour"),
    "output": _("Output"),
    "reasoning": _("Reasoning"),
    "output_audio": _("Audio output"),
    "output_image": _("Image output"),
    "web_search": _("Web searches"),
    "request": _("Request"),
}
SOURCE_NAMES: Final = {
    "reported": _("Usage as reported by the provider."),
    "estimated": _("The provider reported no usage, so it is an estimate of what passed through."),
    "none": _("No usage, so nothing is charged."),
}
_PER_CALL: Final = frozenset({"web_search", "request"})


@register.filter
def duration(milliseconds: Decimal | int | None) -> str:
    """441 ms, 1.43 s, 2 min 05 s; a dash for none."""
    if milliseconds is None:
        return "—"
    value = Decimal(milliseconds)
    if value < 10 and value != value.to_integral_value():
        return f"{value.quantize(Decimal('0.1'), ROUND_HALF_UP)} ms"
    if value < 1000:
        return f"{value:.0f} ms"
    if value < 60_000:
        return f"{value / 1000:.2f} s"
    return f"{int(value // 60_000)} min {int(value % 60_000 // 1000):02d} s"


@register.filter
def rects(blocks: Iterable[Block]) -> SafeString:
    """A chart's blocks in one go: there are hundreds, and each node of a template costs."""
    return format_html_join(
        "",
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>',
        ((one.css, f"{one.x:.1f}", f"{one.y:.2f}", f"{one.width:.1f}", f"{one.height:.2f}") for one in blocks),
    )


@register.filter
def moment(when: datetime) -> SafeString:
    """HH:MM:SS today, the date before it otherwise, in the user's zone; the full ISO form as the title."""
    local = timezone.localtime(when)
    today = local.date() == timezone.localdate()
    shown = f"{local:%H:%M:%S}" if today else f"{local:%m-%d %H:%M:%S}"
    if local.year != timezone.localdate().year:
        shown = f"{local:%Y-%m-%d %H:%M:%S}"
    iso = local.isoformat(timespec="milliseconds")
    return format_html('<time datetime="{}" title="{}">{}</time>', iso, iso, shown)


@register.filter
def full_moment(when: datetime) -> SafeString:
    """Date and time to the millisecond with the offset of the user's zone."""
    local = timezone.localtime(when)
    offset = local.strftime("%z")
    iso = local.isoformat(timespec="milliseconds")
    shown = f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03d}"
    name = f"UTC{offset[:3]}:{offset[3:]}" if offset.strip("+-0") else "UTC"
    return format_html('<time datetime="{}" title="{}">{}</time> <span class="faint">{}</span>', iso, iso, shown, name)


@register.filter
def bucket_name(bucket: str) -> str:
    return str(BUCKET_NAMES.get(bucket, bucket))


@register.filter
def per(bucket: str) -> str:
    """What a rate is counted by: a million tokens or a thousand calls."""
    return "1k" if bucket in _PER_CALL else "M"


@register.filter
def plain(number: Decimal) -> str:
    """A decimal without exponent or needless zeros, but with two places at least."""
    text = f"{number.normalize():f}"
    whole, _point, places = text.partition(".")
    return f"{whole}.{places.ljust(2, '0')}"


@register.filter
def exact_usd(nanos: Decimal) -> str:
    """Unrounded nanos as dollars, to twelve places at most, six at least."""
    places = f"{Decimal(nanos) / 1_000_000_000:.12f}".rstrip("0")
    whole, _point, tail = places.partition(".")
    return f"${whole}.{tail.ljust(6, '0')}"


@register.filter
def source_name(source: str) -> str:
    return str(SOURCE_NAMES.get(source, ""))


REASON_NAMES: Final = {
    "only": _("the only provider"),
    "priority": _("first by priority"),
    "cheapest": _("the cheapest"),
    "next": _("next in line"),
    "failover": _("failover"),
    "score": _("the least loss"),
    "wish": _("as the request asked"),
    "affinity": _("where its cache is"),
    "explored": _("tried to learn"),
    "probe": _("tried again"),
    "hedge": _("asked as well, to be faster"),
    "continue": _("went on with the answer"),
}


@register.filter
def reason_name(reason: str) -> str:
    return str(REASON_NAMES.get(reason, reason.replace("_", " ")))


@register.filter
def error_name(error_class: str) -> str:
    return error_words(error_class)


RULES: Final = {
    "answered": _("A complete answer is charged by the usage the provider reported."),
    "left": _("The client left: what was generated until then is charged."),
    "unreported": _("The answer came without usage: charged by an estimate of what passed through."),
    "broken_off": _("The answer broke off: charged by an estimate of what passed through."),
    "continued": _("The answer had broken off and this provider went on: its text is charged, the input again is not."),
    "hedge_lost": _("The slower of two attempts: its prompt is charged, as the project chose to pay for both."),
    "failed_free": _("Failed requests are not charged."),
    "left_before_answer_free": _("The client left before the answer began: not charged."),
    "empty_free": _("An empty answer is not charged."),
}


@register.filter
def rule(policy: str) -> str:
    """The published rule that decided what was charged."""
    return str(RULES.get(policy, policy.replace("_", " ")))
