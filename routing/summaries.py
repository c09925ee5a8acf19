"""What a project has set, in a few words for each part of its routing page."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from routing.models import ProjectRouting
from routing.price_caps import CAPS, LABELS, dollars_of
from routing.project_forms import SECTIONS


def summaries(row: ProjectRouting) -> dict[str, str]:
    return {
        "lists": _lists(row),
        "data": _data(row),
        "caps": _caps(row),
        "failures": _failures(row),
        "aliases": _shortened(row.aliases) or _("none"),
    }


def _lists(row: ProjectRouting) -> str:
    allowed = (*row.allowed_models, *row.allowed_providers)
    denied = (*row.denied_models, *row.denied_providers)
    parts = [_("only %(names)s") % {"names": _shortened(allowed)}] if allowed else []
    parts += [_("never %(names)s") % {"names": _shortened(denied)}] if denied else []
    return " · ".join(parts) or _("all")


def _data(row: ProjectRouting) -> str:
    parts = [_("no training")] if row.no_training else []
    parts += [_("zero retention")] if row.zero_retention else []
    return " · ".join((*parts, *row.regions)) or _("no condition")


def _caps(row: ProjectRouting) -> str:
    caps = [(name, getattr(row, f"max_price_{name}_nanos")) for name in CAPS]
    named = [
        _("$%(price)s %(unit)s") % {"price": dollars_of(cap), "unit": str(LABELS[name]).lower()}
        for name, cap in caps
        if cap is not None
    ]
    return " · ".join(named) or _("none")


def _failures(row: ProjectRouting) -> str:
    plain = ProjectRouting()
    changed = [name for name in SECTIONS["failures"] if getattr(row, name) != getattr(plain, name)]
    if not changed:
        return _("as usual")
    return ngettext("%(n)s change", "%(n)s changes", len(changed)) % {"n": len(changed)}


def _shortened(names: Iterable[str]) -> str:
    known = list(names)
    shown = ", ".join(known[:2])
    return f"{shown} +{len(known) - 2}" if len(known) > 2 else shown
