"""The single, repeatable end of a request: price, put into the journal, count."""

from __future__ import annotations

import asyncio
import math
from copy import copy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import orjson

from accounts.caller import Caller
from billing.events import UsageEvent, part_id
from billing.pricing.money import NANOS_PER_USD
from billing.pricing.usage import TokenUsage
from gateway.exchange import NOTHING, Delivery, Exchange
from gateway.journal_event import JournalEvent
from gateway.plausible import doubt, is_believable
from gateway.price_book import Priced
from gateway.protocol.reply import UsageReport
from gateway.slices import Share
from observability import metrics
from observability.records import Outcome, RequestRecord, UsageSource, names_of_request

if TYPE_CHECKING:
    from gateway.attempt import Opened
    from gateway.services import Services

_FEW = 2  # requests at the same time: they won't end in the same moment
_ROUNDING = 1e-6  # of a sum of many pieces
# What providers call the tiers, against the names that price cards use.
_TIERS = {"": "standard", "default": "standard", "auto": "standard", "on_demand": "standard", "scale": "priority"}
NO_FLAGS: tuple[str, ...] = ()


class Verdict(NamedTuple):
    """What is charged, and by which published rule."""

    policy: str
    usage: TokenUsage
    source: UsageSource
    flags: tuple[str, ...] = ()


def judge(exchange: Exchange) -> Verdict:
    """Apply the rules that customers can read. Pure: looks at the exchange alone."""
    delivery = exchange.delivery
    report, flags = delivery.usage, NO_FLAGS
    if report is not None and not is_believable(exchange, report):
        flags = doubt(report)
        report = None
    finished = delivery.complete and bool(delivery.finish_reason)
    generated = report is not None and report.usage.output_size > 0
    if exchange.waived and not delivery.content:
        return Verdict("superseded_free", NOTHING, "none")
    if exchange.client_left and not delivery.began:
        return Verdict("left_before_answer_free", NOTHING, "none")
    if exchange.status >= 400 and not delivery.content and not exchange.client_left:
        return Verdict("failed_free", NOTHING, "none")
    if not finished and not generated and not delivery.content and not exchange.client_left:
        return Verdict("empty_free", NOTHING, "none")
    if report is not None and delivery.complete:
        return Verdict("left" if exchange.client_left else "answered", report.usage, "reported", report.flags)
    estimate = _estimate(exchange, report)
    if exchange.client_left:
        return Verdict("left", estimate, "estimated", flags)
    return Verdict("unreported" if delivery.complete else "broken_off", estimate, "estimated", flags)


def judge_rest(exchange: Exchange) -> Verdict:
    """Of an answer with which another provider went on: the text that it brought. That it was sent the request again,
    and thought again, is our cost."""
    delivery = exchange.delivery
    report, flags = delivery.usage, NO_FLAGS
    if report is not None and not is_believable(exchange, report):
        flags = doubt(report)
        report = None
    if report is not None and delivery.complete:
        return Verdict("continued", TokenUsage(output=report.usage.output, request=0), "reported", report.flags)
    return Verdict("continued", TokenUsage(output=_written(delivery), request=0), "estimated", flags)


def _estimate(exchange: Exchange, report: UsageReport | None) -> TokenUsage:
    """What was delivered: input as the provider said at the start, else ours without its safety margin."""
    written = _written(exchange.delivery)
    if report is not None and report.usage.prompt_size:
        return report.usage._replace(output=max(written, report.usage.output))
    return TokenUsage(input=round(exchange.prompt_tokens / 1.25), output=written)


def _written(delivery: Delivery) -> int:
    """The estimate of what was delivered, in whole tokens: at least one for any text."""
    return math.ceil(delivery.text_tokens - _ROUNDING)


def card_for(
    exchange: Exchange, usage: TokenUsage, source: str, at: datetime, prompt_size: int | None = None
) -> Priced | None:
    """The price that bills this usage: of the tier that the provider reported and the card in force at completion, with
    the markup of when the request arrived. `prompt_size`: of the request, where its prompt is not in this usage."""
    caller, deployment, prices = exchange.caller, exchange.deployment, exchange.prices
    assert caller is not None and deployment is not None and prices is not None
    payer = None if source == "plan" else caller.organization_id  # plans pay list prices
    markup = prices.catalogue.markup(deployment, exchange.at, payer)
    tier = exchange.delivery.service_tier
    size = usage.prompt_size if prompt_size is None else prompt_size
    return prices.card(deployment, tier=_TIERS.get(tier, tier), prompt_size=size, markup=markup, now=at)


def charge_of(
    exchange: Exchange,
    share: Share,
    verdict: Verdict,
    at: datetime,
    *,
    arrived: str | None = None,
    prompt_size: int | None = None,
) -> UsageEvent:
    """The usage event of this exchange, which ended `at`. `arrived` is the text of `exchange.at`, where it is known;
    `prompt_size` as in `card_for`."""
    caller, model, deployment = exchange.caller, exchange.model, exchange.deployment
    assert caller is not None and model is not None
    usage, source = verdict.usage, share.slice.source
    priced = card_for(exchange, usage, source, at, prompt_size) if deployment is not None else None
    units_text = markup_text = "1"
    charge = 0
    if priced is not None:
        units_text, markup_text = priced.units_text, priced.markup_text
        if verdict.source != "none":
            charge = priced.nanos(usage)
    card_id, rates = None, "{}"
    if priced is not None and verdict.source != "none":
        card_id, rates = priced.card.id, priced.rates_text
    return UsageEvent(
        exchange.id,
        exchange.id,
        0,  # the part
        caller.organization_id,
        caller.project_id,
        caller.api_key_id,
        model.slug,
        deployment.provider if deployment is not None else "",
        usage.as_dict(),
        verdict.source,
        list(verdict.flags),
        verdict.policy,
        card_id,
        rates,
        deployment.currency if deployment is not None else "USD",
        units_text,
        markup_text,
        charge,
        share.slice.id,
        source,
        arrived or exchange.at.isoformat(),
        at.isoformat(),
    )


def trace_of(exchange: Exchange) -> str | None:
    """What became of the decision, as JSON: who was passed over at the last moment, and the attempts."""
    if exchange.plan is None:
        return None
    trace: dict[str, object] = {"attempts": [tuple(attempt) for attempt in exchange.attempts]}
    if exchange.skipped:
        trace["skipped"] = exchange.skipped
    return orjson.dumps(trace).decode()


def _outcome(exchange: Exchange) -> Outcome:
    if exchange.client_left:
        return "client_left"
    if exchange.status < 400 and not exchange.error_code:
        return "answered"
    return "refused" if exchange.status < 500 and not exchange.attempts else "failed"


def record_of(
    exchange: Exchange, caller: Caller, event: UsageEvent | None, usage: TokenUsage, arrived: str
) -> RequestRecord:
    """The log row of this exchange."""
    first = exchange.first_token_s
    elapsed = exchange.elapsed_s()
    model, deployment, plan = exchange.model, exchange.deployment, exchange.plan
    source, charge, policy = "", 0, ""
    if event is not None:
        source, charge, policy = event.usage_source, exchange.charge_nanos, event.policy
    words = names_of_request(
        exchange.endpoint,
        exchange.model_asked if model is not None else "",  # only a name that the catalogue knows is kept
        model.slug if model is not None else "",
        deployment.provider if deployment is not None else "",
        exchange.error_code,
        exchange.delivery.finish_reason,
        policy,
    )
    endpoint, asked, slug, provider, error_code, finish_reason, policy = words
    return RequestRecord._make(
        (
            exchange.id,
            arrived,
            caller.organization_id,
            caller.project_id,
            caller.api_key_id,
            endpoint,
            asked,
            slug,
            provider,
            _outcome(exchange),
            exchange.status,
            error_code,
            finish_reason,
            exchange.stream,
            usage.prompt_size,
            usage.cache_read + usage.cache_read_audio,
            usage.cache_write + usage.cache_write_long,
            usage.output_size,
            usage.reasoning,
            source,
            charge,
            policy,
            None if first is None else int(first * 1000),
            int(elapsed * 1000),
            max(0, int((elapsed - exchange.upstream_s) * 1_000_000)),
            len(exchange.attempts),
            trace_of(exchange),
            None if plan is None else plan.trace.decode(),
        )
    )


def _rest_of(exchange: Exchange, share: Share, first: UsageEvent, arrived: str) -> tuple[UsageEvent, TokenUsage]:
    """The charge of the part with which another provider went on behind `first`, and the usage of both together."""
    before = TokenUsage.from_dict(first.usage)
    verdict = judge_rest(exchange)
    event = charge_of(
        exchange, share, verdict, datetime.now(UTC), arrived=arrived, prompt_size=before.prompt_size
    )._replace(id=part_id(exchange.id, 1), part=1)
    return event, before._replace(output=before.output + verdict.usage.output)


def _lost_hedge(exchange: Exchange, lost: Opened, share: Share, arrived: str) -> UsageEvent | None:
    """The charge for the prompt of an attempt that another one beat, which the project chose to pay for.

    None where it would be more than was held for it, or no price is known: that is our cost.
    """
    if exchange.policy.hedge != "paid":
        return None
    other = copy(exchange)
    other.deployment, other.model, other.delivery = lost.deployment, lost.step.model, Delivery()
    estimate = Verdict("hedge_lost", TokenUsage(input=round(exchange.prompt_tokens / 1.25)), "estimated")
    verdicts = [estimate]
    report = lost.usage
    if report is not None and report.usage.prompt_size and is_believable(other, report):
        prompt = report.usage._replace(output=0, reasoning=0, output_audio=0, output_image=0, web_search=0)
        verdicts.insert(0, Verdict("hedge_lost", prompt, "reported", report.flags))
    for verdict in verdicts:
        event = charge_of(other, share, verdict, datetime.now(UTC), arrived=arrived)
        if event.price_card_id is not None and event.charge_nanos <= exchange.hedge_nanos:
            return event._replace(id=part_id(exchange.id, 2), part=2)
    return None


def finish(exchange: Exchange, services: Services) -> asyncio.Future[None] | None:
    """Put the end of this exchange down, once. The future is done when it is in the journal; None: nothing to wait for.

    Does not wait itself: it may be called again after a crash in it, and never charges twice.
    """
    if exchange.finished:
        return None
    caller, share = exchange.caller, exchange.share
    if caller is None:
        exchange.finished = True
        return None
    event: UsageEvent | None = None
    further: tuple[UsageEvent, ...] = ()
    usage = NOTHING
    arrived = exchange.at.isoformat()
    if share is not None:
        if exchange.earlier is None:
            verdict = judge(exchange)
            event = charge_of(exchange, share, verdict, datetime.now(UTC), arrived=arrived)
            usage = verdict.usage if verdict.source != "none" else NOTHING
            exchange.charge_nanos = event.charge_nanos
            if verdict.source == "estimated":
                exchange.usage_told = usage
        else:
            event = exchange.earlier
            rest, usage = _rest_of(exchange, share, event, arrived)
            further = (rest,)
            exchange.usage_told = usage
            exchange.charge_nanos = event.charge_nanos + rest.charge_nanos
        if exchange.hedge_lost is not None and event.usage_source != "none":
            lost = _lost_hedge(exchange, exchange.hedge_lost, share, arrived)
            if lost is not None:
                further = (*further, lost)
                exchange.charge_nanos += lost.charge_nanos
    record = record_of(exchange, caller, event, usage, arrived)
    if exchange.earlier is not None:
        record = record._replace(policy=further[0].policy)
    exchange.finished = True
    exchange.usage_extra["cost"] = exchange.charge_nanos / NANOS_PER_USD
    if share is not None:
        services.slices.end(share, exchange.charge_nanos, events=1 + len(further))
    if exchange.rate is not None:
        services.limiter.done(exchange.id, usage.prompt_size + usage.output_size)
    metrics.observe_request(record, exchange.attempts)
    return services.journal.append(
        caller.organization_id, JournalEvent(record, event, further), at_once=metrics.running() <= _FEW
    )
