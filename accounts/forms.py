"""What people may type on the pages of accounts."""

from __future__ import annotations

import zoneinfo
from datetime import datetime, time, timedelta
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

from accounts.models import Project, User

LIMIT_MAX = 1_000_000


class SignupForm(AllauthSignupForm):  # type: ignore[misc]
    """One transaction: a user never exists without an organization, a project and an e-mail address."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password1"].help_text = gettext("At least 10 characters. Any characters, spaces too.")

    def try_save(self, request: HttpRequest) -> Any:
        with transaction.atomic():
            return super().try_save(request)


class NewKeyForm(forms.Form):
    """`form_id` makes sending the same form twice harmless."""

    name = forms.CharField(
        label=_("Name"), max_length=120, help_text=_("The tool or place it is for, such as claude-code-mac.")
    )
    project = forms.ModelChoiceField(label=_("Project"), queryset=Project.objects.none(), empty_label=None)
    requests_per_minute = forms.IntegerField(
        label=_("Requests per minute"), min_value=1, max_value=LIMIT_MAX, required=False
    )
    expires_on = forms.DateField(
        label=_("Expires after"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text=_("The last day on which it works, in your time zone. Empty: until you revoke it."),
    )
    form_id = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, projects: QuerySet[Project]) -> None:
        super().__init__(data, initial={"form_id": uuid4(), "project": projects.first()}, auto_id="key-%s")
        project = self.fields["project"]
        assert isinstance(project, forms.ModelChoiceField)
        project.queryset = projects
        self.fields["requests_per_minute"].help_text = gettext("Empty: the usual limit of %(limit)s.") % {
            "limit": settings.DEFAULT_REQUESTS_PER_MINUTE
        }

    @property
    def asked_id(self) -> UUID:
        return UUID(str(self.cleaned_data["form_id"]))

    @property
    def expires_at(self) -> datetime | None:
        """The end of the chosen day in the user's time zone."""
        day = self.cleaned_data["expires_on"]
        if day is None:
            return None
        return timezone.make_aware(datetime.combine(day + timedelta(days=1), time.min))

    def clean_name(self) -> str:
        return str(self.cleaned_data["name"]).strip()

    def clean_expires_on(self) -> Any:
        day = self.cleaned_data["expires_on"]
        if day is not None and day < timezone.localdate():
            raise forms.ValidationError(_("This day is past."), code="past")
        return day


class ProjectForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=120)


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
