"""Questions about the charged records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import F, Q, QuerySet

from billing.models.usage import UsageRecord
from billing.pricing.price import Charge, ChargeLine
from billing.pricing.rates import InvalidRateCard
from billing.receipts.document import RECORD_COLUMNS, Json, receipt_document, recompute


@dataclass(frozen=True, slots=True)
class ReceiptPart:
    """One charge, computed again from what its record keeps.

    `lines` are not rounded; `waived_nanos` is what the rule did not charge, so lines − waived = charge once rounded.
    """

    lines: tuple[ChargeLine, ...]
    waived_nanos: int
    charge_nanos: int
    currency: str
    rate_currency: str
    units_per_usd: Decimal
    markup: Decimal
    policy: str
    usage_source: str
    usage_flags: tuple[str, ...]
    price_card_id: int | None
    hold_id: UUID | None
    transfer_id: UUID | None
    occurred_at: datetime
    settled_at: datetime


@dataclass(frozen=True, slots=True)
class Receipt:
    """Everything that was charged for one request."""

    request_id: UUID
    charge_nanos: int
    parts: tuple[ReceiptPart, ...]


def receipt_of(request_id: UUID) -> Receipt | None:
    """The charge of a request with every multiplication. None when nothing was recorded for it."""
    records = _of_request(request_id).order_by("part")
    parts = tuple(_part(record) for record in records)
    return Receipt(request_id, sum(part.charge_nanos for part in parts), parts) if parts else None


def _of_request(request_id: UUID) -> QuerySet[UsageRecord]:
    """Its parts: the first has its id, further ones are in an index of their own."""
    return UsageRecord.objects.filter(Q(id=request_id) | Q(~Q(id=F("request_id")), request_id=request_id))


def _part(record: UsageRecord) -> ReceiptPart:
    computed = _charge_again(record)
    return ReceiptPart(
        lines=computed.lines,
        waived_nanos=computed.total_nanos - record.charge_nanos,
        charge_nanos=record.charge_nanos,
        currency=record.currency,
        rate_currency=record.rate_currency,
        units_per_usd=Decimal(record.units_per_usd),
        markup=Decimal(record.markup),
        policy=record.policy,
        usage_source=record.usage_source,
        usage_flags=tuple(record.usage_flags),
        price_card_id=record.price_card_id,
        hold_id=record.hold_id,
        transfer_id=record.transfer_id,
        occurred_at=record.occurred_at,
        settled_at=record.settled_at,
    )


def _charge_again(record: UsageRecord) -> Charge:
    kept = {"usage": record.usage, "rates": record.rates, "price_card_id": record.price_card_id}
    try:
        return recompute({**kept, "units_per_usd": record.units_per_usd, "markup": record.markup})
    except InvalidRateCard:  # a request without usage may have been recorded without rates
        return Charge(record.charge_nanos, ())


def receipt_document_of(
    request_id: UUID, attempts: Sequence[Mapping[str, Any]], *, organization_id: int, project_ids: Iterable[int]
) -> Json | None:
    """The unsigned receipt with these attempts, rows by column name.

    None when nothing was recorded for the request in these projects of the organization.
    """
    records = _of_request(request_id).filter(organization_id=organization_id, project_id__in=project_ids)
    found = list(records.values(*RECORD_COLUMNS))
    return receipt_document(request_id, found, attempts, issuer=settings.PUBLIC_URL) if found else None


def card_has_billed(card_id: int) -> bool:
    """Whether a charge refers to this price card, which must then never change."""
    return UsageRecord.objects.filter(price_card_id=card_id).exists()
