"""Applies alias and withdrawn names. A name belongs to one model: the last load decides, and says so."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from routing.loading.changes import Changes
from routing.loading.entries import CatalogueFiles, CatalogueInvalid
from routing.models import Model, ModelAlias


def apply_aliases(files: CatalogueFiles, models: Mapping[str, Model], changes: Changes) -> None:
    """Raises CatalogueInvalid for a successor that is no model."""
    _check_successors(files, models)
    known = {row.name.lower(): row for row in ModelAlias.objects.select_related("model")}
    fresh = []
    for name, wanted in _wanted(files, models).items():
        row = known.get(name.lower())
        if row is None:
            fresh.append(ModelAlias(name=name, **wanted))
        else:
            _change(row, wanted, changes)
    ModelAlias.objects.bulk_create(fresh)
    changes.new += [f"name {row.name} for {row.model or row.successor}" for row in fresh]
    _report_gone(files, known, changes)


def _check_successors(files: CatalogueFiles, models: Mapping[str, Model]) -> None:
    problems = [
        f'legacy_names.json: ["{entry.name}"].successor: {entry.successor!r} is no model, here or loaded before'
        for entry in files.legacy_names
        if entry.successor not in models
    ]
    if problems:
        raise CatalogueInvalid(problems)


def _wanted(files: CatalogueFiles, models: Mapping[str, Model]) -> dict[str, dict[str, Any]]:
    served: dict[str, dict[str, Any]] = {
        name: _row(models[entry.slug], "", None) for entry in files.models for name in entry.aliases
    }
    withdrawn = {entry.name: _row(None, entry.successor, entry.withdrawn) for entry in files.legacy_names}
    return served | withdrawn


def _row(model: Model | None, successor: str, withdrawn: date | None) -> dict[str, Any]:
    return {"model": model, "successor": successor, "withdrawn": withdrawn}


def _change(row: ModelAlias, wanted: Mapping[str, Any], changes: Changes) -> None:
    before = {"model": row.model, "successor": row.successor, "withdrawn": row.withdrawn}
    if before == wanted:
        return
    old, new = row.model or row.successor, wanted["model"] or wanted["successor"]
    row.model, row.successor, row.withdrawn = wanted["model"], wanted["successor"], wanted["withdrawn"]
    row.save()
    changes.changed.append(f"name {row.name}: {old} → {new}")


def _report_gone(files: CatalogueFiles, known: Mapping[str, ModelAlias], changes: Changes) -> None:
    for entry in files.models:
        listed = {name.lower() for name in entry.aliases}
        for name, row in known.items():
            if row.model is not None and row.model.slug == entry.slug and name not in listed:
                changes.gone.append(f"name {row.name} for {entry.slug}")
