"""The charged record of each request, kept for ever; and events that could not be settled."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class UsageRecord(models.Model):
    """What was charged for one part of one request, with everything needed to compute it again.

    Names a model by its public id, never by key: the catalogue changes, history stays.
    """

    id = models.UUIDField(primary_key=True, editable=False)  # the event's UUIDv7
    request_id = models.UUIDField()
    part = models.PositiveSmallIntegerField(default=0)
    organization_id = models.BigIntegerField()
    project_id = models.BigIntegerField()
    api_key_id = models.BigIntegerField()
    model = models.CharField(_("model"), max_length=160)
    provider = models.CharField(_("provider"), max_length=64)
    usage = models.JSONField(_("usage"))  # bucket -> tokens, disjoint, non-negative
    usage_source = models.CharField(max_length=12)  # reported | estimated | none
    usage_flags = models.JSONField(default=list)  # names of the corrections that were made
    policy = models.CharField(_("rule"), max_length=32)  # the rule that customers can read
    price_card_id = models.BigIntegerField(null=True)
    rates = models.JSONField(_("rates"))  # bucket -> decimal string per million tokens, in `rate_currency`
    rate_currency = models.CharField(max_length=3, default="USD")
    units_per_usd = models.CharField(max_length=32, default="1")
    markup = models.CharField(max_length=32, default="1")
    charge_nanos = models.BigIntegerField(_("charge"))
    currency = models.CharField(_("currency"), max_length=3, default="USD")
    source = models.CharField(max_length=8, default="wallet", db_default="wallet")  # wallet | plan | overflow
    # No constraints in the database: a million rows a day would each look their rows up again.
    hold = models.ForeignKey(
        "billing.Hold", on_delete=models.DO_NOTHING, null=True, related_name="+", db_index=False, db_constraint=False
    )
    transfer = models.ForeignKey(
        "billing.Transfer",
        on_delete=models.DO_NOTHING,
        null=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    occurred_at = models.DateTimeField(_("time"))
    settled_at = models.DateTimeField(_("settled at"), auto_now_add=True)

    class Meta:
        verbose_name = _("usage record")
        verbose_name_plural = _("usage records")
        constraints = [
            # The id is a function of (request, part), so the primary key is what makes a charge unique.
            models.CheckConstraint(
                condition=models.Q(part__gt=0) | models.Q(id=models.F("request_id")), name="first_part_is_the_request"
            ),
            models.CheckConstraint(condition=models.Q(charge_nanos__gte=0), name="charge_not_negative"),
        ]
        indexes = [
            models.Index(fields=["organization_id", "-id"], name="usage_by_organization"),
            models.Index(fields=["price_card_id"], name="usage_by_price_card"),
            # Of a first part the id is enough.
            models.Index(fields=["request_id"], name="further_parts", condition=~models.Q(id=models.F("request_id"))),
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.charge_nanos}"


class UsageExcess(models.Model):
    """The part of a plan's charge that went beyond the plan's windows: to the wallet, or absorbed by us."""

    usage = models.OneToOneField(UsageRecord, on_delete=models.DO_NOTHING, primary_key=True, related_name="excess")
    wallet_nanos = models.BigIntegerField(default=0)
    absorbed_nanos = models.BigIntegerField(default=0)
    transfer = models.ForeignKey("billing.Transfer", on_delete=models.PROTECT, related_name="+")

    class Meta:
        verbose_name = _("charge beyond the plan")
        verbose_name_plural = _("charges beyond the plan")

    def __str__(self) -> str:
        return f"{self.usage_id} {self.wallet_nanos} {self.absorbed_nanos}"


class ProofRun(models.Model):
    """One check of the whole ledger."""

    started_at = models.DateTimeField(_("started at"))
    finished_at = models.DateTimeField(_("finished at"))
    problems = models.JSONField(_("problems"), default=list)
    figures = models.JSONField(_("figures"), default=dict)

    class Meta:
        verbose_name = _("proof")
        verbose_name_plural = _("proofs")

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M} {len(self.problems)}"


class UnsettledEvent(models.Model):
    """A journal event that settlement refused. Its hold stays open until staff have looked at it."""

    id = models.UUIDField(primary_key=True, editable=False)
    event = models.JSONField()
    error_class = models.CharField(max_length=120)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("unsettled event")
        verbose_name_plural = _("unsettled events")

    def __str__(self) -> str:
        return f"{self.id} {self.error_class}"
