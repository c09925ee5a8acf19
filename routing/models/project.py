"""How a project wants to be routed. `routing/project_settings.py` writes these rows."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class ProjectRouting(models.Model):
    """One row for each project that has changed anything.

    `compiled` is the whole policy as the gateway reads it, rules included: JSON of `ProjectPolicy`, written with every
    change together with a higher `version`. Lists of names are patterns with `*`; an empty one means all.
    """

    class Preset(models.TextChoices):
        BALANCED = "balanced", _("Balanced")
        CHEAPEST = "cheapest", _("Cheapest")
        FASTEST = "fastest", _("Fastest")
        BEST = "best", _("Best")
        CUSTOM = "custom", _("Custom")

    class Hedge(models.TextChoices):
        OFF = "", _("Off")
        OURS = "ours", _("On, at our cost")
        PAID = "paid", _("On, you pay for both attempts")

    class StreamFailure(models.TextChoices):
        ERROR = "error", _("End with an error")
        CONTINUE = "continue", _("Let another provider go on")

    project = models.OneToOneField("accounts.Project", on_delete=models.CASCADE, related_name="routing")
    preset = models.CharField(_("preset"), max_length=12, choices=Preset, default=Preset.BALANCED)
    # Only the proportions count.
    latency_weight = models.PositiveSmallIntegerField(_("speed"), default=35, validators=[MaxValueValidator(100)])
    cost_weight = models.PositiveSmallIntegerField(_("cost"), default=35, validators=[MaxValueValidator(100)])
    quality_weight = models.PositiveSmallIntegerField(_("quality"), default=30, validators=[MaxValueValidator(100)])
    allowed_models = models.JSONField(_("only these models"), default=list, blank=True)
    denied_models = models.JSONField(_("never these models"), default=list, blank=True)
    allowed_providers = models.JSONField(_("only these providers"), default=list, blank=True)
    denied_providers = models.JSONField(_("never these providers"), default=list, blank=True)
    regions = models.JSONField(_("only these regions"), default=list, blank=True)
    no_training = models.BooleanField(_("nobody who trains on data"), default=False)
    zero_retention = models.BooleanField(_("nobody who keeps data"), default=False)
    # Nano-USD per million tokens, per request, per image.
    max_price_prompt_nanos = models.BigIntegerField(_("most per million tokens in"), null=True, blank=True)
    max_price_completion_nanos = models.BigIntegerField(_("most per million tokens out"), null=True, blank=True)
    max_price_request_nanos = models.BigIntegerField(_("most per request"), null=True, blank=True)
    max_price_image_nanos = models.BigIntegerField(_("most per image"), null=True, blank=True)
    same_family_fallback = models.BooleanField(_("a relative may answer"), default=False)
    larger_context_fallback = models.BooleanField(_("a larger context may answer"), default=True)
    cache_affinity = models.BooleanField(_("conversations stay where their cache is"), default=True)
    exploration = models.BooleanField(_("take part in exploration"), default=True)
    hedge = models.CharField(_("second attempt"), max_length=8, choices=Hedge, default=Hedge.OFF, blank=True)
    stream_failure = models.CharField(
        _("when a stream breaks"), max_length=10, choices=StreamFailure, default=StreamFailure.ERROR
    )
    aliases = models.JSONField(_("own names of models"), default=dict, blank=True)  # lower-case name -> public id
    version = models.PositiveIntegerField(default=0, editable=False)
    compiled = models.TextField(default="", editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, editable=False, related_name="+"
    )

    class Meta:
        verbose_name = _("project routing")
        verbose_name_plural = _("project routing")
        constraints = [
            models.CheckConstraint(
                condition=Q(latency_weight__gt=0) | Q(cost_weight__gt=0) | Q(quality_weight__gt=0),
                name="routing_weighs_something",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.project_id} · {self.preset} · v{self.version}"


class RoutingRule(models.Model):
    """The first enabled one that matches counts. `match` and `action` are JSON of what `routing.policy.rules` has."""

    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="routing_rules")
    position = models.PositiveSmallIntegerField(_("position"))
    name = models.CharField(_("name"), max_length=80)
    enabled = models.BooleanField(_("enabled"), default=True)
    match = models.JSONField(_("match"), default=dict, blank=True)
    action = models.JSONField(_("action"), default=dict, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("routing rule")
        verbose_name_plural = _("routing rules")
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "position"], name="one_rule_per_position", deferrable=models.Deferrable.DEFERRED
            ),
        ]

    def __str__(self) -> str:
        return self.name
