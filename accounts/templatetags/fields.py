"""One form field as the design has it: label, control, error, hint."""

from __future__ import annotations

from typing import Any

from django import forms, template
from django.forms import BoundField

register = template.Library()


@register.inclusion_tag("accounts/_field.html")
def field(bound: BoundField) -> dict[str, Any]:
    """Django itself sets aria-invalid and aria-describedby; the template gives the ids they point to."""
    widget = bound.field.widget
    widget.attrs.pop("placeholder", None)  # the label says it, and stays
    attrs: dict[str, str | bool] = {} if isinstance(widget, forms.CheckboxInput) else {"class": _css_class(widget)}
    return {"field": bound, "control": bound.as_widget(attrs=attrs), "kind": _kind(widget)}


def _css_class(widget: forms.Widget) -> str:
    return "select" if isinstance(widget, forms.Select) else "input"


def _kind(widget: forms.Widget) -> str:
    if isinstance(widget, forms.CheckboxInput):
        return "check"
    return "password" if isinstance(widget, forms.PasswordInput) else "text"
