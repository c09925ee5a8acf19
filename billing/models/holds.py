"""Credit set aside before an answer."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Hold(models.Model):
    """A lease of credit to one gateway process, for one request or many.

    `remaining_nanos` of what the wallet and the windows hold belong to it. While open: amount less what was settled.
    Once the process has given it back (returned): what it spent, within the amount, less what was settled. Done or
    swept: zero.
    """

    class State(models.TextChoices):
        OPEN = "open", _("Open")
        RETURNED = "returned", _("Returned")
        DONE = "done", _("Done")
        SWEPT = "swept", _("Swept")

    class Source(models.TextChoices):
        WALLET = "wallet", _("Wallet")
        PLAN = "plan", _("Plan")
        OVERFLOW = "overflow", _("Wallet, beyond the plan")

    id = models.UUIDField(primary_key=True, editable=False)
    account = models.ForeignKey("billing.LedgerAccount", on_delete=models.PROTECT, related_name="holds", db_index=False)
    organization_id = models.BigIntegerField()
    project_id = models.BigIntegerField(null=True)  # set where a budget made it a lease for one project or key
    api_key_id = models.BigIntegerField(null=True)
    source = models.CharField(_("source"), max_length=8, choices=Source, default=Source.WALLET, db_default="wallet")
    window_ids = ArrayField(models.BigIntegerField(), default=list, db_default=[])
    overflow_allowed = models.BooleanField(default=False, db_default=False)  # an excess may go to the wallet
    epoch = models.BigIntegerField(default=0, db_default=0)
    settled_nanos = models.BigIntegerField(_("settled"), default=0, db_default=0)
    settled_count = models.BigIntegerField(default=0, db_default=0)
    returned_nanos = models.BigIntegerField(null=True)  # what its process says it spent
    returned_count = models.BigIntegerField(null=True)
    amount_nanos = models.BigIntegerField(_("amount"))
    remaining_nanos = models.BigIntegerField(_("remaining"))
    currency = models.CharField(_("currency"), max_length=3, default="USD")
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.OPEN)
    created_at = models.DateTimeField(_("created at"))
    expires_at = models.DateTimeField(_("expires at"))
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)

    class Meta:
        verbose_name = _("hold")
        verbose_name_plural = _("holds")
        indexes = [
            models.Index(
                fields=["expires_at"], name="open_holds_by_expiry", condition=Q(state__in=["open", "returned"])
            ),
            models.Index(fields=["account"], name="open_holds_by_account", condition=Q(state__in=["open", "returned"])),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(amount_nanos__gte=0), name="hold_amount_not_negative"),
            models.CheckConstraint(
                condition=Q(remaining_nanos__gte=0, remaining_nanos__lte=models.F("amount_nanos")),
                name="hold_remaining_within_amount",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount_nanos} {self.state}"


class JournalShard(models.Model):
    """How far the journal has been settled: everything of `epoch` up to the entry (`last_ms`, `last_seq`).

    `settled_to` is the time up to which every event that was appended is settled, by the database's clock.
    """

    shard = models.PositiveSmallIntegerField(primary_key=True)
    epoch = models.CharField(max_length=64, default="")
    last_ms = models.BigIntegerField(default=0)
    last_seq = models.BigIntegerField(default=0)
    settled_to = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("journal shard")
        verbose_name_plural = _("journal shards")

    def __str__(self) -> str:
        return f"{self.shard} {self.last_ms}-{self.last_seq}"
