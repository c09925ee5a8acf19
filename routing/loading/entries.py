"""What a catalogue folder says, checked and typed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any


class CatalogueInvalid(Exception):
    """The files cannot be loaded. Each problem reads `file: path: what is wrong`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """`fields` are column values; `environment` maps URL variables to the environment variables that fill them."""

    slug: str
    fields: Mapping[str, Any]
    auth: str
    api_key_env: str
    url_variables: Mapping[str, str]
    environment: Mapping[str, str]
    enabled: bool | None


@dataclass(frozen=True, slots=True)
class CardEntry:
    tier: str
    min_prompt_tokens: int
    schedule: Mapping[str, Any] | None
    valid_from: datetime | None
    valid_until: datetime | None
    rates: Mapping[str, str]

    @property
    def conditions(self) -> CardKey:
        return card_key(self.tier, self.min_prompt_tokens, self.schedule, self.valid_from)


CardKey = tuple[str, int, str, datetime | None]


def card_key(tier: str, steps: int, schedule: Mapping[str, Any] | None, valid_from: datetime | None) -> CardKey:
    """What makes two cards of one deployment the same card."""
    return (tier, steps, json.dumps(schedule, sort_keys=True), valid_from)


@dataclass(frozen=True, slots=True)
class OfferingEntry:
    """`initial` are staff switches: used when the deployment is made, never again."""

    provider: str
    upstream_id: str
    fields: Mapping[str, Any]
    initial: Mapping[str, Any]
    price_cards: tuple[CardEntry, ...]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    slug: str
    fields: Mapping[str, Any]
    aliases: tuple[str, ...]
    offerings: tuple[OfferingEntry, ...]


@dataclass(frozen=True, slots=True)
class LegacyName:
    name: str
    successor: str
    withdrawn: date | None


@dataclass(frozen=True, slots=True)
class CalendarEntry:
    name: str
    covers_through: date | None
    dates: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class CatalogueFiles:
    providers: tuple[ProviderEntry, ...]
    models: tuple[ModelEntry, ...]
    legacy_names: tuple[LegacyName, ...] = ()
    calendars: tuple[CalendarEntry, ...] = field(default=())
