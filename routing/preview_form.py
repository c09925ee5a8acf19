"""What a preview of the ranking is for: a model, and a request of a certain size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from django import forms
from django.utils.translation import gettext_lazy as _

from routing.models import Model
from routing.policy.auto import AUTO

SAMPLES = {
    "chat": (_("Short chat, 500 tokens in"), 500),
    "code": (_("Coding turn, 12,000 tokens in"), 12_000),
    "long": (_("Long document, 120,000 tokens in"), 120_000),
}


class Chosen(NamedTuple):
    model: str
    task: str
    prompt_tokens: int


class PreviewForm(forms.Form):
    preview_model = forms.ChoiceField(label=_("Model"), required=False)
    preview_sample = forms.ChoiceField(
        label=_("Request"), required=False, choices=[(name, words) for name, (words, _tokens) in SAMPLES.items()]
    )

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, auto_id="%s")
        names = [(slug, slug) for slug in model_slugs()]
        field = self.fields["preview_model"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(AUTO, AUTO), *names]
        field.initial = AUTO

    @staticmethod
    def chosen(query: Mapping[str, str]) -> Chosen:
        """What does not exist counts as not chosen."""
        task = query.get("preview_sample", "")
        task = task if task in SAMPLES else "chat"
        return Chosen(query.get("preview_model", "")[:160] or AUTO, task, SAMPLES[task][1])


def model_slugs() -> list[str]:
    """Those that somebody serves here."""
    served = Model.objects.filter(enabled=True, deployments__enabled=True, deployments__provider__enabled=True)
    return sorted(set(served.values_list("slug", flat=True)))
