"""Admin forms of the catalogue: JSON with clear complaints, credentials that go in and never come out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminPasswordWidget

from billing.usage_records import card_has_billed
from routing.credentials import encrypt
from routing.models import Credential, Deployment, PriceCard, Provider
from routing.rotation import last_four
from routing.validity import (
    DIALECTS,
    TIERS,
    base_url_problems,
    header_problems,
    rate_problems,
    schedule_problems,
    text_map_problems,
    url_problems,
)

if TYPE_CHECKING:  # generic for the type checker alone
    ProviderFormBase = forms.ModelForm
    CredentialFormBase = forms.ModelForm
    DeploymentFormBase = forms.ModelForm
    PriceCardFormBase = forms.ModelForm
    CardFormSetBase = forms.BaseInlineFormSet
else:
    ProviderFormBase = CredentialFormBase = DeploymentFormBase = PriceCardFormBase = forms.ModelForm
    CardFormSetBase = forms.BaseInlineFormSet


def _refuse(problems: list[str]) -> None:
    if problems:
        raise ValidationError(problems)


class ProviderForm(ProviderFormBase):
    class Meta:
        model = Provider
        exclude = ()  # the admin's fieldsets choose

    def clean_base_urls(self) -> Any:
        _refuse(base_url_problems(self.cleaned_data["base_urls"]))
        return self.cleaned_data["base_urls"]

    def clean_url_variables(self) -> Any:
        value = self.cleaned_data["url_variables"] or {}
        _refuse(text_map_problems("url_variables", value))
        return value

    def clean_extra_headers(self) -> Any:
        value = self.cleaned_data["extra_headers"] or {}
        _refuse(header_problems(value))
        return value

    def clean_cache_write_ttl(self) -> Any:
        return self.cleaned_data["cache_write_ttl"] or {}


class CredentialForm(CredentialFormBase):
    secret = forms.CharField(
        label=gettext_lazy("secret"),
        required=False,
        strip=True,
        max_length=8000,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text=gettext_lazy("Stored encrypted and never shown again. Leave empty to keep the stored one."),
    )

    weight = forms.IntegerField(
        label=gettext_lazy("weight"),
        min_value=0,
        max_value=1000,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=gettext_lazy("Its share of the requests. 0: only where the others cannot."),
    )

    class Meta:
        model = Credential
        fields = ("name", "weight", "enabled", "disabled_reason")

    def clean_secret(self) -> str:
        secret = str(self.cleaned_data["secret"] or "")
        if not secret and self.instance.pk is None:
            raise ValidationError(_("Enter the secret."))
        if not secret.isprintable() or " " in secret:
            raise ValidationError(_("A secret has no spaces or line breaks."))
        return secret

    def clean_weight(self) -> int:
        weight = self.cleaned_data["weight"]
        return 1 if weight is None else int(weight)

    def has_changed(self) -> bool:
        # An added row that was left as it is carries only defaults and is no credential.
        return super().has_changed() if self.instance.pk else bool(self.data.get(self.add_prefix("secret")))

    def save(self, commit: bool = True) -> Credential:
        secret = self.cleaned_data.get("secret")
        if secret:
            self.instance.secret_encrypted = encrypt(secret, settings.CREDENTIAL_KEYS)
            self.instance.last_four = last_four(secret)
        saved: Credential = super().save(commit)
        return saved


class DeploymentForm(DeploymentFormBase):
    class Meta:
        model = Deployment
        exclude = ()  # all of them

    def clean_other_dialects(self) -> Any:
        value = self.cleaned_data["other_dialects"] or []
        if not isinstance(value, list) or any(item not in DIALECTS for item in value):
            raise ValidationError(_("Must be a list of protocols: %(known)s.") % {"known": ", ".join(DIALECTS)})
        return value

    def clean_base_url(self) -> str:
        value: str = self.cleaned_data["base_url"]
        if value:
            _refuse(url_problems(value))
        return value

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if "currency" in self.changed_data and self.instance.pk and self._has_billed():
            self.add_error("currency", _("Cards of this deployment have billed in the currency that it had."))
        provider, dialect = cleaned.get("provider"), cleaned.get("dialect")
        if provider and dialect and not cleaned.get("base_url") and dialect not in provider.base_urls:
            self.add_error("dialect", _("The provider has no base URL for this protocol."))
        return cleaned

    def _has_billed(self) -> bool:
        return any(card_has_billed(pk) for pk in self.instance.price_cards.values_list("pk", flat=True))


class PriceCardForm(PriceCardFormBase):
    tier = forms.ChoiceField(label=gettext_lazy("tier"), choices=[(tier, tier) for tier in TIERS], initial="standard")

    class Meta:
        model = PriceCard
        fields = ("deployment", "tier", "min_prompt_tokens", "valid_from", "valid_until", "schedule", "rates")

    def clean_rates(self) -> Any:
        _refuse(rate_problems(self.cleaned_data["rates"]))
        return self.cleaned_data["rates"]

    def clean_schedule(self) -> Any:
        value = self.cleaned_data["schedule"] or None
        _refuse(schedule_problems(value))
        return value

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        start, end = cleaned.get("valid_from"), cleaned.get("valid_until")
        if start and end and start >= end:
            self.add_error("valid_until", _("Must be later than the start."))
        if self.instance.pk and self.changed_data and card_has_billed(self.instance.pk):
            self._refuse_changed_past()
        return cleaned

    def _refuse_changed_past(self) -> None:
        now = timezone.now()
        old, new = self.initial.get("valid_until"), self.cleaned_data.get("valid_until")
        for name in self.changed_data:
            if name != "valid_until":
                text = _("This card has billed, so only its end may change. Close it and add a new card.")
                self.add_error(name, text)
        if "valid_until" not in self.changed_data or "valid_until" in self.errors:
            return
        if old is not None and old <= now:
            self.add_error("valid_until", _("This card has billed and is over. Add a new card."))
        elif new is not None and new < now:
            self.add_error("valid_until", _("This card has billed, so it cannot end in the past."))


class PriceCardFormSet(CardFormSetBase):
    def clean(self) -> None:
        super().clean()
        for form in self.deleted_forms:
            if form.instance.pk and card_has_billed(form.instance.pk):
                raise ValidationError(_("A card that has billed cannot be deleted. Close it instead."))
