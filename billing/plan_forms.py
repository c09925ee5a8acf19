"""Forms about plans: the customer's switch for spending beyond the plan, and those of staff."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from accounts import model_patterns
from accounts.model_patterns import BadPatterns
from accounts.models import Organization
from billing.models.plans import Plan, Subscription
from billing.pricing.money import NANOS_PER_USD, usd_to_nanos

LARGEST_USD = Decimal(10_000_000)
AMOUNTS = {
    "price_usd": "price_nanos",
    "five_hours_usd": "five_hours_nanos",
    "seven_days_usd": "seven_days_nanos",
    "period_usd": "period_nanos",
}


class OverflowForm(forms.Form):
    """`cap_usd` empty: no cap."""

    allowed = forms.BooleanField(label=_("When a window is full, let the wallet pay"), required=False)
    cap_usd = forms.DecimalField(
        label=_("At most per month, in US dollars"),
        required=False,
        min_value=Decimal("0.01"),
        max_value=LARGEST_USD,
        decimal_places=2,
        widget=forms.NumberInput(attrs={"step": "0.01", "inputmode": "decimal"}),
        help_text=_("Months begin in your organization's time zone. Empty: no cap."),
    )

    def __init__(self, data: Any = None, *, subscription: Subscription) -> None:
        cap = subscription.overflow_cap_nanos
        now = {"allowed": subscription.overflow, "cap_usd": None if cap is None else _usd(cap)}
        super().__init__(data, initial=now, auto_id="overflow-%s")

    @property
    def cap_nanos(self) -> int | None:
        cap = self.cleaned_data["cap_usd"]
        return None if cap is None else usd_to_nanos(cap)


def _amount(label: Any) -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        min_value=Decimal(0),
        max_value=LARGEST_USD,
        decimal_places=2,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "0.01"}),
    )


class PlanForm(forms.ModelForm):
    """Amounts in US dollars, models one per line."""

    price_usd = _amount(_("Price per period, US dollars"))
    five_hours_usd = _amount(_("Allowance per 5 hours, US dollars at list price"))
    seven_days_usd = _amount(_("Allowance per 7 days, US dollars at list price"))
    period_usd = _amount(_("Allowance per period, US dollars at list price"))
    models = forms.CharField(
        label=_("Covered models"),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 12, "spellcheck": "false"}),
        help_text=_("One per line, such as openai/gpt-4o or anthropic/*. A single * covers all."),
    )

    class Meta:
        model = Plan
        fields = ("slug", "name", "rank", "period_days", "is_sold")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            for name, column in AMOUNTS.items():
                self.fields[name].initial = _usd(getattr(self.instance, column))
            self.fields["models"].initial = "\n".join(self.instance.covered_models)

    def clean_models(self) -> list[str]:
        try:
            return list(model_patterns.clean(self.cleaned_data["models"].split()))
        except BadPatterns as bad:
            raise forms.ValidationError(str(bad), code=bad.code) from bad

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        amounts = [data.get(name) for name in ("five_hours_usd", "seven_days_usd", "period_usd")]
        if None not in amounts and amounts != sorted(amounts):  # type: ignore[type-var]
            raise forms.ValidationError(_("A longer window cannot allow less than a shorter one."))
        if data.get("period_days") == 0:
            self.add_error("period_days", _("A period has at least a day."))
        return data

    def save(self, commit: bool = True) -> Any:
        for name, column in AMOUNTS.items():
            setattr(self.instance, column, usd_to_nanos(self.cleaned_data[name]))
        self.instance.covered_models = self.cleaned_data["models"]
        return super().save(commit)


class GiveForm(forms.Form):
    """`token` is made with the page and sent back with it: however often it is sent, it gives once."""

    organization = forms.IntegerField(
        label=_("Organization's number"), min_value=1, widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "numeric"})
    )
    plan = forms.ModelChoiceField(label=_("Plan"), queryset=Plan.objects.all(), widget=UnfoldAdminSelectWidget)
    days = forms.IntegerField(
        label=_("Days"), min_value=1, max_value=366, initial=30, widget=UnfoldAdminTextInputWidget()
    )
    reason = forms.CharField(label=_("Reason"), max_length=300, widget=UnfoldAdminTextInputWidget())
    token = forms.UUIDField(widget=forms.HiddenInput(), initial=uuid4)

    def clean_organization(self) -> Organization:
        found = Organization.objects.filter(pk=self.cleaned_data["organization"]).first()
        if found is None:
            raise forms.ValidationError(_("No organization has this number."))
        return found


class EndForm(forms.Form):
    reason = forms.CharField(label=_("Reason"), max_length=300, widget=UnfoldAdminTextInputWidget())
    credits_unused = forms.BooleanField(
        label=_("Credit the unused part to the wallet"),
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text=_("By the published formula: by time or by allowance, whichever is less."),
    )


def _usd(nanos: int) -> Decimal:
    return (Decimal(nanos) / NANOS_PER_USD).quantize(Decimal("0.01"))
