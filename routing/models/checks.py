"""What staff and the worker do about providers: tiny requests that try them, and catalogues offered for review."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from routing.models.catalogue import Credential, Deployment


class Check(models.Model):
    """One tiny real request to a deployment. Holds figures and words of ours, never content."""

    class Kind(models.TextChoices):
        TEST = "test", _("Test by staff")
        PROBE = "probe", _("Probe")

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="checks")
    credential = models.ForeignKey(Credential, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    kind = models.CharField(_("kind"), max_length=8, choices=Kind)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)
    status = models.PositiveSmallIntegerField(_("status"), null=True, blank=True)  # HTTP; empty: no answer
    error_class = models.CharField(_("error class"), max_length=32, blank=True, default="")
    first_token_ms = models.PositiveIntegerField(_("first token (ms)"), null=True, blank=True)
    total_ms = models.PositiveIntegerField(_("total (ms)"), null=True, blank=True)
    output_tokens = models.PositiveIntegerField(_("output tokens"), default=0)
    cost_nanos = models.BigIntegerField(_("cost"), default=0)  # ours, at list price, in nano-USD

    class Meta:
        verbose_name = _("check")
        verbose_name_plural = _("checks")
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["deployment", "-created_at"], name="check_latest"),
            models.Index(fields=["kind", "created_at"], name="check_by_day"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} · {self.deployment_id}"

    @property
    def went_well(self) -> bool:
        return self.ended_at is not None and not self.error_class


class ProbePlan(models.Model):
    """One row: how much synthetic probes may cost a day, and how often a deployment without news is probed."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    budget_nanos = models.BigIntegerField(_("budget per day"), default=0, validators=[MinValueValidator(0)])
    every_minutes = models.PositiveIntegerField(
        _("every so many minutes"), default=30, validators=[MinValueValidator(5)]
    )

    class Meta:
        verbose_name = _("probe plan")
        verbose_name_plural = _("probe plans")
        constraints = [models.CheckConstraint(condition=models.Q(budget_nanos__gte=0), name="probes_never_earn")]

    def __str__(self) -> str:
        return f"{self.budget_nanos} / {self.every_minutes} min"


class CatalogueUpload(models.Model):
    """Catalogue files that were offered, and what of them staff took over. `files` by name, as they were read."""

    source = models.CharField(_("source"), max_length=120)
    files = models.JSONField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    applied = models.JSONField(_("taken over"), default=list)  # keys of `routing.loading.review`, in their order
    applied_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    applied_at = models.DateTimeField(_("taken over at"), null=True, blank=True)

    class Meta:
        verbose_name = _("catalogue upload")
        verbose_name_plural = _("catalogue uploads")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.source
