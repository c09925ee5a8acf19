"""The staff page of markup rules: add one, end one; the past stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from routing.announce import announce_change
from routing.catalogue_admin import CatalogueAdmin
from routing.markups import OPEN_FIELDS, end, has_begun, has_ended
from routing.models import MarkupRule

if TYPE_CHECKING:  # generic for the type checker alone
    MarkupRuleFormBase = forms.ModelForm[MarkupRule]
else:
    MarkupRuleFormBase = forms.ModelForm

_TARGETS = ("provider", "model", "organization")


class MarkupRuleForm(MarkupRuleFormBase):
    class Meta:
        model = MarkupRule
        fields = ("scope", *_TARGETS, "factor", "valid_from", "valid_until", "note")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["valid_from"].required = False
        self.fields["valid_from"].help_text = _("Leave empty for now.")
        self.fields["valid_until"].help_text = _("Leave empty for a rule without an end. Set it to end the rule.")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        now = timezone.now()
        self._check_target(cleaned)
        if self.instance.pk and has_begun(self.instance, now):
            self._check_begun(cleaned, now)
        else:
            self._check_start(cleaned, now)
        start, until = cleaned.get("valid_from"), cleaned.get("valid_until")
        if start and until and start >= until:
            self.add_error("valid_until", _("Must be later than the start."))
        return cleaned

    def _check_target(self, cleaned: dict[str, Any]) -> None:
        for name in _TARGETS:
            if name == cleaned.get("scope") and not cleaned.get(name) and name not in self.errors:
                self.add_error(name, _("Choose what the rule is for."))
            elif name != cleaned.get("scope") and cleaned.get(name):
                self.add_error(name, _("Leave this empty: the rule is for something else."))

    def _check_start(self, cleaned: dict[str, Any], now: Any) -> None:
        if "valid_from" in self.errors:
            return
        if cleaned.get("valid_from") is None:
            cleaned["valid_from"] = now.replace(microsecond=0)  # forms show whole seconds
        elif cleaned["valid_from"] < now:
            self.add_error("valid_from", _("A rule cannot begin in the past. Leave this empty for now."))

    def _check_begun(self, cleaned: dict[str, Any], now: Any) -> None:
        if not OPEN_FIELDS.issuperset(self.changed_data):
            raise ValidationError(_("This rule has begun, so it can only be ended. End it and add a new one."))
        if "valid_until" not in self.changed_data:
            return
        if has_ended(self.instance, now):
            raise ValidationError(_("This rule is over. Add a new one."))
        until = cleaned.get("valid_until")
        if until is not None and until < now:
            self.add_error("valid_until", _("A rule cannot end in the past."))


@admin.register(MarkupRule)
class MarkupRuleAdmin(CatalogueAdmin):
    form = MarkupRuleForm
    list_display = ("label", "scope", "factor", "state", "valid_from", "valid_until", "note", "created_by")
    list_filter = ("scope",)
    list_select_related = ("provider", "model", "organization", "created_by")
    search_fields = ("provider__slug", "model__slug", "organization__name", "note")
    autocomplete_fields = _TARGETS
    actions = ("end_now",)

    @admin.display(description=gettext_lazy("Rule"))
    def label(self, rule: MarkupRule) -> str:
        return str(rule)

    @admin.display(description=gettext_lazy("State"))
    def state(self, rule: MarkupRule) -> str:
        now = timezone.now()
        if has_ended(rule, now):
            return _("Over")
        return _("In force") if has_begun(rule, now) else _("To come")

    @admin.action(description=gettext_lazy("End now"), permissions=["change"])
    def end_now(self, request: HttpRequest, queryset: QuerySet[MarkupRule]) -> None:
        ended = [rule for rule in queryset if end(rule)]
        for rule in ended:
            self.log_change(request, rule, [{"changed": {"fields": ["valid_until"]}}])
        text = ngettext("%(count)s rule ended.", "%(count)s rules ended.", len(ended)) % {"count": len(ended)}
        messages.info(request, text)
        announce_change()

    def save_model(self, request: HttpRequest, obj: MarkupRule, form: Any, change: bool) -> None:
        if not change:
            obj.created_by = request.user  # type: ignore[assignment]  # the admin lets only users in
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: MarkupRule | None = None) -> bool:
        if obj is not None and has_begun(obj, timezone.now()):
            return False
        return bool(super().has_delete_permission(request, obj))
