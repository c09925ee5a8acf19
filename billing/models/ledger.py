"""The double-entry ledger. Written by `billing.ledger` alone; rows are never changed or deleted."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class LedgerAccount(models.Model):
    """A place where money is. `posted_nanos`: running sum of its entries; `held_nanos`: what open holds reserve."""

    class Kind(models.TextChoices):
        WALLET = "wallet", _("Wallet")
        REVENUE = "revenue", _("Usage revenue")
        GRANTS = "grants", _("Granted credit")
        TOPUPS = "topups", _("Top-ups received")
        ABSORBED = "absorbed", _("Absorbed by us")
        PLANS = "plans", _("Plans sold")

    kind = models.CharField(_("kind"), max_length=16, choices=Kind)
    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.PROTECT, null=True, blank=True, related_name="ledger_accounts"
    )
    currency = models.CharField(_("currency"), max_length=3, default="USD")
    posted_nanos = models.BigIntegerField(_("posted"), default=0)
    held_nanos = models.BigIntegerField(_("held"), default=0)
    # Of a wallet: raised by what must stop running slices (suspension, chargeback, change of plan).
    epoch = models.BigIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("ledger account")
        verbose_name_plural = _("ledger accounts")
        permissions = [("grant_credit", _("Can grant credit"))]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "kind", "currency"], name="one_account_per_kind", nulls_distinct=False
            ),
            models.CheckConstraint(condition=Q(held_nanos__gte=0), name="held_not_negative"),
            models.CheckConstraint(
                condition=Q(kind="wallet", organization__isnull=False)
                | (~Q(kind="wallet") & Q(organization__isnull=True)),
                name="wallets_belong_to_organizations",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.organization_id or '–'} {self.currency}"


class Transfer(models.Model):
    """One business fact that moved money. Its entries sum to zero per currency."""

    class Kind(models.TextChoices):
        GRANT = "grant", _("Granted credit")
        USAGE = "usage", _("Usage")
        TOPUP = "topup", _("Top-up")
        ADJUSTMENT = "adjustment", _("Adjustment")
        REFUND = "refund", _("Refund")
        PLAN = "plan", _("Plan")
        EXPIRY = "expiry", _("Expired credit")
        CHARGEBACK = "chargeback", _("Chargeback")

    id = models.UUIDField(primary_key=True, editable=False)
    kind = models.CharField(_("kind"), max_length=16, choices=Kind)
    idempotency_key = models.CharField(_("idempotency key"), max_length=120, unique=True)
    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    reason = models.CharField(_("reason"), max_length=300, blank=True, default="")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("transfer")
        verbose_name_plural = _("transfers")

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class Entry(models.Model):
    """One side of a transfer. A positive amount adds to the account."""

    transfer = models.ForeignKey(Transfer, on_delete=models.PROTECT, related_name="entries")
    account = models.ForeignKey(LedgerAccount, on_delete=models.PROTECT, related_name="entries")
    amount_nanos = models.BigIntegerField(_("amount"))
    balance_after_nanos = models.BigIntegerField(_("balance after"))
    currency = models.CharField(_("currency"), max_length=3, default="USD")
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("entry")
        verbose_name_plural = _("entries")
        indexes = [models.Index(fields=["account", "-id"], name="entry_by_account")]
        constraints = [models.CheckConstraint(condition=~Q(amount_nanos=0), name="entry_not_zero")]

    def __str__(self) -> str:
        return f"{self.amount_nanos} {self.currency} nano"


class CreditLot(models.Model):
    """A part of a wallet with a kind and an end. Usage burns granted before bought, and what ends sooner first.

    The lots' `remaining_nanos` of a wallet sum to its posted balance, or to zero where that is below zero.
    """

    class Kind(models.TextChoices):
        GRANTED = "granted", _("Granted")
        BOUGHT = "bought", _("Bought")

    organization_id = models.BigIntegerField()
    kind = models.CharField(_("kind"), max_length=8, choices=Kind)
    amount_nanos = models.BigIntegerField(_("amount"))
    remaining_nanos = models.BigIntegerField(_("remaining"))
    transfer = models.OneToOneField(Transfer, on_delete=models.PROTECT, related_name="lot")
    created_at = models.DateTimeField(_("created at"))
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    expiry_held_nanos = models.BigIntegerField(default=0)  # held in the wallet from the end until it is posted
    expired_at = models.DateTimeField(_("expired at"), null=True, blank=True)  # the expiry has been posted

    class Meta:
        verbose_name = _("credit lot")
        verbose_name_plural = _("credit lots")
        indexes = [
            models.Index(fields=["organization_id"], name="lots_with_credit", condition=Q(remaining_nanos__gt=0)),
            models.Index(fields=["expires_at"], name="lots_to_expire", condition=Q(expired_at=None)),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(remaining_nanos__gte=0, remaining_nanos__lte=models.F("amount_nanos")),
                name="lot_remaining_within_amount",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.remaining_nanos}"
