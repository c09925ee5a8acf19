"""Price caps on forms: dollars that people type, nano-dollars that are stored."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.pricing.money import NANOS_PER_USD

CAPS = ("prompt", "completion", "request", "image")
LABELS = {
    "prompt": _("Per million tokens in"),
    "completion": _("Per million tokens out"),
    "request": _("Per request"),
    "image": _("Per image"),
}


class DollarField(forms.DecimalField):
    """Dollars with up to nine places; its value is nano-dollars."""

    def __init__(self, label: Any) -> None:
        super().__init__(
            label=label,
            required=False,
            min_value=0,
            max_digits=16,
            decimal_places=9,
            widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"}),
        )

    def clean(self, value: Any) -> int | None:
        dollars = super().clean(value)
        return None if dollars is None else int(dollars * NANOS_PER_USD)

    def prepare_value(self, value: Any) -> Any:
        return dollars_of(value) if isinstance(value, int) else value


def dollars_of(nanos: int) -> str:
    """The shortest way to write it, such as 2.5."""
    text = f"{Decimal(nanos) / NANOS_PER_USD:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def cap_field(name: str) -> DollarField:
    return DollarField(LABELS[name])
