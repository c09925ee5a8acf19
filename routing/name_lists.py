"""Lists of models and providers that people type: cleaned, and each new name checked against the catalogue."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable

from django import forms
from django.utils.translation import gettext as _

from accounts import model_patterns
from accounts.model_patterns import BadPatterns
from routing.models import Model, ModelAlias, Provider
from routing.policy.auto import AUTO, is_auto

NAMES_MAX = 50
_BETWEEN = re.compile(r"[\s,;，、；]+")
_PROVIDER = re.compile(r"[a-z0-9_*-]{1,64}")


def model_names() -> set[str]:
    """Every name that the catalogue answers to, lower case."""
    slugs = Model.objects.filter(enabled=True).values_list("slug", flat=True)
    aliases = ModelAlias.objects.filter(model__enabled=True).values_list("name", flat=True)
    return {name.lower() for name in (*slugs, *aliases)}


def provider_names() -> set[str]:
    return {slug.lower() for slug in Provider.objects.values_list("slug", flat=True)}


def clean_model_patterns(text: str, *, known: Collection[str] = ()) -> list[str]:
    """Patterns on public ids, for lists that allow or deny. `known` were stored before and are not questioned again."""
    try:
        patterns = model_patterns.clean(_BETWEEN.split(text))
    except BadPatterns as bad:
        raise forms.ValidationError(str(bad), code=bad.code) from bad
    _refuse_unknown((name for name in patterns if "*" not in name), model_names, known)
    return list(patterns)


def clean_models(text: str, *, known: Collection[str] = ()) -> list[str]:
    """Names of models to ask for, in their order; `auto` too. `known` are not looked up in the catalogue."""
    names = _names(text)
    for name in names:
        if "*" in name:
            message = _("“%(name)s” is a pattern; name one model.") % {"name": name[:60]}
            raise forms.ValidationError(message, code="pattern")
        if name.startswith(f"{AUTO}:"):
            raise forms.ValidationError(_("Write auto alone; what matters is chosen beside it."), code="preset")
    _refuse_unknown((name for name in names if not is_auto(name)), model_names, known)
    return names


def clean_requested(text: str) -> list[str]:
    """Patterns on what clients ask for. Any text may be asked for, so none is unknown."""
    return _names(text)


def clean_providers(text: str, *, known: Collection[str] = ()) -> list[str]:
    names = _names(text)
    for name in names:
        if not _PROVIDER.fullmatch(name):
            message = _("“%(name)s” is no provider: write its short name, such as deepseek.") % {"name": name[:60]}
            raise forms.ValidationError(message, code="characters")
    _refuse_unknown((name for name in names if "*" not in name), provider_names, known)
    return names


def _names(text: str) -> list[str]:
    names = list(dict.fromkeys(name for part in _BETWEEN.split(text) if (name := part.strip().lower())))
    if len(names) > NAMES_MAX:
        raise forms.ValidationError(_("At most %(most)s names.") % {"most": NAMES_MAX}, code="too_many")
    for name in names:
        if len(name) > model_patterns.PATTERN_MAX:
            message = _("“%(start)s…” is longer than any name.") % {"start": name[:40]}
            raise forms.ValidationError(message, code="too_long")
    return names


def _refuse_unknown(names: Iterable[str], ask: Callable[[], set[str]], known: Collection[str]) -> None:
    new = [name for name in names if name not in known]
    if not new:
        return
    there = ask()
    problems = [_unknown(name, there) for name in new if name not in there]
    if problems:
        raise forms.ValidationError(problems)


def _unknown(name: str, there: Collection[str]) -> forms.ValidationError:
    near = difflib.get_close_matches(name, there, n=1, cutoff=0.6) or [
        other for other in there if other.rpartition("/")[2] == name
    ]
    if near:
        text = _("There is no “%(name)s”. Did you mean %(near)s?") % {"name": name[:60], "near": near[0]}
    else:
        text = _("There is no “%(name)s” in the catalogue.") % {"name": name[:60]}
    return forms.ValidationError(text, code="unknown")
