"""The single, repeatable end of a request: price, put into the journal, count."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import cast

from billing.events import UsageEvent
from billing.pricing.price import Charge, price
from billing.pricing.rates import RateCard, choose_card
from billing.pricing.usage import TokenUsage
from gateway.exchange import NOTHING, Exchange
from gateway.journal import Journal
from gateway.journal_event import JournalEvent
from observability import metrics
from observability.records import Outcome, RequestRecord, UsageSource

# What providers call the tiers, against the names that price cards use.
_TIERS = {"": "standard", "default": "standard", "auto": "standard", "on_demand": "standard", "scale": "priority"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is charged, and by which published rule."""

    policy: str
    usage: TokenUsage
    source: UsageSource
    flags: tuple[str, ...] = ()


def judge(exchange: Exchange) -> Verdict:
    """Apply the rules that customers can read. Pure: looks at the exchange alone."""
    delivery = exchange.delivery
    report = delivery.usage
    if report is not None and not report.usage.prompt_size + report.usage.output_size:
        report = None  # an answer takes tokens: none at all is no count
    finished = delivery.complete and bool(delivery.finish_reason)
    generated = report is not None and report.usage.output_size > 0
    if exchange.client_left and not delivery.began:
        return Verdict("left_before_answer_free", NOTHING, "none")
    if exchange.status >= 400 and not delivery.content and not exchange.client_left:
        return Verdict("failed_free", NOTHING, "none")
    if not finished and not generated and not delivery.content and not exchange.client_left:
        return Verdict("empty_free", NOTHING, "none")
    if report is not None and delivery.complete:
        return Verdict("left" if exchange.client_left else "answered", report.usage, "reported", report.flags)
    estimate = _estimate(exchange)
    if exchange.client_left:
        return Verdict("left", estimate, "estimated")
    return Verdict("unreported" if delivery.complete else "broken_off", estimate, "estimated")


def _estimate(exchange: Exchange) -> TokenUsage:
    """What was delivered: input as the provider said at the start, else ours without its safety margin."""
    report = exchange.delivery.usage
    written = round(exchange.delivery.text_tokens)
    if report is not None and report.usage.prompt_size:
        return replace(report.usage, output=max(written, report.usage.output))
    return TokenUsage(input=round(exchange.prompt_tokens / 1.25), output=written)


def card_for(exchange: Exchange, usage: TokenUsage, at: datetime) -> RateCard | None:
    """The card that bills this usage: of the tier that the provider reported, at the moment of completion."""
    assert exchange.deployment is not None and exchange.catalogue is not None
    tier = exchange.delivery.service_tier
    return choose_card(
        exchange.deployment.price_cards,
        at=at,
        tier=_TIERS.get(tier, tier),
        prompt_size=usage.prompt_size,
        holidays=exchange.catalogue.holidays,
    )


def markup_of(exchange: Exchange) -> Decimal:
    """The factor that was in force when the request arrived: the hold was reckoned with the same one."""
    if exchange.deployment is None or exchange.catalogue is None or exchange.caller is None:
        return Decimal(1)
    return exchange.catalogue.markup(exchange.deployment, exchange.at, exchange.caller.organization_id)


def charge_of(exchange: Exchange) -> tuple[UsageEvent, Charge | None] | None:
    """The usage event of this exchange, or None where no credit was held."""
    if exchange.held_nanos is None or exchange.caller is None or exchange.plan is None:
        return None
    assert exchange.catalogue is not None
    verdict = judge(exchange)
    at = datetime.now(UTC)
    charge: Charge | None = None
    card: RateCard | None = None
    units = exchange.catalogue.units_per_usd(exchange.deployment.currency, at) if exchange.deployment else None
    markup = markup_of(exchange)
    if verdict.source != "none" and exchange.deployment is not None and units is not None:
        card = card_for(exchange, verdict.usage, at)
        if card is not None:
            charge = price(verdict.usage, card, units_per_usd=units, markup=markup)
    event = UsageEvent(
        id=exchange.id,
        request_id=exchange.id,
        part=0,
        organization_id=exchange.caller.organization_id,
        project_id=exchange.caller.project_id,
        api_key_id=exchange.caller.api_key_id,
        model=exchange.plan.model.slug,
        provider=exchange.deployment.provider if exchange.deployment else "",
        usage=verdict.usage.as_dict(),
        usage_source=verdict.source,
        usage_flags=verdict.flags,
        policy=verdict.policy,
        price_card_id=card.id if card else None,
        rates={name: str(rate) for name, rate in card.rates.items()} if card else {},
        rate_currency=exchange.deployment.currency if exchange.deployment else "USD",
        units_per_usd=str(units or 1),
        markup=f"{markup.normalize():f}",
        charge_nanos=charge.total_nanos if charge else 0,
        currency="USD",
        hold_id=exchange.id,
        occurred_at=at,
    )
    return event, charge


def _outcome(exchange: Exchange) -> Outcome:
    if exchange.client_left:
        return "client_left"
    if exchange.status < 400 and not exchange.error_code:
        return "answered"
    return "refused" if exchange.status < 500 and not exchange.attempts else "failed"


def record_of(exchange: Exchange, event: UsageEvent | None) -> RequestRecord | None:
    """The log row of this exchange; None for a request whose sender is unknown."""
    caller = exchange.caller
    if caller is None:
        return None
    usage = TokenUsage.from_dict(event.usage) if event and event.usage_source != "none" else NOTHING
    asked = exchange.conversation.model if exchange.conversation else ""
    first = exchange.first_token_s
    return RequestRecord(
        id=exchange.id,
        created_at=exchange.at,
        organization_id=caller.organization_id,
        project_id=caller.project_id,
        api_key_id=caller.api_key_id,
        endpoint=exchange.endpoint,
        model_requested=asked if exchange.plan else "",  # only a name that the catalogue knows is kept
        model=exchange.plan.model.slug if exchange.plan else "",
        provider=exchange.deployment.provider if exchange.deployment else "",
        outcome=_outcome(exchange),
        status=exchange.status,
        error_code=exchange.error_code,
        finish_reason=exchange.delivery.finish_reason,
        stream=bool(exchange.conversation and exchange.conversation.stream),
        input_tokens=usage.prompt_size,
        cache_read_tokens=usage.cache_read + usage.cache_read_audio,
        cache_write_tokens=usage.cache_write + usage.cache_write_long,
        output_tokens=usage.output_size,
        reasoning_tokens=usage.reasoning,
        usage_source=cast(UsageSource, event.usage_source) if event else "",
        charge_nanos=event.charge_nanos if event else 0,
        currency="USD",
        policy=event.policy if event else "",
        first_token_ms=None if first is None else int(first * 1000),
        duration_ms=int(exchange.elapsed_s() * 1000),
        overhead_us=int(exchange.overhead_s() * 1_000_000),
        attempt_count=len(exchange.attempts),
    )


async def finish(exchange: Exchange, journal: Journal) -> None:
    """Put the end of this exchange down, once. Returns when it is in the journal."""
    if exchange.finished:
        return
    priced = charge_of(exchange)
    event = priced[0] if priced else None
    exchange.charge_nanos = event.charge_nanos if event else 0
    record = record_of(exchange, event)
    exchange.finished = True  # only now: what raises above may be called again, and nothing above waits
    if record is None:
        return
    metrics.observe_request(record, exchange.attempts)
    await journal.append(JournalEvent(usage=event, request=record, attempts=tuple(exchange.attempts)))
