"""What happened: metadata of each request. No column can hold a prompt, an answer or a provider's words."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class RequestLog(models.Model):
    """One row per request, in partitions by time: `partitions.py` makes them ahead and drops the old ones."""

    class Outcome(models.TextChoices):
        ANSWERED = "answered", _("Answered")
        CLIENT_LEFT = "client_left", _("Client left")
        FAILED = "failed", _("Failed")
        REFUSED = "refused", _("Refused")

    id = models.UUIDField(primary_key=True, editable=False)  # the request id, a UUIDv7
    created_at = models.DateTimeField(_("time"))
    organization_id = models.BigIntegerField()
    project_id = models.BigIntegerField()
    api_key_id = models.BigIntegerField()
    endpoint = models.CharField(_("endpoint"), max_length=64)  # the client's dialect
    model_requested = models.CharField(_("asked for"), max_length=160, blank=True, default="")  # known names only
    model = models.CharField(_("model"), max_length=160, blank=True, default="")
    provider = models.CharField(_("provider"), max_length=64, blank=True, default="")
    outcome = models.CharField(_("result"), max_length=12, choices=Outcome)
    status = models.SmallIntegerField(_("status"))
    error_code = models.CharField(_("error"), max_length=64, blank=True, default="")
    finish_reason = models.CharField(_("finish"), max_length=64, blank=True, default="")
    stream = models.BooleanField(_("streamed"), default=False)
    input_tokens = models.BigIntegerField(default=0)  # everything read, cached included
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)  # everything generated, reasoning included
    reasoning_tokens = models.BigIntegerField(default=0)
    usage_source = models.CharField(max_length=12, blank=True, default="")
    charge_nanos = models.BigIntegerField(_("charged"), default=0)
    policy = models.CharField(max_length=64, blank=True, default="")
    first_token_ms = models.IntegerField(null=True)
    duration_ms = models.IntegerField(default=0)
    overhead_us = models.IntegerField(default=0)
    attempt_count = models.SmallIntegerField(default=0)
    trace = models.JSONField(null=True)  # the attempts and why these: `records.attempts_in`

    class Meta:
        verbose_name = _("request log")
        verbose_name_plural = _("request logs")
        indexes = [
            models.Index(fields=["project_id", "id"], name="log_of_project"),
            models.Index(fields=["api_key_id", "id"], name="log_of_key"),
            # What one looks for is rare among what went well; these stay small, and cost nothing where all goes well.
            models.Index(
                fields=["project_id", "outcome", "id"],
                name="log_of_project_by_outcome",
                condition=Q(outcome__in=["client_left", "failed", "refused"]),
            ),
            models.Index(
                fields=["project_id", "status", "id"], name="log_of_project_by_status", condition=Q(status__gte=400)
            ),
            models.Index(fields=["project_id", "id"], name="log_of_failovers", condition=Q(attempt_count__gt=1)),
        ]

    def __str__(self) -> str:
        return str(self.id)


class UsageHour(models.Model):
    """Sums per hour, so that pages never scan the log. No index holds a sum: adding to one touches its row alone."""

    hour = models.DateTimeField()
    organization_id = models.BigIntegerField()
    project_id = models.BigIntegerField()
    api_key_id = models.BigIntegerField()
    model = models.CharField(max_length=160)
    provider = models.CharField(max_length=64)
    requests = models.BigIntegerField(default=0)
    answered = models.BigIntegerField(default=0)
    failed_over = models.BigIntegerField(default=0)  # answered after more than one attempt
    input_tokens = models.BigIntegerField(default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    charge_nanos = models.BigIntegerField(default=0)
    currency = models.CharField(max_length=3, db_default="USD")
    first_token_ms_sum = models.BigIntegerField(default=0)
    first_token_count = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("usage per hour")
        verbose_name_plural = _("usage per hour")
        constraints = [
            models.UniqueConstraint(
                fields=["organization_id", "hour", "project_id", "api_key_id", "model", "provider"],
                name="one_row_per_hour",
            )
        ]
        indexes = [
            models.Index(fields=["api_key_id", "hour"], name="hours_of_key"),
            models.Index(fields=["organization_id", "model", "provider", "hour"], name="hours_of_model"),
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H} {self.model}"


class UsageDay(models.Model):
    """One day of one organization in one time zone whose hours are added up in `sums`. Only `rollups.py` makes them.

    A day that has none, or a stale one, is read from its hours: it may be missing, but it is never wrong.
    """

    organization_id = models.BigIntegerField()
    zone = models.CharField(max_length=64)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()  # the first moment after it
    stale = models.BooleanField(default=False)  # an hour of it has changed since

    class Meta:
        verbose_name = "usage per day"
        verbose_name_plural = "usage per day"
        constraints = [
            models.UniqueConstraint(fields=["organization_id", "zone", "starts_at"], name="one_row_per_day"),
        ]
        indexes = [models.Index(fields=["id"], name="stale_days", condition=Q(stale=True))]

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d %H:%M} {self.zone}"


class UsageDaySum(models.Model):
    """Sums of a day by one of the dimensions of an hour; each dimension adds up to the same whole."""

    day = models.ForeignKey(UsageDay, models.CASCADE, related_name="sums", db_index=False)
    dimension = models.CharField(max_length=16)  # the name of UsageHour's column
    project_id = models.BigIntegerField()
    name = models.CharField(max_length=160)  # what stands in that column, as text
    requests = models.BigIntegerField()
    answered = models.BigIntegerField()
    failed_over = models.BigIntegerField()
    input_tokens = models.BigIntegerField()
    cache_read_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    charge_nanos = models.BigIntegerField()
    first_token_ms_sum = models.BigIntegerField()
    first_token_count = models.BigIntegerField()

    class Meta:
        verbose_name = "sums of a day"
        verbose_name_plural = "sums of days"
        constraints = [
            models.UniqueConstraint(fields=["day", "dimension", "project_id", "name"], name="one_sum_per_name"),
        ]

    def __str__(self) -> str:
        return f"{self.dimension} {self.name}"
