"""What people may change of a project's routing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django import forms
from django.forms import BoundField
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from routing.models import Deployment, ProjectRouting, Provider
from routing.name_lists import clean_model_patterns, clean_models, clean_providers
from routing.policy.weights import PRESETS
from routing.price_caps import CAPS, cap_field

ALIASES_MAX = 100
WEIGHTS = ("latency_weight", "cost_weight", "quality_weight")
SWITCHES = ("same_family_fallback", "larger_context_fallback", "cache_affinity", "exploration")
SECTIONS = {
    "lists": ("allowed_models", "denied_models", "allowed_providers", "denied_providers"),
    "data": ("no_training", "zero_retention", "regions"),
    "caps": tuple(f"max_price_{name}_nanos" for name in CAPS),
    "failures": (*SWITCHES, "hedge", "stream_failure"),
    "aliases": ("aliases",),
}
_ALIAS = re.compile(r"[a-z0-9._:/@+-]{1,160}")
_ALIAS_LINE = re.compile(r"\s*(\S+)\s*(?:=|＝|→|->)\s*(\S+)\s*")


def names_area(label: Any, help_text: Any) -> forms.CharField:
    return forms.CharField(
        label=label,
        required=False,
        max_length=9000,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false", "autocapitalize": "off"}),
        help_text=help_text,
    )


def weight_field(label: Any) -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        min_value=0,
        max_value=100,
        required=False,
        widget=forms.NumberInput(attrs={"type": "range", "step": 5}),
    )


class RoutingForm(forms.Form):
    """`values` is what `project_settings.change_routing` takes. With a preset its weights count, not the sliders."""

    preset = forms.ChoiceField(
        label=_("Preset"), choices=ProjectRouting.Preset.choices, widget=forms.RadioSelect, required=False
    )
    latency_weight = weight_field(_("Speed"))
    cost_weight = weight_field(_("Cost"))
    quality_weight = weight_field(_("Quality"))
    allowed_models = names_area(_("Only these models"), _("One per line, such as deepseek/*. Empty: all."))
    denied_models = names_area(_("Never these models"), _("Counts before the list above."))
    allowed_providers = names_area(_("Only these providers"), _("Short names, such as deepseek. Empty: all."))
    denied_providers = names_area(_("Never these providers"), _("Counts before the list above."))
    regions = forms.MultipleChoiceField(
        label=_("Only in these regions"), required=False, widget=forms.CheckboxSelectMultiple
    )
    no_training = forms.BooleanField(
        label=_("No provider that trains on what it is sent"),
        required=False,
        help_text=_("Leaves out those that do, and those of whom nobody knows."),
    )
    zero_retention = forms.BooleanField(
        label=_("Only providers that keep nothing"),
        required=False,
        help_text=_("Zero retention by contract or policy. Leaves out those of whom nobody knows."),
    )
    max_price_prompt_nanos = cap_field("prompt")
    max_price_completion_nanos = cap_field("completion")
    max_price_request_nanos = cap_field("request")
    max_price_image_nanos = cap_field("image")
    same_family_fallback = forms.BooleanField(
        label=_("A model of the same family may answer"),
        required=False,
        help_text=_("When no provider of the requested model can. The answer names the model that wrote it."),
    )
    larger_context_fallback = forms.BooleanField(
        label=_("A too long prompt may go to a larger context"),
        required=False,
        help_text=_("To another provider of the same model that takes more tokens."),
    )
    cache_affinity = forms.BooleanField(
        label=_("Conversations stay where their prompt cache is"),
        required=False,
        help_text=_("Cached tokens cost less and answer sooner. A provider in trouble is left all the same."),
    )
    exploration = forms.BooleanField(
        label=_("Help to measure"),
        required=False,
        help_text=_("At most 2% of requests go to a provider whose figures are old and which may be the best."),
    )
    hedge = forms.ChoiceField(
        label=_("Second attempt when the first is slow"),
        choices=ProjectRouting.Hedge.choices,
        widget=forms.RadioSelect,
        required=False,
        help_text=_(
            "Sent when the first token takes longer than in 19 of 20 requests. The faster answer is yours. Paying for"
            " both adds the slower one’s prompt as a line of its own."
        ),
    )
    stream_failure = forms.ChoiceField(
        label=_("When a stream breaks off"),
        choices=ProjectRouting.StreamFailure.choices,
        widget=forms.RadioSelect,
        required=False,
        help_text=_(
            "Going on works once per answer and for plain text; the seam is marked, and you pay for the parts that"
            " you got."
        ),
    )
    aliases = names_area(
        _("Own names for models"), _("One per line: fast = deepseek/deepseek-v4.1-flash. The right side may be auto.")
    )

    def __init__(self, data: Any = None, *, routing: ProjectRouting) -> None:
        self._stored = routing
        super().__init__(data, initial=_initial(routing), auto_id="r-%s")
        regions = self.fields["regions"]
        assert isinstance(regions, forms.MultipleChoiceField)
        regions.choices = [(name, name) for name in known_regions(routing.regions)]

    # --- For the page ------------------------------------------------------------------------------------------------
    @property
    def weight_fields(self) -> list[BoundField]:
        return [self[name] for name in WEIGHTS]

    @property
    def cap_fields(self) -> list[BoundField]:
        return [self[f"max_price_{name}_nanos"] for name in CAPS]

    @property
    def switch_fields(self) -> list[BoundField]:
        return [self[name] for name in SWITCHES]

    @property
    def open_sections(self) -> set[str]:
        """Those that hold an error."""
        return {section for section, names in SECTIONS.items() if any(name in self.errors for name in names)}

    # --- Checks ------------------------------------------------------------------------------------------------------
    def clean_preset(self) -> str:
        return self.cleaned_data["preset"] or ProjectRouting.Preset.BALANCED

    def clean_stream_failure(self) -> str:
        return self.cleaned_data["stream_failure"] or ProjectRouting.StreamFailure.ERROR

    def clean_allowed_models(self) -> list[str]:
        return clean_model_patterns(self.cleaned_data["allowed_models"], known=self._stored.allowed_models)

    def clean_denied_models(self) -> list[str]:
        return clean_model_patterns(self.cleaned_data["denied_models"], known=self._stored.denied_models)

    def clean_allowed_providers(self) -> list[str]:
        return clean_providers(self.cleaned_data["allowed_providers"], known=self._stored.allowed_providers)

    def clean_denied_providers(self) -> list[str]:
        return clean_providers(self.cleaned_data["denied_providers"], known=self._stored.denied_providers)

    def clean_aliases(self) -> dict[str, str]:
        lines = [line for line in self.cleaned_data["aliases"].splitlines() if line.strip()]
        if len(lines) > ALIASES_MAX:
            raise forms.ValidationError(gettext("At most %(most)s names.") % {"most": ALIASES_MAX}, code="too_many")
        return dict(self._alias(line, self._stored.aliases) for line in lines)

    def _alias(self, line: str, known: Mapping[str, str]) -> tuple[str, str]:
        found = _ALIAS_LINE.fullmatch(line.lower())
        if found is None or not _ALIAS.fullmatch(found[1]):
            message = gettext("“%(line)s”: write name = model.") % {"line": line.strip()[:60]}
            raise forms.ValidationError(message, code="alias")
        if found[1].partition(":")[0] == "auto":
            raise forms.ValidationError(gettext("auto has its own meaning; choose another name."), code="auto")
        (target,) = clean_models(found[2], known=known.values())
        return found[1], target

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        preset = cleaned.get("preset")
        if preset in PRESETS:
            cleaned.update(percents(preset))
        elif not any(cleaned.get(name) for name in WEIGHTS):
            self.add_error("latency_weight", gettext("One of the three must count."))
        for name in WEIGHTS:
            cleaned[name] = cleaned.get(name) or 0
        return cleaned

    @property
    def values(self) -> dict[str, Any]:
        return dict(self.cleaned_data)


def percents(preset: str) -> dict[str, int]:
    """A preset's weights as the sliders show them."""
    return {name: round(weight * 100) for name, weight in zip(WEIGHTS, PRESETS[preset], strict=True)}


def known_regions(more: list[str]) -> list[str]:
    """Every region that the catalogue names, and those in `more`."""
    named = {*Provider.objects.values_list("region", flat=True), *Deployment.objects.values_list("region", flat=True)}
    return sorted({region for region in named if region and region != "global"} | set(more))


def _initial(routing: ProjectRouting) -> dict[str, Any]:
    initial = {name: getattr(routing, name) for name in RoutingForm.base_fields}
    for name in ("allowed_models", "denied_models", "allowed_providers", "denied_providers"):
        initial[name] = "\n".join(initial[name])
    initial["aliases"] = "\n".join(f"{name} = {model}" for name, model in routing.aliases.items())
    return initial
