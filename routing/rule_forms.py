"""A rule as people write it. What is left empty does not count, in the match as in the action."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Collection, Iterable, Mapping
from datetime import time
from typing import Any

from django import forms
from django.forms import BoundField
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey
from routing.models import RoutingRule
from routing.name_lists import clean_models, clean_providers, clean_requested
from routing.price_caps import CAPS, cap_field
from routing.project_forms import names_area, weight_field
from routing.rule_words import DAYS, NEEDS, PRESET_WORDS

HEADERS_MAX = 10
TOKENS_MAX = 100_000_000
_HEADER_LINE = re.compile(r"\s*([A-Za-z0-9._-]{1,80})\s*[:：=]\s*(\S.{0,199}?)\s*")
MATCH_FIELDS = ("requested", "min_prompt_tokens", "max_prompt_tokens", "needs", "keys", "headers")
TIME_FIELDS = ("hours_from", "hours_until", "weekdays", "timezone")
LIST_FIELDS = ("models", "fallbacks", "only", "ignore", "order")
RULE_WEIGHTS = ("latency", "cost", "quality")


def _tokens(label: Any) -> forms.IntegerField:
    return forms.IntegerField(label=label, min_value=0, max_value=TOKENS_MAX, required=False)


def _clock(label: Any) -> forms.TimeField:
    return forms.TimeField(
        label=label, required=False, widget=forms.TimeInput(attrs={"type": "time", "step": 60}, format="%H:%M")
    )


class RuleForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("For you and the log, such as long-prompts."))
    enabled = forms.BooleanField(label=_("In use"), required=False, initial=True)
    # --- When ---
    requested = names_area(_("The requested model is"), _("One per line, * for any text, such as gpt-4o* or auto."))
    min_prompt_tokens = _tokens(_("Prompt of at least (tokens)"))
    max_prompt_tokens = _tokens(_("Prompt of at most (tokens)"))
    needs = forms.MultipleChoiceField(
        label=_("The request has"), choices=list(NEEDS.items()), required=False, widget=forms.CheckboxSelectMultiple
    )
    keys = forms.MultipleChoiceField(label=_("The key is one of"), required=False, widget=forms.CheckboxSelectMultiple)
    headers = names_area(
        _("Headers or metadata"), _("One per line, such as x-router-task: summar* or the name of a metadata field.")
    )
    hours_from = _clock(_("From"))
    hours_until = _clock(_("Until"))
    weekdays = forms.TypedMultipleChoiceField(
        label=_("On these days"),
        choices=list(DAYS.items()),
        coerce=int,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    timezone = forms.ChoiceField(label=_("Time zone"), required=False)
    # --- Then ---
    models = names_area(_("Use these models instead"), _("One per line; the first is tried first. May be auto."))
    fallbacks = names_area(_("Then these"), _("Tried in this order when none of the above answers."))
    only = names_area(_("Only these providers"), "")
    ignore = names_area(_("Never these providers"), "")
    order = names_area(_("These providers first"), _("In this order; the others follow."))
    preset = forms.ChoiceField(label=_("What matters"), required=False, choices=list(PRESET_WORDS.items()))
    latency = weight_field(_("Speed"))
    cost = weight_field(_("Cost"))
    quality = weight_field(_("Quality"))
    cap_prompt = cap_field("prompt")
    cap_completion = cap_field("completion")
    cap_request = cap_field("request")
    cap_image = cap_field("image")

    def __init__(
        self, data: Any = None, *, rule: RoutingRule | None, keys: Iterable[ApiKey], own_names: Collection[str] = ()
    ) -> None:
        """`own_names` are those that the project gave to models."""
        self._rule = rule
        self._own_names = own_names
        super().__init__(data, initial=_initial(rule), auto_id="rule-%s")
        self._choices("keys", [(str(key.pk), f"{key.name} (…{key.last_four})") for key in keys])
        self._choices("timezone", [(name, name) for name in _zones()])

    def _choices(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    # --- For the page ------------------------------------------------------------------------------------------------
    @property
    def cap_fields(self) -> list[BoundField]:
        return [self[f"cap_{name}"] for name in CAPS]

    @property
    def weight_fields(self) -> list[BoundField]:
        return [self[name] for name in RULE_WEIGHTS]

    @property
    def shows_hours(self) -> bool:
        return any(self[name].errors or self[name].value() for name in TIME_FIELDS if name != "timezone")

    @property
    def shows_caps(self) -> bool:
        return any(bound.errors or bound.value() not in (None, "") for bound in self.cap_fields)

    # --- Checks ------------------------------------------------------------------------------------------------------
    def clean_name(self) -> str:
        return str(self.cleaned_data["name"]).strip()

    def clean_requested(self) -> list[str]:
        return clean_requested(self.cleaned_data["requested"])

    def clean_models(self) -> list[str]:
        return clean_models(self.cleaned_data["models"], known=self._known("models"))

    def clean_fallbacks(self) -> list[str]:
        return clean_models(self.cleaned_data["fallbacks"], known=self._known("fallbacks"))

    def clean_only(self) -> list[str]:
        return clean_providers(self.cleaned_data["only"], known=self._known("only"))

    def clean_ignore(self) -> list[str]:
        return clean_providers(self.cleaned_data["ignore"], known=self._known("ignore"))

    def clean_order(self) -> list[str]:
        return clean_providers(self.cleaned_data["order"], known=self._known("order"))

    def _known(self, name: str) -> list[str]:
        stored = self._rule.action.get(name, ()) if self._rule else ()
        return [*stored, *self._own_names] if name in ("models", "fallbacks") else list(stored)

    def clean_headers(self) -> list[list[str]]:
        lines = [line for line in self.cleaned_data["headers"].splitlines() if line.strip()]
        if len(lines) > HEADERS_MAX:
            raise forms.ValidationError(gettext("At most %(most)s lines.") % {"most": HEADERS_MAX}, code="too_many")
        return [_header(line) for line in lines]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        least, most = cleaned.get("min_prompt_tokens"), cleaned.get("max_prompt_tokens")
        if least is not None and most is not None and least > most:
            self.add_error("max_prompt_tokens", gettext("Must not be below the least."))
        start, end = cleaned.get("hours_from"), cleaned.get("hours_until")
        if (start is None) != (end is None) and not {"hours_from", "hours_until"} & self.errors.keys():
            self.add_error("hours_from" if start is None else "hours_until", gettext("Name both ends."))
        elif start is not None and start == end:
            self.add_error("hours_until", gettext("Must differ from the beginning."))
        if cleaned.get("preset") == "custom" and not any(cleaned.get(name) for name in RULE_WEIGHTS):
            self.add_error("latency", gettext("One of the three must count."))
        if not self.errors and not self.action:
            raise forms.ValidationError(gettext("Say what the rule does: choose a model, a provider or a price."))
        return cleaned

    @property
    def match(self) -> dict[str, Any]:
        """JSON of `Match`; only what was named."""
        cleaned = self.cleaned_data
        match = {
            "models": cleaned["requested"],
            "min_prompt_tokens": cleaned["min_prompt_tokens"],
            "max_prompt_tokens": cleaned["max_prompt_tokens"],
            "needs": cleaned["needs"],
            "key_ids": [int(key) for key in cleaned["keys"]],
            "headers": cleaned["headers"],
            "weekdays": cleaned["weekdays"],
        }
        if cleaned["hours_from"] is not None:
            match["hours"] = [_minutes(cleaned["hours_from"]), _minutes(cleaned["hours_until"])]
        if match.get("hours") or match["weekdays"]:
            match["timezone"] = cleaned["timezone"] or "UTC"
        return _named(match)

    @property
    def action(self) -> dict[str, Any]:
        """JSON of `Action`; only what was named."""
        cleaned = self.cleaned_data
        action: dict[str, Any] = {name: cleaned.get(name) for name in LIST_FIELDS}
        if cleaned.get("preset") == "custom":
            action["weights"] = [(cleaned.get(name) or 0) / 100 for name in RULE_WEIGHTS]
        else:
            action["preset"] = cleaned.get("preset")
        caps = [cleaned.get(f"cap_{name}") for name in CAPS]
        if any(cap is not None for cap in caps):
            action["max_price"] = caps
        return _named(action)


def _named(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "", [])}


def _header(line: str) -> list[str]:
    found = _HEADER_LINE.fullmatch(line)
    if found is None:
        message = gettext("“%(line)s”: write name: text, where * stands for any text.") % {"line": line.strip()[:60]}
        raise forms.ValidationError(message, code="header")
    return [found[1].lower(), found[2]]


def _minutes(moment: time) -> int:
    return moment.hour * 60 + moment.minute


def _clock_of(minutes: int) -> time:
    return time(minutes // 60 % 24, minutes % 60)


def _zones() -> list[str]:
    names = sorted(name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith("Etc/"))
    return ["UTC", *names]


def _initial(rule: RoutingRule | None) -> dict[str, Any]:
    if rule is None:
        return {"timezone": timezone.get_current_timezone_name(), "latency": 35, "cost": 35, "quality": 30}
    match, action = rule.match, rule.action
    hours, weights = match.get("hours"), action.get("weights")
    shown = [round(weight * 100) for weight in weights] if weights else [35, 35, 30]
    caps = action.get("max_price") or [None] * len(CAPS)
    return {
        "name": rule.name,
        "enabled": rule.enabled,
        "requested": "\n".join(match.get("models", ())),
        "min_prompt_tokens": match.get("min_prompt_tokens"),
        "max_prompt_tokens": match.get("max_prompt_tokens"),
        "needs": match.get("needs", []),
        "keys": [str(key) for key in match.get("key_ids", ())],
        "headers": "\n".join(f"{name}: {pattern}" for name, pattern in match.get("headers", ())),
        "hours_from": _clock_of(hours[0]) if hours else None,
        "hours_until": _clock_of(hours[1]) if hours else None,
        "weekdays": match.get("weekdays", []),
        "timezone": match.get("timezone") or timezone.get_current_timezone_name(),
        **{name: "\n".join(action.get(name, ())) for name in LIST_FIELDS},
        "preset": "custom" if weights else action.get("preset", ""),
        **dict(zip(RULE_WEIGHTS, shown, strict=True)),
        **{f"cap_{name}": cap for name, cap in zip(CAPS, caps, strict=False)},
    }
