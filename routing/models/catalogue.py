"""The catalogue: providers, our credentials there, models, deployments and their price cards."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _


class Dialect(models.TextChoices):
    OPENAI_CHAT = "openai_chat", "OpenAI Chat Completions"
    OPENAI_RESPONSES = "openai_responses", "OpenAI Responses"
    ANTHROPIC_MESSAGES = "anthropic_messages", "Anthropic Messages"
    GEMINI_GENERATE = "gemini_generate", "Gemini generateContent"
    OPENAI_EMBEDDINGS = "openai_embeddings", "OpenAI Embeddings"


class Provider(models.Model):
    """A company or host whose API we call."""

    class OnLeave(models.TextChoices):
        STOP = "stop", _("Stop the upstream")
        READ_ON = "read_on", _("Read on for the usage report")

    slug = models.SlugField(_("slug"), max_length=64, unique=True)
    name = models.CharField(_("name"), max_length=120)
    kind = models.CharField(_("kind"), max_length=32, blank=True, default="")
    region = models.CharField(_("region"), max_length=32, blank=True, default="")
    currency = models.CharField(_("currency"), max_length=3, default="USD")
    base_urls = models.JSONField(_("base URLs"), default=dict)  # dialect -> URL, {name} placeholders allowed
    url_variables = models.JSONField(_("URL variables"), default=dict, blank=True)  # fills the placeholders
    auth = models.CharField(_("authentication"), max_length=64, default="bearer")
    api_key_env = models.CharField(_("environment variable of the credential"), max_length=80, blank=True, default="")
    extra_headers = models.JSONField(_("extra headers"), default=dict, blank=True)
    on_client_leave = models.CharField(_("when the client leaves"), max_length=8, choices=OnLeave, default=OnLeave.STOP)
    mainland_china_access = models.BooleanField(_("reachable from mainland China"), null=True, blank=True)
    cache_write_ttl = models.JSONField(default=dict, blank=True)
    pricing_page = models.URLField(_("price page"), max_length=300, blank=True, default="")
    notes = models.TextField(_("notes"), blank=True, default="")
    is_sandbox = models.BooleanField(_("sandbox"), default=False)
    # Nobody knows where these are empty, and a project that minds is not served by it.
    trains_on_data = models.BooleanField(_("trains on what it is sent"), null=True, blank=True)
    zero_retention = models.BooleanField(_("keeps nothing of it"), null=True, blank=True)
    # Draining: it gets no new requests; those that run go on.
    drained_at = models.DateTimeField(_("draining since"), null=True, blank=True, editable=False)
    drain_reason = models.CharField(_("why"), max_length=200, blank=True, default="", db_default="", editable=False)
    enabled = models.BooleanField(_("enabled"), default=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("provider")
        verbose_name_plural = _("providers")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Credential(models.Model):
    """Our key at a provider, encrypted at rest. Those of one provider share its requests by weight.

    One that was replaced has weight 0 and an end: until then it serves where its successor cannot.
    """

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="credentials")
    name = models.CharField(_("name"), max_length=80, default="default")
    secret_encrypted = models.BinaryField(editable=False)
    last_four = models.CharField(_("last four"), max_length=4, blank=True, default="", editable=False)
    weight = models.PositiveSmallIntegerField(
        _("weight"), default=1, db_default=1, help_text=_("Its share of the requests. 0: only where the others cannot.")
    )
    valid_until = models.DateTimeField(_("valid until"), null=True, blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    disabled_reason = models.CharField(_("why disabled"), max_length=200, blank=True, default="", db_default="")
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("credential")
        verbose_name_plural = _("credentials")
        constraints = [models.UniqueConstraint(fields=["provider", "name"], name="one_credential_per_name")]

    def __str__(self) -> str:
        return f"{self.provider} · {self.name} · …{self.last_four}"


class Model(models.Model):
    """What a client asks for by its public id."""

    class Status(models.TextChoices):
        ACTIVE = "active", _("Active")
        DEPRECATED = "deprecated", _("Deprecated")
        RETIRED = "retired", _("Retired")

    slug = models.CharField(_("public id"), max_length=160, unique=True)
    name = models.CharField(_("name"), max_length=160)
    author = models.CharField(_("author"), max_length=64)
    description = models.TextField(_("description"), blank=True, default="")
    released = models.DateField(_("released"), null=True, blank=True)
    status = models.CharField(_("status"), max_length=12, choices=Status, default=Status.ACTIVE)
    context_length = models.PositiveIntegerField(_("context length"), null=True, blank=True)
    max_output_tokens = models.PositiveIntegerField(_("output limit"), null=True, blank=True)
    input_modalities = models.JSONField(_("input"), default=list)
    output_modalities = models.JSONField(_("output"), default=list)
    capabilities = models.JSONField(_("capabilities"), default=dict, blank=True)
    quality_index = models.FloatField(_("quality index"), null=True, blank=True)
    quality = models.JSONField(default=dict, blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("model")
        verbose_name_plural = _("models")
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.slug


class ModelAlias(models.Model):
    """Another name for a model. With `withdrawn` set it answers 404 and names the successor instead."""

    name = models.CharField(_("name"), max_length=160)
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="aliases", null=True, blank=True)
    successor = models.CharField(_("successor"), max_length=160, blank=True, default="")
    withdrawn = models.DateField(_("withdrawn on"), null=True, blank=True)

    class Meta:
        verbose_name = _("model alias")
        verbose_name_plural = _("model aliases")
        constraints = [
            models.UniqueConstraint(Lower("name"), name="alias_unique_without_case"),
            models.CheckConstraint(
                condition=Q(model__isnull=False, successor="") | (Q(model__isnull=True) & ~Q(successor="")),
                name="alias_of_a_model_or_of_a_withdrawn_name",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Deployment(models.Model):
    """One model at one provider."""

    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, related_name="deployments")
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="deployments")
    upstream_id = models.CharField(_("upstream id"), max_length=200)
    dialect = models.CharField(_("protocol"), max_length=24, choices=Dialect)
    other_dialects = models.JSONField(_("other protocols"), default=list, blank=True)
    base_url = models.CharField(_("base URL"), max_length=300, blank=True, default="")  # empty: the provider's
    context_length = models.PositiveIntegerField(_("context length"), null=True, blank=True)
    max_output_tokens = models.PositiveIntegerField(_("output limit"), null=True, blank=True)
    status = models.CharField(_("status"), max_length=12, choices=Model.Status, default=Model.Status.ACTIVE)
    retires_on = models.DateField(_("retires on"), null=True, blank=True)
    currency = models.CharField(_("currency"), max_length=3, default="USD")
    priority = models.PositiveSmallIntegerField(_("priority"), default=100)  # lower is tried first
    price_source = models.CharField(max_length=64, blank=True, default="")
    cross_check = models.CharField(max_length=16, blank=True, default="")
    as_of = models.DateField(_("price as of"), null=True, blank=True)
    note = models.TextField(_("note"), blank=True, default="")
    # Where these are empty the provider's hold.
    region = models.CharField(_("region"), max_length=32, blank=True, default="", db_default="")
    trains_on_data = models.BooleanField(_("trains on what it is sent"), null=True, blank=True)
    zero_retention = models.BooleanField(_("keeps nothing of it"), null=True, blank=True)
    drained_at = models.DateTimeField(_("draining since"), null=True, blank=True, editable=False)
    drain_reason = models.CharField(_("why"), max_length=200, blank=True, default="", db_default="", editable=False)
    enabled = models.BooleanField(_("enabled"), default=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("deployment")
        verbose_name_plural = _("deployments")
        ordering = ["priority", "id"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "model", "upstream_id"], name="one_deployment_per_upstream_id")
        ]

    def __str__(self) -> str:
        return f"{self.model_id} @ {self.provider_id} ({self.upstream_id})"


class PriceCard(models.Model):
    """A complete set of rates under conditions. Rates are decimal strings in the deployment's currency per million."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="price_cards")
    valid_from = models.DateTimeField(_("valid from"), null=True, blank=True)
    valid_until = models.DateTimeField(_("valid until"), null=True, blank=True)
    tier = models.CharField(_("tier"), max_length=16, default="standard")
    min_prompt_tokens = models.PositiveIntegerField(_("from prompt tokens"), default=0)
    schedule = models.JSONField(_("schedule"), null=True, blank=True)
    rates = models.JSONField(_("rates"))
    # Set when a card that had billed was closed and this one took over: then `valid_from` is the moment of the change.
    replaces = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, blank=True, editable=False, related_name="replaced_by"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("price card")
        verbose_name_plural = _("price cards")
        ordering = ["deployment_id", "tier", "min_prompt_tokens", "valid_from"]

    def __str__(self) -> str:
        return f"{self.tier} ≥{self.min_prompt_tokens}"


class HolidayCalendar(models.Model):
    """Public holidays that price schedules name, such as "cn"."""

    name = models.CharField(_("name"), max_length=32, unique=True)
    covers_through = models.DateField(_("covers through"), null=True, blank=True)
    dates = models.JSONField(_("dates"), default=list)  # ISO dates
    source = models.CharField(_("source"), max_length=160, blank=True, default="")

    class Meta:
        verbose_name = _("holiday calendar")
        verbose_name_plural = _("holiday calendars")

    def __str__(self) -> str:
        return self.name


class CatalogueVersion(models.Model):
    """One row, raised by database triggers on every change of the tables above; gateway processes watch it."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    version = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("catalogue version")
        verbose_name_plural = _("catalogue versions")

    def __str__(self) -> str:
        return str(self.version)
