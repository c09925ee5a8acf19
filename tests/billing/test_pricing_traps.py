"""Tables from the catalogue's list of traps, on its own rates."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing.pricing.price import price
from billing.pricing.rates import InvalidRateCard, RateCard, choose_card, rate_of
from billing.pricing.usage import TokenUsage

ONE = Decimal(1)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOLIDAYS = {"cn": frozenset({date(2026, 10, 1)})}
PEAK = {
    "name": "deepseek-peak",
    "timezone": "UTC",
    "windows": [["01:00", "04:00"], ["06:00", "10:00"]],
    "weekdays": [1, 2, 3, 4, 5],
    "except_holidays": "cn",
    "at": "completion",
}
IDLE = {"timezone": "UTC", "windows": [["14:00", "00:00"]], "weekdays": [1, 2, 3, 4, 5, 6, 7], "except_holidays": None}
NIGHT = {"timezone": "UTC", "windows": [["22:00", "06:00"]], "weekdays": [5], "except_holidays": None}


def card(card_id: int = 1, *, tier: str = "standard", minimum: int = 0, **values: Any) -> RateCard:
    rates = {key: Decimal(value) for key, value in values.pop("rates", {"input": "2", "output": "10"}).items()}
    dates = {"valid_from": None, "valid_until": None, "schedule": None} | values
    return RateCard(id=card_id, tier=tier, min_prompt_tokens=minimum, rates=rates, **dates)


def chosen(cards: list[RateCard], *, at: datetime = NOON, tier: str = "standard", prompt_size: int = 100) -> int | None:
    found = choose_card(cards, at=at, tier=tier, prompt_size=prompt_size, holidays=HOLIDAYS)
    return None if found is None else found.id


def nanos(usage: TokenUsage, on: RateCard, *, units: Decimal = ONE, markup: Decimal = ONE) -> int:
    return price(usage, on, units_per_usd=units, markup=markup).total_nanos


def test_the_same_cached_prompt_costs_the_same_in_both_shapes() -> None:
    rates = card(rates={"input": "2", "output": "10", "cache_read": "0.2"})
    openai = TokenUsage(input=1000 - 800, cache_read=800, output=10)
    anthropic = TokenUsage(input=200, cache_read=800, output=10)
    assert nanos(openai, rates) == nanos(anthropic, rates) == 200 * 2000 + 800 * 200 + 10 * 10_000


@pytest.mark.parametrize(("reported", "expected"), [("priority", 2), ("default", 1), ("standard", 1), ("auto", 1)])
def test_a_tier_without_a_card_pays_the_standard_one(reported: str, expected: int) -> None:
    assert chosen([card(1), card(2, tier="priority")], tier=reported) == expected


def test_a_tier_whose_card_has_ended_pays_the_standard_one() -> None:
    assert chosen([card(1), card(2, tier="flex", valid_until=NOON)], tier="flex") == 1


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-20T02:00:00", 2),  # a Friday
        ("2026-11-20T00:59:59", 1),
        ("2026-11-20T03:59:59", 2),
        ("2026-11-20T04:00:00", 1),
        ("2026-11-20T06:00:00", 2),
        ("2026-11-20T10:00:00", 1),
        ("2026-11-21T02:00:00", 1),  # a Saturday
        ("2026-10-01T02:00:00", 1),  # a holiday, a Thursday
        ("2026-10-10T02:00:00", 1),  # a Saturday that China works: the published rule still says weekend
    ],
)
def test_deepseek_peak_hours(at: str, expected: int) -> None:
    cards = [card(1), card(2, schedule=PEAK)]
    assert chosen(cards, at=datetime.fromisoformat(at).replace(tzinfo=UTC)) == expected


@pytest.mark.parametrize(
    ("schedule", "at", "expected"),
    [
        (IDLE, "2026-11-20T13:59:59", 1),
        (IDLE, "2026-11-20T14:00:00", 2),
        (IDLE, "2026-11-20T23:59:59", 2),
        (IDLE, "2026-11-21T00:00:00", 1),
        (NIGHT, "2026-11-20T23:00:00", 2),  # Friday night …
        (NIGHT, "2026-11-21T05:59:00", 2),  # … lasts until Saturday morning
        (NIGHT, "2026-11-20T05:00:00", 1),  # and Friday morning belongs to Thursday
        (NIGHT, "2026-11-21T23:00:00", 1),
        (PEAK | {"timezone": "Asia/Shanghai"}, "2026-11-19T18:30:00", 2),  # Friday 02:30 there
    ],
)
def test_windows_that_reach_midnight_or_pass_it(schedule: dict[str, Any], at: str, expected: int) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert chosen([card(1), card(2, schedule=schedule)], at=moment) == expected


@pytest.mark.parametrize(
    ("at", "rate_in", "rate_out"), [("2026-11-30T23:59:59", 2, 10), ("2026-12-01T00:00:00", 4, 20)]
)
def test_a_dated_price_change_is_exact_to_the_second(at: str, rate_in: int, rate_out: int) -> None:
    change = datetime(2026, 12, 1, tzinfo=UTC)
    cards = [
        card(1, valid_until=change),
        card(2, valid_from=change, rates={"input": "4", "output": "20"}),
    ]
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    found = choose_card(cards, at=moment, tier="standard", prompt_size=1)
    assert found is not None
    assert (rate_of(found, "input"), rate_of(found, "output")) == (rate_in, rate_out)


@pytest.mark.parametrize(
    ("fresh", "cached", "expected"),
    [(272_000, 0, 272_000 * 2_000), (272_001, 0, 272_001 * 4_000), (1, 272_000, 4_000 + 272_000 * 200)],
)
def test_past_a_length_step_every_token_pays_the_higher_rate(fresh: int, cached: int, expected: int) -> None:
    cards = [
        card(1, rates={"input": "2", "output": "10", "cache_read": "0.1"}),
        card(2, minimum=272_001, rates={"input": "4", "output": "15", "cache_read": "0.2"}),
    ]
    usage = TokenUsage(input=fresh, cache_read=cached, output=100)
    found = choose_card(cards, at=NOON, tier="standard", prompt_size=usage.prompt_size)
    assert found is not None
    assert nanos(usage, found) == expected + 100 * (15_000 if usage.prompt_size > 272_000 else 10_000)


def test_a_live_schedule_beats_a_longer_step_without_one() -> None:
    at = datetime(2026, 11, 20, 2, tzinfo=UTC)
    assert chosen([card(1, minimum=50), card(2, schedule=PEAK)], at=at) == 2


def test_nothing_is_chosen_below_every_step_or_outside_all_dates() -> None:
    assert chosen([card(1, minimum=101)]) is None
    assert chosen([card(1, valid_from=datetime(2027, 1, 1, tzinfo=UTC))]) is None


def test_cache_writes_cost_extra_only_where_the_card_says_so() -> None:
    usage = TokenUsage(cache_write=1_000)
    assert nanos(usage, card(rates={"input": "2", "output": "10", "cache_write": "2.5"})) == 2_500_000
    assert nanos(usage, card(rates={"input": "2", "output": "10"})) == 2_000_000


def test_the_two_lifetimes_of_cache_writes_are_two_buckets() -> None:
    rates = card(rates={"input": "3", "output": "15", "cache_write": "3.75", "cache_write_long": "6"})
    assert nanos(TokenUsage(cache_write=100, cache_write_long=200), rates) == 100 * 3_750 + 200 * 6_000


@pytest.mark.parametrize(
    ("bucket", "rates", "expected"),
    [
        ("input_audio", {}, "2"),
        ("input_audio", {"input_audio": "32"}, "32"),
        ("cache_read", {}, "2"),
        ("cache_read_audio", {"cache_read": "0.5"}, "0.5"),
        ("cache_read_audio", {}, "2"),
        ("cache_write", {}, "2"),
        ("cache_write_long", {"cache_write": "2.5"}, "2.5"),
        ("cache_write_long", {}, "2"),
        ("reasoning", {}, "10"),
        ("reasoning", {"reasoning": "40"}, "40"),
        ("output_audio", {}, "10"),
        ("output_image", {"output_image": "60"}, "60"),
        ("web_search", {}, "0"),
        ("request", {}, "0"),
        ("cache_read", {"cache_read": "0"}, "0"),
    ],
)
def test_missing_rates_fall_back(bucket: str, rates: dict[str, str], expected: str) -> None:
    assert rate_of(card(rates={"input": "2", "output": "10"} | rates), bucket) == Decimal(expected)


@pytest.mark.parametrize(
    "rates", [{"input": "1"}, {"output": "1"}, {"input": "-1", "output": "1"}, {"input": "NaN", "output": "1"}]
)
def test_a_card_without_its_two_rates_is_refused(rates: dict[str, str]) -> None:
    with pytest.raises(InvalidRateCard):
        nanos(TokenUsage(input=1, output=1), card(rates=rates))


def test_searches_and_requests_are_priced_per_thousand() -> None:
    rates = card(rates={"input": "2", "output": "10", "web_search_per_1k": "10", "request_per_1k": "5"})
    charge = price(TokenUsage(web_search=3), rates, units_per_usd=ONE, markup=ONE)
    assert charge.total_nanos == 3 * 10_000_000 + 5_000_000
    assert [line.bucket for line in charge.lines] == ["web_search", "request"]


def test_a_free_search_is_still_a_line() -> None:
    assert [line.bucket for line in price(TokenUsage(web_search=2), card(), units_per_usd=ONE, markup=ONE).lines] == [
        "web_search"
    ]


def test_yuan_and_markup_are_rounded_once_at_the_end() -> None:
    rates = card(rates={"input": "1", "output": "1"})
    charge = price(TokenUsage(input=1, output=1), rates, units_per_usd=Decimal("7.12"), markup=Decimal("1.1"))
    # 2 tokens: 2 * 1000 / 7.12 * 1.1 = 308.98…; two roundings would give 154 + 154 = 308.
    assert charge.total_nanos == 309


@pytest.mark.parametrize(("rate", "expected"), [("0.0005", 1), ("0.0004999", 0), ("0.0015", 2)])
def test_a_half_nano_rounds_up(rate: str, expected: int) -> None:
    assert nanos(TokenUsage(input=1), card(rates={"input": rate, "output": "1"})) == expected


@pytest.mark.parametrize(("units", "markup"), [("0", "1"), ("-1", "1"), ("1", "-0.1"), ("NaN", "1")])
def test_a_senseless_factor_is_refused(units: str, markup: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        nanos(TokenUsage(input=1), card(), units=Decimal(units), markup=Decimal(markup))


@pytest.mark.parametrize("count", [-1, 1.0, "1", True, None])
def test_usage_takes_only_whole_numbers(count: Any) -> None:
    with pytest.raises(ValueError, match="input"):
        TokenUsage(input=count)


def test_usage_survives_its_dictionary_and_sizes_add_up() -> None:
    usage = TokenUsage(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
    assert TokenUsage.from_dict(usage.as_dict()) == usage
    assert (usage.prompt_size, usage.output_size) == (21, 34)
    assert TokenUsage.from_dict(usage._replace(request=0).as_dict()).request == 0
    with pytest.raises(ValueError, match="surprise"):
        TokenUsage.from_dict({"surprise": 1})
