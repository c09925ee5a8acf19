"""Base URLs with {placeholders}, filled from a provider's URL variables."""

from __future__ import annotations

import re
from collections.abc import Mapping

PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


def missing_variables(url: str, variables: Mapping[str, str]) -> list[str]:
    """Names of placeholders that have no value."""
    return [name for name in PLACEHOLDER.findall(url) if not variables.get(name)]


def fill(url: str, variables: Mapping[str, str]) -> str | None:
    """The URL with every placeholder filled, or None while a value is missing."""
    if missing_variables(url, variables):
        return None
    return PLACEHOLDER.sub(lambda match: variables[match.group(1)], url).rstrip("/")


def fill_addresses(
    base_urls: Mapping[str, str], variables: Mapping[str, str], overrides: Mapping[str, str]
) -> dict[str, str]:
    """Dialect to URL for every dialect that can be called; a non-empty override wins over the provider's URL."""
    templates = {**base_urls, **{dialect: url for dialect, url in overrides.items() if url}}
    filled = {dialect: fill(url, variables) for dialect, url in templates.items()}
    return {dialect: url for dialect, url in filled.items() if url}
