"""Reads one offering: a model at a provider, with its price cards."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from decimal import Decimal

from routing.loading.entries import CardEntry, OfferingEntry
from routing.loading.node import Node
from routing.validity import DIALECTS, TIERS, rate_problems, schedule_problems, url_problems

_STATUSES = ("active", "deprecated", "retired")
_CURRENCY = re.compile(r"[A-Z]{3}")


def read_offering(node: Node, speaks: Mapping[str, Collection[str]]) -> OfferingEntry:
    """`speaks` maps each provider that may be named to the protocols it has a base URL for."""
    provider = node.text("provider", longest=64)
    dialect = node.choice("protocol", DIALECTS)
    others = node.texts("other_protocols")
    base_url = node.text("base_url", default="", longest=300)
    if base_url:
        node.child("base_url").complain_all(url_problems(base_url))
    _check_provider(node, provider, dialect, base_url, speaks)
    for other in others:
        if other not in DIALECTS:
            node.child("other_protocols").complain(f"{other!r} is no known protocol; known are {', '.join(DIALECTS)}")
    initial = {"priority": node.whole_number("priority"), "enabled": node.flag("enabled")}
    return OfferingEntry(
        provider=provider,
        upstream_id=node.text("upstream_id", longest=200),
        fields={
            "dialect": dialect,
            "other_dialects": others,
            "base_url": base_url,
            "context_length": node.whole_number("context_length"),
            "max_output_tokens": node.whole_number("max_output_tokens"),
            "status": node.choice("status", _STATUSES, default="active"),
            "retires_on": node.day("retires_on"),
            "currency": read_currency(node, default=""),
            "price_source": node.text("price_source", default="", longest=64),
            "cross_check": node.text("cross_check", default="", longest=16),
            "as_of": node.day("as_of"),
            "note": node.text("note", default="", longest=5000),
            **data_policy(node),
            **({"region": region} if (region := node.text("region", default="", longest=32)) else {}),
        },
        initial={name: value for name, value in initial.items() if value is not None},
        price_cards=_price_cards(node),
    )


def _check_provider(
    node: Node, provider: str, dialect: str, base_url: str, speaks: Mapping[str, Collection[str]]
) -> None:
    if not provider:
        return
    if provider not in speaks:
        node.child("provider").complain(f"{provider!r} is neither in providers.json nor loaded before")
    elif dialect in DIALECTS and not base_url and dialect not in speaks[provider]:
        node.child("protocol").complain(f"provider {provider!r} has no base URL for {dialect}")


def read_currency(node: Node, *, default: str) -> str:
    """A three-letter code. An offering that names none is priced in its provider's currency."""
    currency = node.text("currency", default=default)
    if currency != default and not _CURRENCY.fullmatch(currency):
        node.child("currency").complain(f"is {currency!r}; must be three capital letters")
    return currency


def data_policy(node: Node) -> dict[str, bool]:
    """Only what the file states: where it says nothing, what staff found out stays."""
    stated = {name: node.flag(name) for name in ("trains_on_data", "zero_retention")}
    return {name: value for name, value in stated.items() if value is not None}


def _price_cards(node: Node) -> tuple[CardEntry, ...]:
    cards = [_price_card(item) for item in node.items("price_cards", required=True)]
    if not cards and node.child("price_cards").value == []:
        node.child("price_cards").complain("must hold at least one card")
    conditions = [card.conditions for card in cards]
    if len(set(conditions)) < len(conditions):
        node.child("price_cards").complain("two cards have the same tier, min_prompt_tokens, schedule and valid_from")
    return tuple(cards)


def _price_card(node: Node) -> CardEntry:
    rates = node.child("rates")
    wrong = rate_problems(rates.value)
    rates.complain_all(wrong)
    schedule = node.child("schedule")
    schedule.complain_all(schedule_problems(schedule.value))
    valid_from, valid_until = node.moment("valid_from"), node.moment("valid_until")
    if valid_from and valid_until and valid_from >= valid_until:
        node.complain("valid_from is not before valid_until")
    return CardEntry(
        tier=node.choice("tier", TIERS, default="standard"),
        min_prompt_tokens=node.whole_number("min_prompt_tokens", default=0) or 0,
        schedule=schedule.value,
        valid_from=valid_from,
        valid_until=valid_until,
        rates={} if wrong else {name: _plain(rate) for name, rate in rates.value.items()},
    )


def _plain(rate: str) -> str:
    """One way to write each number, so that "2.50" and "2.5" are no change."""
    text = f"{Decimal(rate):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
