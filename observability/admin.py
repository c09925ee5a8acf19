"""The log for staff: to look at, never to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from observability.models import AttemptLog, RequestLog

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin, TabularInline  # unfold's have no types
    from django.db.models import Model

    _Admin = ModelAdmin[Any]
    _Inline = TabularInline[Any, Any]
else:
    from unfold.admin import ModelAdmin as _Admin
    from unfold.admin import TabularInline as _Inline


class ReadOnly:
    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class AttemptLogInline(ReadOnly, _Inline):
    model = AttemptLog
    extra = 0
    fields = (
        *("number", "provider", "deployment_id", "dialect", "reason", "started_ms", "first_token_ms"),
        *("duration_ms", "status", "error_class", "error_code"),
    )
    ordering = ("number",)


@admin.register(RequestLog)
class RequestLogAdmin(ReadOnly, _Admin):
    list_display = ("created_at", "model", "provider", "outcome", "status", "charge_nanos", "duration_ms")
    list_filter = ("outcome",)
    search_fields = ("=id", "=organization_id", "=api_key_id")
    search_help_text = _("Request id, organization or key number")
    ordering = ("-id",)
    show_full_result_count = False  # counting the whole log would read all of it
    inlines = (AttemptLogInline,)
