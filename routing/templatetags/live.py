"""How pages write times, rates and shares of live health."""

from __future__ import annotations

from django import template
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

register = template.Library()

REFUSALS = {
    "provider_disabled": gettext_lazy("the provider is switched off"),
    "deployment_disabled": gettext_lazy("switched off"),
    "draining": gettext_lazy("taken out of use for now"),
    "retired": gettext_lazy("retired by the provider"),
    "no_address": gettext_lazy("no address is set"),
    "no_credential": gettext_lazy("no credential is set"),
    "no_price": gettext_lazy("no price is in force"),
    "no_exchange_rate": gettext_lazy("no exchange rate is known"),
    "endpoint": gettext_lazy("speaks no protocol for this endpoint"),
    "context_length": gettext_lazy("takes fewer tokens than this prompt has"),
    "output_limit": gettext_lazy("writes fewer tokens than were asked for"),
    "images": gettext_lazy("takes no images"),
    "audio": gettext_lazy("takes no audio"),
    "video": gettext_lazy("takes no video"),
    "files": gettext_lazy("takes no files"),
    "tools": gettext_lazy("has no tools"),
    "structured_output": gettext_lazy("has no structured output"),
    "reasoning": gettext_lazy("does not reason"),
    "parameters": gettext_lazy("lacks a parameter that the request needs"),
    "data_policy_training": gettext_lazy("may train on what it is sent"),
    "data_policy_retention": gettext_lazy("may keep what it is sent"),
    "region": gettext_lazy("outside the allowed regions"),
    "provider_not_allowed": gettext_lazy("not among the allowed providers"),
    "provider_ignored": gettext_lazy("among the providers never to use"),
    "model_not_allowed": gettext_lazy("the model is not allowed"),
    "price_cap": gettext_lazy("above the price cap"),
    "breaker_open": gettext_lazy("failing; tried again shortly"),
    "credential_cooling": gettext_lazy("our credentials there are limited for a moment"),
}


@register.filter
def seconds(value: float | None) -> str:
    """`455 ms` below a second, else `1.31 s`."""
    if value is None:
        return "–"
    return f"{value * 1000:.0f} ms" if value < 0.9995 else f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s"


@register.filter
def share(value: float | None) -> str:
    """A share of 0 to 1 as a percentage, with as many places as it needs."""
    if value is None:
        return "–"
    percent = value * 100
    return f"{percent:.0f}%" if percent >= 10 or percent == 0 else f"{percent:.1f}%" if percent >= 0.05 else "<0.1%"


@register.filter
def per_second(value: float | None) -> str:
    return "–" if value is None else _("%(rate)s tokens/s") % {"rate": f"{value:,.0f}"}


@register.filter
def why_left_out(reason: str) -> str:
    """A reason for which a deployment is left out, in words."""
    return str(REFUSALS.get(reason, reason))
