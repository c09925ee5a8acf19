"""From a provider's usage report to money, on the catalogue's own cards: where counting twice or too little is easy."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.pricing.price import price
from billing.pricing.rates import RateCard, choose_card, rate_of
from billing.pricing.usage import TokenUsage
from gateway.exchange import Delivery
from gateway.protocol.anthropic_messages import usage as messages
from gateway.protocol.dialects import UPSTREAM_CODECS
from gateway.protocol.gemini_generate import usage as gemini
from gateway.protocol.openai_chat import usage as chat
from gateway.protocol.reply import UsageSeen
from gateway.settlement import card_for, charge_of, judge
from routing.loading.entries import CatalogueFiles
from routing.loading.reading import read_folder
from routing.validity import TIERS
from tests.gateway.test_markup import answered, arrived, share
from tests.routing.test_planner import catalogue, deployment

CATALOGUE = Path(__file__).resolve().parents[2] / "routing/data/catalogue"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
CN = {"cn": frozenset({date(2026, 10, 1)})}


@pytest.fixture(scope="module")
def files() -> CatalogueFiles:
    return read_folder(CATALOGUE, {})


def cards(files: CatalogueFiles, slug: str, provider: str) -> tuple[RateCard, ...]:
    (offering,) = [
        offering
        for model in files.models
        if model.slug == slug
        for offering in model.offerings
        if offering.provider == provider
    ]
    return tuple(
        RateCard(
            place, card.tier, card.valid_from, card.valid_until, card.min_prompt_tokens, card.schedule,
            {name: Decimal(rate) for name, rate in card.rates.items()},
        )
        for place, card in enumerate(offering.price_cards)
    )  # fmt: skip


def rates(known: Iterable[RateCard], at: str | datetime, *, tier: str = "standard", size: int = 1) -> tuple[str, str]:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC) if isinstance(at, str) else at
    card = choose_card(known, at=moment, tier=tier, prompt_size=size, holidays=CN)
    assert card is not None
    return str(rate_of(card, "input")), str(rate_of(card, "output"))


def last_usage(dialect: str, stream: bytes) -> TokenUsage:
    decoder = UPSTREAM_CODECS[dialect].stream_decoder()
    events = [event for passed in (*decoder.feed(stream), *decoder.end()) for event in passed.events]
    return [event.report.usage for event in events if isinstance(event, UsageSeen)][-1]


def chunks(*bodies: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(body).encode() + b"\n\n" for body in bodies) + b"data: [DONE]\n\n"


def content(usage: Any = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}], "usage": usage}


FINISH = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def counted(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **more}


def test_the_same_cached_prompt_costs_the_same_from_openai_and_anthropic(files: CatalogueFiles) -> None:
    reports = (
        chat.read_usage(counted(1000, 10, prompt_tokens_details={"cached_tokens": 800})),
        messages.read_usage({"input_tokens": 200, "cache_read_input_tokens": 800, "output_tokens": 10}),
    )
    card = cards(files, "anthropic/claude-sonnet-5", "anthropic")[0]
    totals = [
        price(report.usage, card, units_per_usd=Decimal(1), markup=Decimal(1)).total_nanos
        for report in reports
        if report is not None
    ]
    assert len(totals) == 2 and totals[0] == totals[1] > 0


@pytest.mark.parametrize(("completion", "total"), [(10, 160), (60, 160)])
def test_reasoning_is_billed_once_inside_or_outside_the_completion(completion: int, total: int) -> None:
    report = chat.read_usage(
        {
            "prompt_tokens": 100,
            "completion_tokens": completion,
            "total_tokens": total,
            "completion_tokens_details": {"reasoning_tokens": 50},
        }
    )
    assert report is not None
    assert (report.usage.output_size, report.flags) == (60, ())


def test_gemini_bills_tool_use_as_input_and_thoughts_as_output() -> None:
    report = gemini.read_usage(
        {
            "promptTokenCount": 100,
            "cachedContentTokenCount": 40,
            "toolUsePromptTokenCount": 20,
            "candidatesTokenCount": 10,
            "thoughtsTokenCount": 30,
            "totalTokenCount": 160,
        }
    )
    assert report is not None
    assert report.usage == TokenUsage(input=80, cache_read=40, output=10, reasoning=30)
    assert (report.usage.output_size, report.flags) == (40, ())


def test_usage_in_every_chunk_is_a_running_total() -> None:
    running = [content(counted(35, done, total_tokens=35 + done + 62)) for done in (3, 8, 12)]
    assert last_usage("openai_chat", chunks(*running, FINISH)) == TokenUsage(input=35, output=12, reasoning=62)


@pytest.mark.parametrize(
    "after",
    [
        [{"choices": []}],
        [{"choices": [], "usage": None}],
        [{"choices": [], "usage": {}}],
        [content(), {"choices": []}],
        [],
    ],
)
@pytest.mark.parametrize("where", [{"choices": []}, FINISH])
def test_an_empty_chunk_after_the_usage_takes_nothing_away(where: dict[str, Any], after: list[dict[str, Any]]) -> None:
    stream = chunks(content(), FINISH, where | {"usage": counted(9, 4)}, *after)
    assert last_usage("openai_chat", stream) == TokenUsage(input=9, output=4)


def test_two_deltas_of_a_messages_stream_are_totals() -> None:
    def event(kind: str, **body: Any) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **body})}\n\n".encode()

    stream = (
        event("message_start", message={"id": "m", "usage": {"input_tokens": 5, "output_tokens": 1}})
        + event("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 8})
        + event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 20})
        + event("message_stop")
    )
    assert last_usage("anthropic_messages", stream) == TokenUsage(input=5, output=20)


@pytest.mark.parametrize(
    ("reported", "tier"),
    [
        ("", "standard"), ("default", "standard"), ("standard", "standard"), ("auto", "standard"),
        ("on_demand", "standard"), ("priority", "priority"), ("scale", "priority"), ("flex", "flex"),
        ("something new", "standard"),
    ],
)  # fmt: skip
def test_the_tier_that_was_reported_is_billed_not_the_one_asked_for(
    files: CatalogueFiles, reported: str, tier: str
) -> None:
    known = cards(files, "openai/gpt-6.1-sol", "openai")
    exchange = arrived()
    assert exchange.conversation is not None
    exchange.conversation = replace(exchange.conversation, service_tier="priority")
    exchange.deployment = deployment(price_cards=known)
    exchange.delivery = Delivery(service_tier=reported)
    priced = card_for(exchange, TokenUsage(input=10), "wallet", NOON)
    assert priced is not None and priced.card.tier == tier


def test_no_card_is_for_the_tier_auto(files: CatalogueFiles) -> None:
    tiers = {card.tier for model in files.models for offering in model.offerings for card in offering.price_cards}
    assert "auto" not in TIERS and tiers <= set(TIERS)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-20T02:00:00", ("0.3", "1.2")),  # a Friday
        ("2026-11-21T02:00:00", ("0.15", "0.6")),  # a Saturday
        ("2026-10-01T02:00:00", ("0.15", "0.6")),  # a holiday, a Thursday
        ("2026-10-10T02:00:00", ("0.15", "0.6")),  # a Saturday that China works
    ],
)
def test_deepseeks_own_cards_have_peak_hours(files: CatalogueFiles, at: str, expected: tuple[str, str]) -> None:
    assert rates(cards(files, "deepseek/deepseek-v4.1-flash", "deepseek"), at) == expected


@pytest.mark.parametrize(("ended", "rate"), [("2026-11-20T00:59:59", "0.15"), ("2026-11-20T01:00:00", "0.3")])
def test_the_hour_of_completion_decides_not_the_one_of_arrival(files: CatalogueFiles, ended: str, rate: str) -> None:
    exchange = arrived()
    exchange.at = datetime(2026, 11, 20, 0, 50, tzinfo=UTC)
    exchange.deployment = deployment(price_cards=cards(files, "deepseek/deepseek-v4.1-flash", "deepseek"))
    priced = card_for(exchange, TokenUsage(input=10), "wallet", datetime.fromisoformat(ended).replace(tzinfo=UTC))
    assert priced is not None and str(priced.card.rates["input"]) == rate


@pytest.mark.parametrize(
    ("slug", "at", "expected"),
    [
        ("google/gemini-4-argon", "2026-11-30T23:59:59", ("2", "10")),
        ("google/gemini-4-argon", "2026-12-01T00:00:00", ("4", "20")),
        ("google/gemini-3.6-flash", "2026-12-31T23:59:59", ("0.75", "3.75")),
        ("google/gemini-3.6-flash", "2027-01-01T00:00:00", ("1.5", "7.5")),
        ("google/gemini-3.7-flash", "2026-12-31T23:59:59", ("0.75", "3.75")),
        ("google/gemini-3.7-flash", "2027-01-01T00:00:00", ("1.5", "7.5")),
        ("google/gemini-3.8-flash", "2026-12-31T23:59:59", ("0.75", "3.75")),
        ("google/gemini-3.8-flash", "2027-01-01T00:00:00", ("1.5", "7.5")),
    ],
)
def test_announced_changes_begin_on_their_second(
    files: CatalogueFiles, slug: str, at: str, expected: tuple[str, str]
) -> None:
    assert rates(cards(files, slug, "google"), at) == expected


@pytest.mark.parametrize(
    ("slug", "provider", "last", "below", "above"),
    [
        ("openai/gpt-6.1-sol", "openai", 272_000, ("2", "10"), ("4", "15")),
        ("google/gemini-2.5-pro", "google", 200_000, ("1.25", "10"), ("2.5", "15")),
    ],
)
def test_one_token_past_a_step_moves_the_whole_request(
    files: CatalogueFiles, slug: str, provider: str, last: int, below: tuple[str, str], above: tuple[str, str]
) -> None:
    known = cards(files, slug, provider)
    assert rates(known, NOON, size=last) == below
    assert rates(known, NOON, size=last + 1) == above


def test_openai_bills_cache_writes_from_5_6_on_and_earlier_models_as_input(files: CatalogueFiles) -> None:
    checked = 0
    for model in files.models:
        version = model.slug.removeprefix("openai/gpt-").split("-")[0]
        if not model.slug.startswith("openai/gpt-") or not version.replace(".", "").isdigit():
            continue
        for card in cards(files, model.slug, "openai"):
            factor = Decimal("1.25") if Decimal(version) >= Decimal("5.6") else 1
            assert rate_of(card, "cache_write") == card.rates["input"] * factor, (model.slug, card)
            checked += 1
    assert checked >= 40


def test_the_sum_of_both_lifetimes_is_not_a_third_number() -> None:
    report = messages.read_usage(
        {
            "input_tokens": 3,
            "cache_creation_input_tokens": 100,
            "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60},
        }
    )
    assert report is not None
    assert report.usage.prompt_size == 103
    assert (report.usage.cache_write, report.usage.cache_write_long) == (40, 60)


def test_the_deployment_that_answered_is_billed_by_its_own_card() -> None:
    event = answered(arrived(prices=("1", "2", "3")), "p2", TokenUsage(input=1000, output=100))
    assert (event.provider, json.loads(event.rates)["input"], event.markup) == ("p2", "2", "1.05")
    assert event.charge_nanos == 2_310_000


@pytest.mark.parametrize(
    "report", [None, {}, {"usage": None}, {"prompt_tokens": "x"}, {"prompt_tokens": 1.5}, {"prompt_tokens": 0}, []]
)
def test_whatever_is_reported_the_end_of_a_request_can_be_written(report: Any) -> None:
    exchange = arrived()
    exchange.deployment = catalogue(deployment()).models["a/m"].deployments[0]
    exchange.delivery = Delivery(chat.read_usage(report), "", "stop", 12.0, began=True, content=True, complete=True)
    event = charge_of(exchange, share(), judge(exchange), NOON)
    assert event.charge_nanos > 0 and event.usage_source in ("reported", "estimated")


def test_counts_above_the_context_window_are_bounded_and_flagged() -> None:
    report = chat.read_usage({"prompt_tokens": 10**15, "completion_tokens": 1})
    assert report is not None and "clamped" in report.flags
