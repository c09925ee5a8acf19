"""Requests whose charge has several parts: an answer that another provider ended, a second attempt that lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast
from uuid import UUID

import pytest
from django.db import connection, transaction
from redis import Redis
from uuid_utils import uuid7

from accounts.models import Organization
from billing.events import part_id
from billing.models.usage import UnsettledEvent, UsageRecord
from billing.pricing.usage import TokenUsage
from billing.proof import check
from billing.reservation import Reservations, Reserved, Wanted
from gateway import drain
from gateway.attempt import Opened
from gateway.exchange import Delivery, Exchange
from gateway.funding import Funding
from gateway.journal_event import EPOCH_KEY, JournalEvent
from gateway.protocol.reply import UsageReport
from gateway.settlement import _lost_hedge, judge_rest
from gateway.settler import settle_events
from gateway.slices import Slices
from routing.policy.project import ProjectPolicy
from tests.billing.cast import an_event
from tests.gateway.test_drain import append, debited, event
from tests.gateway.test_markup import CONFIG, Purse, arrived, held, share


@pytest.fixture
def redis(redis_url: str, conninfo: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()
        redis.set(EPOCH_KEY, "one")
        yield redis


@pytest.fixture
def organization(redis: Redis) -> Organization:
    return Organization.objects.create(name="Alice")


def in_parts(organization: Organization, *charges: int) -> JournalEvent:
    first = event(organization, charge_nanos=charges[0])
    further = [
        an_event(
            organization.pk, id=part_id(first.id, part), request_id=first.id, part=part, charge_nanos=charge,
            policy="continued",
        )
        for part, charge in enumerate(charges[1:], 1)
    ]  # fmt: skip
    return first._replace(further=tuple(further))


def test_the_id_of_a_part_is_always_the_same_and_as_old_as_its_request() -> None:
    request_id = str(uuid7())
    ids = [part_id(request_id, part) for part in range(4)]
    assert ids[0] == request_id and len(set(ids)) == 4
    assert ids == [part_id(request_id, part) for part in range(4)]
    assert {UUID(id_).int >> 80 for id_ in ids} == {UUID(request_id).int >> 80}
    assert {(UUID(id_).version, UUID(id_).variant) for id_ in ids} == {(7, UUID(request_id).variant)}


def test_parts_survive_the_way_to_bytes_and_back(organization: Organization) -> None:
    one = in_parts(organization, 10, 20, 30)
    assert JournalEvent.from_bytes(one.to_bytes()) == one
    assert [usage.charge_nanos for usage in one.charges] == [10, 20, 30]
    assert one._replace(usage=None, further=()).charges == ()


def test_all_parts_are_charged_once_however_often_they_come(redis: Redis, organization: Organization) -> None:
    one = in_parts(organization, 10, 20, 30)
    append(redis, one, one, event(organization, charge_nanos=5))
    drain.drain(redis)
    append(redis, one)
    drain.drain(redis)
    with transaction.atomic(), connection.cursor() as cursor:
        settle_events(cursor, [one])
    assert UsageRecord.objects.count() == 4
    assert debited(organization) == 65
    assert [row.part for row in UsageRecord.objects.filter(request_id=one.id).order_by("part")] == [0, 1, 2]
    assert check() == []


def test_where_a_part_makes_no_sense_none_is_charged(redis: Redis, organization: Organization) -> None:
    append(redis, in_parts(organization, 10, -20), event(organization))
    drain.drain(redis)
    assert UsageRecord.objects.count() == 1
    assert UnsettledEvent.objects.count() == 1


def rest_of(exchange: Exchange, **facts: Any) -> Exchange:
    exchange.delivery = Delivery(**{"content": True, "text_tokens": 7.0, **facts})
    return exchange


def test_of_the_rest_of_an_answer_only_its_text_is_charged() -> None:
    whole = UsageReport(TokenUsage(input=500, output=30, reasoning=90))
    verdict = judge_rest(rest_of(arrived(), usage=whole, complete=True, finish_reason="stop"))
    assert (verdict.policy, verdict.usage.as_dict(), verdict.source) == ("continued", {"output": 30}, "reported")


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"complete": True},
        {"usage": UsageReport(TokenUsage(input=500, output=30))},
        {"usage": UsageReport(TokenUsage(input=500, output=10**9)), "complete": True},
    ],
)
def test_where_it_has_no_report_to_believe_it_is_estimated(facts: dict[str, Any]) -> None:
    verdict = judge_rest(rest_of(arrived(), **facts))
    assert (verdict.usage.as_dict(), verdict.source) == ({"output": 7}, "estimated")


def lost(exchange: Exchange, usage: UsageReport | None = None) -> Opened:
    assert exchange.plan is not None

    class Lost:
        deployment = exchange.plan.steps[-1].deployment
        step = exchange.plan.steps[-1]

    Lost.usage = usage  # type: ignore[attr-defined]
    return cast(Opened, Lost)


async def hedged(policy: str = "paid") -> Exchange:
    exchange = arrived()
    exchange.policy = ProjectPolicy(hedge=policy)
    exchange.stream = True
    await held(exchange)
    return exchange


async def test_the_hold_covers_the_prompt_of_a_second_attempt() -> None:
    alone, ours, paid = arrived(), await hedged("ours"), await hedged()
    assert await held(alone) == 2_310_000
    assert ours.share is not None and ours.share.nanos == 2_310_000 and not ours.hedge_nanos
    # A prompt of 1,000 tokens at two dollars a million, with the markup.
    assert paid.share is not None and paid.hedge_nanos == 2_100_000
    assert paid.share.nanos == 2_310_000 + paid.hedge_nanos


async def test_a_slice_that_is_there_holds_it_too() -> None:
    class Plenty(Purse):
        async def reserve(self, wanted: Wanted) -> Reserved:
            return Reserved(wanted.hold_id, wanted.wish_nanos, wanted.source, 0, wanted.lifetime_s, None)

    async def recall(_: int) -> None:
        pass

    funding = Funding(Slices(cast(Reservations, Plenty()), longest_s=1.0), CONFIG, recall)
    for _ in range(2):
        exchange = arrived()
        exchange.policy, exchange.stream = ProjectPolicy(hedge="paid"), True
        await funding.hold(exchange)
        assert exchange.share is not None and exchange.share.nanos == 2_310_000 + 2_100_000
        assert exchange.hedge_nanos == 2_100_000


async def test_its_prompt_is_charged_as_reported_else_by_an_estimate() -> None:
    exchange = await hedged()
    estimated = _lost_hedge(exchange, lost(exchange), share(), "")
    assert estimated is not None
    assert (estimated.part, estimated.policy, estimated.usage_source) == (2, "hedge_lost", "estimated")
    assert estimated.usage == {"input": 800, "request": 1}
    assert (estimated.id, estimated.request_id) == (part_id(exchange.id, 2), exchange.id)
    told = _lost_hedge(exchange, lost(exchange, UsageReport(TokenUsage(input=600, output=9))), share(), "")
    assert told is not None and told.usage == {"input": 600, "request": 1} and told.usage_source == "reported"


async def test_it_is_never_charged_more_than_was_held_for_it() -> None:
    exchange = await hedged()
    told = _lost_hedge(exchange, lost(exchange, UsageReport(TokenUsage(input=3_000))), share(), "")
    assert told is not None and told.usage_source == "estimated" and told.charge_nanos <= exchange.hedge_nanos
    exchange.hedge_nanos = told.charge_nanos - 1
    assert _lost_hedge(exchange, lost(exchange), share(), "") is None


async def test_at_our_cost_nothing_is_charged_for_it() -> None:
    exchange = await hedged("ours")
    assert _lost_hedge(exchange, lost(exchange), share(), "") is None
