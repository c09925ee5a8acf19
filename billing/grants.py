"""Granted credit: given by staff with a reason, or to a new organization as a trial."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils.translation import gettext_noop

from accounts.announce import announce_organization
from accounts.models import Organization, User
from billing import ledger
from billing.ledger import AccountName, Cursor, NewTransfer
from billing.pricing.money import usd_to_nanos


class OtherGrant(ValueError):
    """The idempotency key was used for another amount or organization. Nothing was granted now."""


def grant_credit(
    organization: Organization,
    amount_nanos: int,
    *,
    reason: str,
    created_by: User | None = None,
    idempotency_key: str,
    expires_at: datetime | None = None,
) -> UUID:
    """Add credit to the organization's wallet; returns the transfer's id. The same key grants once.

    What is left of it at `expires_at` goes away. Gateways that have just refused for want of credit hear of it.

    Raises ValueError for an amount that is not above zero or a missing reason, and OtherGrant when the key has already
    granted something else.
    """
    if amount_nanos <= 0:
        raise ValueError("a grant must be above zero")
    if not reason.strip():
        raise ValueError("a grant needs a reason")
    transfer = NewTransfer(
        kind="grant",
        idempotency_key=f"grant:{idempotency_key}",
        legs=ledger.move(AccountName("grants"), AccountName("wallet", organization.pk), amount_nanos),
        organization_id=organization.pk,
        reason=reason.strip(),
        created_by_id=None if created_by is None else created_by.pk,
        expires_at=expires_at,
    )
    with transaction.atomic(), connection.cursor() as cur:
        if ledger.post(cur, [transfer]):
            announce_organization(organization.pk)
        elif not _granted(cur, transfer.id, organization.pk, amount_nanos):
            raise OtherGrant("this key has already granted something else")
    return transfer.id


def _granted(cur: Cursor, transfer_id: UUID, organization_id: int, amount_nanos: int) -> bool:
    cur.execute(
        "SELECT 1 FROM billing_entry e JOIN billing_ledgeraccount a ON a.id = e.account_id"
        " WHERE e.transfer_id = %s AND a.kind = 'wallet' AND a.organization_id = %s AND e.amount_nanos = %s",
        [transfer_id, organization_id, amount_nanos],
    )
    return bool(cur.fetchall())


def grant_trial_credit(organization: Organization) -> None:
    """What a new organization starts with (`TRIAL_CREDIT_USD`, "0" for nothing). Safe to repeat."""
    with transaction.atomic(), connection.cursor() as cur:
        ledger.ensure_wallet(cur, organization.pk)
    amount_nanos = usd_to_nanos(Decimal(settings.TRIAL_CREDIT_USD))
    if amount_nanos:
        grant_credit(
            organization, amount_nanos, reason=gettext_noop("Trial credit"), idempotency_key=f"trial:{organization.pk}"
        )
