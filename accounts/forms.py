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
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import model_patterns
from accounts.model_patterns import PATTERN_MAX, PATTERNS_MAX, BadPatterns
from accounts.models import ApiKey, Project, User

LIMIT_MAX = 1_000_000


class SignupForm(AllauthSignupForm):  # type: ignore[misc]
    """One transaction: a user never exists without an organization, a project and an e-mail address."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password1"].help_text = gettext("At least 10 characters. Any characters, spaces too.")

    def try_save(self, request: HttpRequest) -> Any:
        with transaction.atomic():
            return super().try_save(request)


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
    requests_per_minute = forms.IntegerField(
        label=_("Requests per minute"), min_value=1, max_value=LIMIT_MAX, required=False
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

    def clean_expires_on(self) -> Any:
        day = self.cleaned_data["expires_on"]
        if day is not None and day < timezone.localdate() and day != _last_day(self._expired_at):
            raise forms.ValidationError(_("This day is past."), code="past")
        return day


def _values_of(key: ApiKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "models": "\n".join(key.allowed_models),
        "requests_per_minute": key.requests_per_minute,
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
    strict_translation = forms.BooleanField(
        label=_("Strict translation"),
        required=False,
        help_text=_(
            "Refuse requests whose translation to a provider would lose something."
            " Otherwise the loss is named in the header x-router-dropped."
        ),
    )


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
