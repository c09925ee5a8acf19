"""The log for staff: to look at, never to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from observability.models import RequestLog

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin  # unfold's has no types
    from django.db.models import Model

    _Admin = ModelAdmin[Any]
else:
    from unfold.admin import ModelAdmin as _Admin


class ReadOnly:
    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(RequestLog)
class RequestLogAdmin(ReadOnly, _Admin):
    list_display = ("created_at", "model", "provider", "outcome", "status", "charge_nanos", "duration_ms")
    list_filter = ("outcome",)
    search_fields = ("=id", "=organization_id", "=api_key_id")
    search_help_text = _("Request id, organization or key number")
    ordering = ("-id",)
    show_full_result_count = False  # counting the whole log would read all of it
