"""Reads a folder with providers.json, models.json and, optionally, legacy_names.json.

Fields that are not known here are ignored. All problems of all files are collected before anything is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from routing.loading.entries import (
    CalendarEntry,
    CatalogueFiles,
    CatalogueInvalid,
    LegacyName,
    ModelEntry,
    ProviderEntry,
)
from routing.loading.node import Node
from routing.loading.offerings import data_policy, read_currency, read_offering
from routing.validity import base_url_problems, header_problems

_PROVIDER_SLUG = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MODEL_SLUG = re.compile(r"[a-z0-9][a-z0-9._:/@+-]{0,159}")
_STATUSES = ("active", "deprecated", "retired")


def read_folder(folder: Path, known_providers: Mapping[str, Collection[str]]) -> CatalogueFiles:
    """The folder's content. `known_providers` (slug to protocols) are those loaded before, which offerings may name.

    Raises CatalogueInvalid with every problem found.
    """
    problems: list[str] = []
    provider_root = _open(folder, "providers.json", problems)
    model_root = _open(folder, "models.json", problems)
    providers = [_provider(node) for node in provider_root.items("providers", required=True)] if provider_root else []
    speaks = {**known_providers, **{entry.slug: entry.fields["base_urls"].keys() for entry in providers}}
    models = [_model(node, speaks) for node in model_root.items("models", required=True)] if model_root else []
    legacy = _open(folder, "legacy_names.json", problems) if (folder / "legacy_names.json").exists() else None
    calendars = _calendars(provider_root) if provider_root else ()
    _complain_of_doubles("providers.json", "provider", (entry.slug for entry in providers), problems)
    _complain_of_doubles("models.json", "model", (entry.slug for entry in models), problems)
    _complain_of_doubles("models.json", "alias", (name.lower() for m in models for name in m.aliases), problems)
    if problems:
        raise CatalogueInvalid(problems)
    return CatalogueFiles(tuple(providers), tuple(models), _legacy_names(legacy, models), calendars)


def _open(folder: Path, name: str, problems: list[str]) -> Node | None:
    try:
        value = json.loads((folder / name).read_text("utf-8"))
    except FileNotFoundError:
        problems.append(f"{name}: there is no such file in {folder}")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{name}: cannot be read: {error}")
    except json.JSONDecodeError as error:
        problems.append(f"{name}: line {error.lineno}, column {error.colno}: not valid JSON: {error.msg}")
    else:
        if isinstance(value, dict):
            return Node(name, "$", value, problems)
        problems.append(f"{name}: $: must be an object")
    return None


def _complain_of_doubles(file: str, what: str, names: Iterable[str], problems: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name and name in seen:
            problems.append(f"{file}: {what} {name!r} appears more than once")
        seen.add(name)


def _provider(node: Node) -> ProviderEntry:
    slug = node.text("slug", longest=64)
    if slug and not _PROVIDER_SLUG.fullmatch(slug):
        node.child("slug").complain(f"is {slug!r}; only letters, digits, - and _ are allowed")
    base_urls = node.mapping("base_urls")
    node.child("base_urls").complain_all(base_url_problems(base_urls))
    headers = node.mapping("extra_headers")
    node.child("extra_headers").complain_all(header_problems(headers))
    plain, environment = _url_variables(node)
    return ProviderEntry(
        slug=slug,
        fields={
            "name": node.text("name", default=slug, longest=120),
            "kind": node.text("kind", default="", longest=32),
            "region": node.text("region", default="", longest=32),
            "currency": read_currency(node, default="USD"),
            "base_urls": base_urls,
            "extra_headers": headers,
            "on_client_leave": node.choice("on_client_leave", ("stop", "read_on"), default="stop"),
            "mainland_china_access": node.flag("mainland_china_access"),
            "cache_write_ttl": node.mapping("cache_write_ttl"),
            "pricing_page": node.text("pricing_page", default="", longest=300),
            "notes": node.text("notes", default="", longest=5000),
            "is_sandbox": node.flag("is_sandbox") or False,
            **data_policy(node),
        },
        auth=node.text("auth", default="bearer", longest=64) or "bearer",
        api_key_env=node.text("api_key_env", default="", longest=80),
        url_variables=plain,
        environment=environment,
        enabled=node.flag("enabled"),
    )


def _url_variables(node: Node) -> tuple[dict[str, str], dict[str, str]]:
    """Plain values, and names of environment variables written as {"env": "NAME"}."""
    plain: dict[str, str] = {}
    environment: dict[str, str] = {}
    for name, value in node.mapping("url_variables").items():
        if isinstance(value, str):
            plain[name] = value
        elif isinstance(value, dict) and isinstance(value.get("env"), str):
            environment[name] = value["env"]
        else:
            node.child("url_variables").child(name).complain('must be a string or {"env": "NAME"}')
    return plain, environment


def _model(node: Node, speaks: Mapping[str, Collection[str]]) -> ModelEntry:
    slug = node.text("slug", longest=160)
    if slug and not _MODEL_SLUG.fullmatch(slug):
        node.child("slug").complain(f"is {slug!r}; only lower-case letters, digits and . _ : / @ + - are allowed")
    quality = node.mapping("quality")
    status = node.choice("status", _STATUSES, default="active")
    offerings = [read_offering(item, speaks) for item in node.items("offerings")]
    pairs = [(entry.provider, entry.upstream_id) for entry in offerings]
    if len(set(pairs)) < len(pairs):
        node.child("offerings").complain("the same provider and upstream_id appear more than once")
    return ModelEntry(
        slug=slug,
        fields={
            "name": node.text("name", default=slug, longest=160),
            "author": node.text("author", default=slug.partition("/")[0], longest=64),
            "description": node.text("description", default="", longest=2000),
            "released": node.day("released"),
            "status": status,
            "context_length": node.whole_number("context_length"),
            "max_output_tokens": node.whole_number("max_output_tokens"),
            "input_modalities": node.texts("input_modalities", default=("text",)),
            "output_modalities": node.texts("output_modalities", default=("text",)),
            "capabilities": node.mapping("capabilities"),
            "quality_index": _index(node, quality),
            "quality": quality,
        },
        aliases=_names(node),
        offerings=tuple(offerings),
    )


def _names(node: Node) -> tuple[str, ...]:
    """Names are compared without case, so spellings that differ in nothing else are one name."""
    return tuple({name.strip().lower(): name.strip() for name in node.texts("aliases")}.values())


def _index(node: Node, quality: Mapping[str, Any]) -> float | None:
    index = quality.get("index")
    if index is None:
        return None
    if isinstance(index, bool) or not isinstance(index, int | float) or not 0 <= index <= 100:
        node.child("quality").child("index").complain("must be a number from 0 to 100")
        return None
    return float(index)


def _calendars(root: Node) -> tuple[CalendarEntry, ...]:
    calendars = root.child("holiday_calendars")
    entries = []
    for name in root.mapping("holiday_calendars"):
        node = calendars.child(name)
        dates = [date_node for date_node in node.texts("dates") if _is_day(node, date_node)]
        entries.append(CalendarEntry(name, node.day("covers_through"), tuple(dates), node.text("source", default="")))
    return tuple(entries)


def _is_day(node: Node, value: str) -> bool:
    probe = Node(node.file, f"{node.path}.dates", {"date": value}, node.problems)
    return probe.day("date") is not None


def _legacy_names(root: Node | None, models: Iterable[ModelEntry]) -> tuple[LegacyName, ...]:
    if root is None:
        return ()
    taken = {name.lower() for model in models for name in (*model.aliases, model.slug)}
    entries: list[LegacyName] = []
    for name in root.value:
        # Not through `child`: its path would split names that hold dots.
        node = Node(root.file, f"[{json.dumps(name)}]", root.value[name], root.problems)
        if name.lower() in taken:
            node.complain("is the name of a model that is still served")
        entries.append(LegacyName(name, node.text("successor", longest=160), node.day("withdrawn")))
    if root.problems:
        raise CatalogueInvalid(root.problems)
    return tuple(entries)
