"""The form of a key's or a project's budgets: an amount in US dollars per period, empty for none."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.models.plans import Budget
from billing.pricing.money import NANOS_PER_USD

LARGEST_USD = Decimal(10_000_000)
LABELS = {
    Budget.Period.DAY: _("Per day"),
    Budget.Period.WEEK: _("Per week"),
    Budget.Period.MONTH: _("Per month"),
    Budget.Period.TOTAL: _("In total"),
}


def _amount(label: Any) -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        required=False,
        min_value=Decimal("0.01"),
        max_value=LARGEST_USD,
        decimal_places=2,
        widget=forms.NumberInput(attrs={"step": "0.01", "inputmode": "decimal"}),
    )


class BudgetForm(forms.Form):
    day = _amount(LABELS[Budget.Period.DAY])
    week = _amount(LABELS[Budget.Period.WEEK])
    month = _amount(LABELS[Budget.Period.MONTH])
    total = _amount(LABELS[Budget.Period.TOTAL])

    def __init__(self, data: Any = None, *, limits: Mapping[str, int]) -> None:
        initial = {period: Decimal(nanos).scaleb(-9).quantize(Decimal("0.01")) for period, nanos in limits.items()}
        super().__init__(data, initial=initial, auto_id="budget-%s")

    @property
    def limits(self) -> dict[str, int | None]:
        """Period to nano-USD."""
        amounts = self.cleaned_data
        return {name: None if amounts[name] is None else int(amounts[name] * NANOS_PER_USD) for name in self.fields}
