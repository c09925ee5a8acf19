"""Money on pages. Amounts come in nano-USD; nothing here computes with them beyond showing them."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal

from django import template
from django.db import DatabaseError
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing.exchange import current_rate
from billing.pricing.money import NANOS_PER_USD

register = template.Library()

_CENT = Decimal("0.01")
_MINUS = "−"  # the sign that is as wide as a plus


@register.filter
def usd(nanos: int | None) -> str:
    """`$12.34`; a dash for None."""
    if nanos is None:
        return "—"
    cents = (Decimal(abs(nanos)) / NANOS_PER_USD).quantize(_CENT, ROUND_HALF_UP)
    return f"{_MINUS if nanos < 0 and cents else ''}${cents:,}"


@register.filter
def usd_up(nanos: int) -> str:
    """`$12.34` rounded up: of what is missing, never a cent too little."""
    return f"${(Decimal(nanos) / NANOS_PER_USD).quantize(_CENT, ROUND_CEILING):,}"


@register.filter
def usd_exact(nanos: int | None) -> str | SafeString:
    """`$0.001234`: every digit that counts, six places at least; those beyond the cent in lighter ink."""
    return _exact(nanos, "")


@register.filter
def usd_signed(nanos: int | None) -> str | SafeString:
    """As `usd_exact` with a plus or minus in front, for amounts that moved."""
    return _exact(nanos, "+")


@register.filter
def cny(nanos: int | None) -> str:
    """`≈ ¥88.12` at today's rate; empty when there is no rate, or none can be read."""
    if nanos is None:
        return ""
    try:
        rate = current_rate("CNY")
    except DatabaseError:
        return ""
    if rate is None:
        return ""
    yuan = (Decimal(abs(nanos)) * rate / NANOS_PER_USD).quantize(_CENT, ROUND_HALF_UP)
    return f"≈ {_MINUS if nanos < 0 and yuan else ''}¥{yuan:,}"


def _exact(nanos: int | None, plus: str) -> str | SafeString:
    if nanos is None:
        return "—"
    whole, fraction = divmod(abs(nanos), NANOS_PER_USD)
    digits = f"{fraction:09d}"
    digits = digits[:6] + digits[6:].rstrip("0")
    sign = _MINUS if nanos < 0 else plus if nanos > 0 else ""
    return format_html(
        '<span class="money">{}${}.{}<span class="fine">{}</span></span>', sign, f"{whole:,}", digits[:2], digits[2:]
    )
