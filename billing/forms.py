"""Forms of the money pages for staff."""

from __future__ import annotations

from decimal import Decimal
from uuid import uuid4

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminTextInputWidget

LARGEST_GRANT_USD = Decimal(100_000)  # a slip of the finger, not a policy


class GrantForm(forms.Form):
    """`token` is made with the page and sent back with it: however often it is sent, it grants once."""

    amount_usd = forms.DecimalField(
        label=_("Amount in US dollars"),
        min_value=Decimal("0.01"),
        max_value=LARGEST_GRANT_USD,
        decimal_places=2,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "0.01"}),
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=300,
        help_text=_("The customer reads it in the statement."),
        widget=UnfoldAdminTextInputWidget(),
    )
    token = forms.UUIDField(widget=forms.HiddenInput(), initial=uuid4)
