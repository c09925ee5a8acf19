"""What the staff pages of the catalogue share: every change is announced to the gateway processes."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model as TableModel
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from routing.announce import announce_change


class CatalogueAdmin(ModelAdmin):  # type: ignore[misc]
    """Announces after the commit, whichever way a row was changed."""

    list_per_page = 50

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        announce_change()

    def delete_model(self, request: HttpRequest, obj: TableModel) -> None:
        super().delete_model(request, obj)
        announce_change()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[TableModel]) -> None:
        super().delete_queryset(request, queryset)
        announce_change()

    @admin.action(description=_("Enable"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[TableModel]) -> None:
        self._switch(request, queryset, enabled=True)

    @admin.action(description=_("Disable"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[TableModel]) -> None:
        self._switch(request, queryset, enabled=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Any], *, enabled: bool) -> None:
        for row in queryset:
            row.enabled = enabled
            row.save(update_fields=["enabled", "updated_at"])
            self.log_change(request, row, [{"changed": {"fields": ["enabled"]}}])
        announce_change()
