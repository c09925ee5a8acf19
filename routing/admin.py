"""Staff pages of the catalogue. Every save is announced to the gateway processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import Count, Prefetch, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import StackedInline, TabularInline

from billing.usage_records import card_has_billed
from routing.board_admin import BoardPages
from routing.catalogue_admin import CatalogueAdmin
from routing.forms import CredentialForm, DeploymentForm, PriceCardForm, PriceCardFormSet, ProviderForm
from routing.import_admin import CatalogueUploadAdmin
from routing.markup_admin import MarkupRuleAdmin
from routing.models import Credential, Deployment, HolidayCalendar, Model, ModelAlias, PriceCard, Provider
from routing.price_warnings_admin import WarningPages
from routing.rotation_admin import RotationPages

__all__ = ["CatalogueUploadAdmin", "MarkupRuleAdmin"]  # registered where they are written


class CredentialInline(TabularInline):  # type: ignore[misc]
    model = Credential
    form = CredentialForm
    fields = ("name", "secret", "last_four", "weight", "valid_until", "enabled", "disabled_reason")
    readonly_fields = ("last_four", "valid_until")
    extra = 0


@admin.register(Provider)
class ProviderAdmin(BoardPages, RotationPages, CatalogueAdmin):
    form = ProviderForm
    inlines = (CredentialInline,)
    list_display = ("name", "slug", "enabled", "credential", "deployment_count", "currency", "region", "is_sandbox")
    list_filter = ("enabled", "is_sandbox", "currency", "kind", "mainland_china_access")
    search_fields = ("name", "slug")
    actions = ("enable", "disable")
    fieldsets = (
        (None, {"fields": ("name", "slug", "enabled", "currency", "kind", "is_sandbox")}),
        (_("Data"), {"fields": ("region", "trains_on_data", "zero_retention")}),
        (_("Connection"), {"fields": ("base_urls", "url_variables", "auth", "extra_headers", "on_client_leave")}),
        (
            _("Notes"),
            {"fields": ("api_key_env", "mainland_china_access", "cache_write_ttl", "pricing_page", "notes")},
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Provider]:
        rows: QuerySet[Provider] = super().get_queryset(request).annotate(deployment_count=Count("deployments"))
        enabled = Credential.objects.filter(enabled=True).order_by("id")
        return rows.prefetch_related(Prefetch("credentials", enabled, to_attr="enabled_credentials"))

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "pricing_page":
            kwargs["assume_scheme"] = "https"
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    @admin.display(description=_("Credential"))
    def credential(self, provider: Provider) -> str:
        if provider.auth == "none":
            return str(_("not needed"))
        stored: list[Credential] = getattr(provider, "enabled_credentials", [])
        return f"…{stored[0].last_four}" if stored else "–"

    @admin.display(description=_("Deployments"), ordering="deployment_count")
    def deployment_count(self, provider: Provider) -> int:
        return int(getattr(provider, "deployment_count", 0))


class AliasInline(TabularInline):  # type: ignore[misc]
    model = ModelAlias
    fields = ("name",)
    extra = 0


@admin.register(Model)
class ModelAdminPage(CatalogueAdmin):
    inlines = (AliasInline,)
    list_display = ("name", "slug", "author", "status", "enabled", "context_length", "quality_index")
    list_filter = ("status", "enabled", "author")
    search_fields = ("slug", "name", "aliases__name")
    actions = ("enable", "disable")


@admin.register(ModelAlias)
class ModelAliasAdmin(CatalogueAdmin):
    list_display = ("name", "model", "successor", "withdrawn")
    list_filter = (("withdrawn", admin.EmptyFieldListFilter),)
    list_select_related = ("model",)
    search_fields = ("name", "model__slug", "successor")
    autocomplete_fields = ("model",)


class PriceCardInline(StackedInline):  # type: ignore[misc]
    model = PriceCard
    form = PriceCardForm
    formset = PriceCardFormSet
    fields = (("tier", "min_prompt_tokens"), ("valid_from", "valid_until"), "rates", "schedule")
    extra = 0


@admin.register(Deployment)
class DeploymentAdmin(CatalogueAdmin):
    form = DeploymentForm
    inlines = (PriceCardInline,)
    list_display = ("public_id", "provider", "upstream_id", "dialect", "enabled", "priority", "status", "retires_on")
    list_display_links = ("public_id",)
    list_editable = ("enabled", "priority")
    list_filter = ("provider", "enabled", "status", "dialect", "cross_check")
    list_select_related = ("model", "provider")
    search_fields = ("model__slug", "model__name", "provider__slug", "upstream_id")
    autocomplete_fields = ("model", "provider")
    actions = ("enable", "disable")

    @admin.display(description=_("Model"), ordering="model__slug")
    def public_id(self, deployment: Deployment) -> str:
        return deployment.model.slug

    def has_delete_permission(self, request: HttpRequest, obj: Deployment | None = None) -> bool:
        if obj is not None and _any_billed(obj.price_cards.values_list("pk", flat=True)):
            return False
        return bool(super().has_delete_permission(request, obj))


def _any_billed(card_ids: Iterable[int]) -> bool:
    return any(card_has_billed(card_id) for card_id in card_ids)


@admin.register(PriceCard)
class PriceCardAdmin(WarningPages, CatalogueAdmin):
    form = PriceCardForm
    list_display = (
        "of_model",
        "of_provider",
        "tier",
        "min_prompt_tokens",
        "rate_in",
        "rate_out",
        "valid_from",
        "valid_until",
    )
    list_filter = ("tier", "deployment__provider", ("schedule", admin.EmptyFieldListFilter))
    list_select_related = ("deployment__model", "deployment__provider")
    search_fields = ("deployment__model__slug", "deployment__provider__slug", "deployment__upstream_id")
    autocomplete_fields = ("deployment",)

    @admin.display(description=_("Model"), ordering="deployment__model__slug")
    def of_model(self, card: PriceCard) -> str:
        return card.deployment.model.slug

    @admin.display(description=_("Provider"), ordering="deployment__provider__slug")
    def of_provider(self, card: PriceCard) -> str:
        return card.deployment.provider.slug

    @admin.display(description=_("Input"))
    def rate_in(self, card: PriceCard) -> str:
        return f"{card.rates.get('input', '–')} {card.deployment.currency}"

    @admin.display(description=_("Output"))
    def rate_out(self, card: PriceCard) -> str:
        return f"{card.rates.get('output', '–')} {card.deployment.currency}"

    def has_delete_permission(self, request: HttpRequest, obj: PriceCard | None = None) -> bool:
        if obj is not None and card_has_billed(obj.pk):
            return False
        return bool(super().has_delete_permission(request, obj))


@admin.register(HolidayCalendar)
class HolidayCalendarAdmin(CatalogueAdmin):
    list_display = ("name", "covers_through", "source")
