"""Credit set aside before an answer."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Hold(models.Model):
    """`remaining_nanos` of the account's `held_nanos` belong to this hold; zero once it is closed."""

    class State(models.TextChoices):
        OPEN = "open", _("Open")
        SETTLED = "settled", _("Settled")
        SWEPT = "swept", _("Swept")

    id = models.UUIDField(primary_key=True, editable=False)
    account = models.ForeignKey("billing.LedgerAccount", on_delete=models.PROTECT, related_name="holds")
    organization_id = models.BigIntegerField()
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
        indexes = [models.Index(fields=["expires_at"], name="open_holds_by_expiry", condition=Q(state="open"))]
        constraints = [
            models.CheckConstraint(condition=Q(amount_nanos__gte=0), name="hold_amount_not_negative"),
            models.CheckConstraint(
                condition=Q(remaining_nanos__gte=0, remaining_nanos__lte=models.F("amount_nanos")),
                name="hold_remaining_within_amount",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount_nanos} {self.state}"
