"""Factors on list prices, made by staff."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from routing.models.catalogue import Model, Provider

if TYPE_CHECKING:
    from accounts.models import Organization


class MarkupRule(models.Model):
    """A factor on list prices, made by staff. The most specific one in force counts; `billing.pricing.markup` chooses.

    One that has begun has billed: a trigger lets only its end and its note change, and the end never into the past.
    """

    class Scope(models.TextChoices):
        GLOBAL = "global", _("Everything")
        PROVIDER = "provider", _("A provider")
        MODEL = "model", _("A model")
        ORGANIZATION = "organization", _("An organization")

    scope = models.CharField(_("applies to"), max_length=12, choices=Scope, default=Scope.GLOBAL)
    provider = models.ForeignKey(
        Provider,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="markup_rules",
        verbose_name=_("provider"),
    )
    model = models.ForeignKey(
        Model, on_delete=models.PROTECT, null=True, blank=True, related_name="markup_rules", verbose_name=_("model")
    )
    organization = models.ForeignKey(
        "accounts.Organization",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="markup_rules",
        verbose_name=_("organization"),
    )
    factor = models.DecimalField(
        _("factor"),
        max_digits=6,
        decimal_places=4,
        validators=[MinValueValidator(Decimal("0.0001")), MaxValueValidator(Decimal(10))],
        help_text=_("On the list price: 1.05 is five percent on top, 0.9 ten percent off."),
    )
    valid_from = models.DateTimeField(_("valid from"))
    valid_until = models.DateTimeField(_("valid until"), null=True, blank=True)
    note = models.CharField(_("note"), max_length=300, blank=True, default="")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        verbose_name=_("created by"),
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("markup rule")
        verbose_name_plural = _("markup rules")
        ordering = ["-valid_from", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(scope="global", provider=None, model=None, organization=None)
                | Q(scope="provider", provider__isnull=False, model=None, organization=None)
                | Q(scope="model", provider=None, model__isnull=False, organization=None)
                | Q(scope="organization", provider=None, model=None, organization__isnull=False),
                name="markup_has_the_target_of_its_scope",
            ),
            models.CheckConstraint(condition=Q(factor__gt=0, factor__lte=10), name="markup_factor_in_range"),
            models.CheckConstraint(
                condition=Q(valid_until=None) | Q(valid_until__gt=models.F("valid_from")),
                name="markup_ends_after_start",
            ),
        ]

    def __str__(self) -> str:
        return f"× {self.factor.normalize():f} · {self.target or self.get_scope_display()}"

    @property
    def target(self) -> Provider | Model | Organization | None:
        return self.provider or self.model or self.organization
