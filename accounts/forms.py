"""What people may type on the pages of accounts."""

from __future__ import annotations

import re
import zoneinfo
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4

from allauth.account.forms import SignupForm as AllauthSignupForm
from django import forms
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.forms import BoundField
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import ip_limits, model_patterns
from accounts.model_patterns import PATTERN_MAX, PATTERNS_MAX, BadPatterns
from accounts.models import ApiKey, Project, User

LIMIT_MAX = 1_000_000
TOKENS_MAX = 2_000_000_000  # what a column can have
CONCURRENT_MAX = 100_000
LIMIT_FIELDS = ("requests_per_minute", "tokens_per_minute", "max_concurrent")
SECOND_FIELDS = (*LIMIT_FIELDS, "addresses", "funding", "expires_on")


class SignupForm(AllauthSignupForm):  # type: ignore[misc]
    """One transaction: a user never exists without an organization, a project and an e-mail address."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password1"].help_text = gettext("At least 10 characters. Any characters, spaces too.")

    def try_save(self, request: HttpRequest) -> Any:
        with transaction.atomic():
            return super().try_save(request)


def limit_field(label: Any, most: int) -> forms.IntegerField:
    return forms.IntegerField(label=label, min_value=1, max_value=most, required=False)


class KeyForm(forms.Form):
    """What may be changed of a key. `key` is the one to be changed; None for a new one."""

    name = forms.CharField(
        label=_("Name"), max_length=120, help_text=_("The tool or place it is for, such as claude-code-mac.")
    )
    models = forms.CharField(
        label=_("Models"),
        required=False,
        max_length=(PATTERN_MAX + 2) * PATTERNS_MAX,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false", "autocapitalize": "off"}),
        help_text=_("One per line, such as openai/gpt-4o or anthropic/*. Empty: all models."),
    )
    requests_per_minute = limit_field(_("Requests per minute"), LIMIT_MAX)
    tokens_per_minute = limit_field(_("Tokens per minute"), TOKENS_MAX)
    max_concurrent = limit_field(_("Concurrent requests"), CONCURRENT_MAX)
    addresses = forms.CharField(
        label=_("Allowed addresses"),
        required=False,
        max_length=50 * ip_limits.NETWORKS_MAX,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false", "autocapitalize": "off"}),
        help_text=_("One per line, such as 203.0.113.7 or 2001:db8::/32. Empty: the key works from everywhere."),
    )
    funding = forms.ChoiceField(
        label=_("Paid by"),
        choices=ApiKey.Funding.choices,
        initial=ApiKey.Funding.PLAN_FIRST,
        required=False,
        help_text=_("Without a plan the wallet pays; a key for the plan only is then refused."),
    )
    expires_on = forms.DateField(
        label=_("Expires after"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text=_("The last day on which it works, in your time zone. Empty: until you revoke it."),
    )

    def __init__(self, data: Any = None, *, key: ApiKey | None = None, initial: dict[str, Any] | None = None) -> None:
        self._expired_at = None if key is None else key.expires_at
        super().__init__(data, initial=initial if key is None else _values_of(key), auto_id="key-%s")
        self.fields["requests_per_minute"].help_text = gettext("Empty: the usual limit of %(limit)s.") % {
            "limit": settings.DEFAULT_REQUESTS_PER_MINUTE
        }
        for name in ("tokens_per_minute", "max_concurrent"):
            self.fields[name].help_text = gettext("Empty: no limit.")

    @property
    def main_fields(self) -> list[BoundField]:
        return [bound for bound in self.visible_fields() if bound.name not in SECOND_FIELDS]

    @property
    def second_fields(self) -> list[BoundField]:
        """Those most keys leave as they are; on the page they are folded up."""
        return [self[name] for name in SECOND_FIELDS if name not in LIMIT_FIELDS]

    @property
    def limit_fields(self) -> list[BoundField]:
        return [self[name] for name in LIMIT_FIELDS]

    @property
    def shows_second(self) -> bool:
        """Whether one of them says something, or is wrong."""
        plain = (None, "", ApiKey.Funding.PLAN_FIRST)
        return any(self[name].errors or self[name].value() not in plain for name in SECOND_FIELDS)

    @property
    def values(self) -> dict[str, Any]:
        """What `keys.create_key` and `keys.change_key` take."""
        return {
            "name": self.cleaned_data["name"],
            "allowed_models": self.cleaned_data["models"],
            "allowed_ips": self.cleaned_data["addresses"],
            "expires_at": self.expires_at,
            "funding": self.cleaned_data["funding"] or ApiKey.Funding.PLAN_FIRST,
            **{name: self.cleaned_data[name] for name in LIMIT_FIELDS},
        }

    @property
    def expires_at(self) -> datetime | None:
        """The end of the chosen day in the user's time zone; the very moment as before where the day is the same."""
        day = self.cleaned_data["expires_on"]
        if day is None or day == _last_day(self._expired_at):
            return None if day is None else self._expired_at
        return timezone.make_aware(datetime.combine(day + timedelta(days=1), time.min))

    def clean_name(self) -> str:
        return str(self.cleaned_data["name"]).strip()

    def clean_models(self) -> tuple[str, ...]:
        try:
            return model_patterns.clean(re.split(r"[\s,;，、；]+", self.cleaned_data["models"]))
        except BadPatterns as bad:
            raise forms.ValidationError(str(bad), code=bad.code) from bad

    def clean_addresses(self) -> list[str]:
        """Raises ValidationError naming the first line that is no address."""
        try:
            found = ip_limits.clean(re.split(r"[\s,;，、；]+", self.cleaned_data["addresses"]))
        except ip_limits.BadAddress as bad:
            raise forms.ValidationError(_address_problem(bad), code="address") from bad
        if len(found) > ip_limits.NETWORKS_MAX:
            message = gettext("At most %(most)s addresses.") % {"most": ip_limits.NETWORKS_MAX}
            raise forms.ValidationError(message, code="too_many")
        return found

    def clean_expires_on(self) -> Any:
        day = self.cleaned_data["expires_on"]
        if day is not None and day < timezone.localdate() and day != _last_day(self._expired_at):
            raise forms.ValidationError(_("This day is past."), code="past")
        return day


def _address_problem(bad: ip_limits.BadAddress) -> str:
    text = bad.text[:60]
    if bad.suggestion:
        words = gettext("“%(text)s” is an address within a network. Write %(network)s for the whole network.")
        return words % {"text": text, "network": bad.suggestion}
    return gettext("“%(text)s” is no address. Write 203.0.113.7, or 203.0.113.0/24 for a network.") % {"text": text}


def _values_of(key: ApiKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "models": "\n".join(key.allowed_models),
        "addresses": "\n".join(key.allowed_ips),
        "funding": key.funding,
        **{name: getattr(key, name) for name in LIMIT_FIELDS},
        "expires_on": _last_day(key.expires_at),
    }


def _last_day(expires_at: datetime | None) -> date | None:
    """The last day of which some part comes before that moment, in the user's time zone."""
    return None if expires_at is None else timezone.localdate(expires_at - timedelta(microseconds=1))


class NewKeyForm(KeyForm):
    """`form_id` makes sending the same form twice harmless."""

    project = forms.ModelChoiceField(label=_("Project"), queryset=Project.objects.none(), empty_label=None)
    form_id = forms.UUIDField(widget=forms.HiddenInput)
    field_order = ("name", "project")

    def __init__(self, data: Any = None, *, projects: QuerySet[Project]) -> None:
        super().__init__(data, initial={"form_id": uuid4(), "project": projects.first()})
        project = self.fields["project"]
        assert isinstance(project, forms.ModelChoiceField)
        project.queryset = projects

    @property
    def asked_id(self) -> UUID:
        return UUID(str(self.cleaned_data["form_id"]))


class ProjectForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=120)


class ProjectSettingsForm(ProjectForm):
    requests_per_minute = limit_field(_("Requests per minute"), LIMIT_MAX)
    tokens_per_minute = limit_field(_("Tokens per minute"), TOKENS_MAX)
    max_concurrent = limit_field(_("Concurrent requests"), CONCURRENT_MAX)
    strict_translation = forms.BooleanField(
        label=_("Strict translation"),
        required=False,
        help_text=_(
            "Refuse requests whose translation to a provider would lose something."
            " Otherwise the loss is named in the header x-router-dropped."
        ),
    )
    field_order = ("name", "strict_translation")

    @property
    def main_fields(self) -> list[BoundField]:
        return [bound for bound in self.visible_fields() if bound.name not in LIMIT_FIELDS]

    @property
    def limit_fields(self) -> list[BoundField]:
        return [self[name] for name in LIMIT_FIELDS]


def time_zone_choices() -> list[tuple[str, str]]:
    names = sorted(name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith("Etc/"))
    return [("", gettext("Of the organization")), ("UTC", "UTC"), *((name, name.replace("_", " ")) for name in names)]


class PreferencesForm(forms.ModelForm):
    language = forms.ChoiceField(
        label=_("Language"), required=False, choices=lambda: [("", gettext("As my browser asks")), *settings.LANGUAGES]
    )
    timezone = forms.ChoiceField(label=_("Time zone"), required=False, choices=time_zone_choices)

    class Meta:
        model = User
        fields = ("language", "timezone")
