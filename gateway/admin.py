"""Events that settlement refused, with a way to settle them after all."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.admin import UnsettledEventAdmin
from billing.models.usage import UnsettledEvent
from gateway.unsettled import settle_again

admin.site.unregister(UnsettledEvent)


@admin.register(UnsettledEvent)
class RefusedEventAdmin(UnsettledEventAdmin):
    """The events are the gateway's to read, so the action is here."""

    actions = ("settle",)

    def has_settle_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.delete_unsettledevent")

    @admin.action(description=gettext_lazy("Settle again"), permissions=["settle"])
    def settle(self, request: HttpRequest, events: QuerySet[UnsettledEvent]) -> None:
        settled, failed = settle_again(events.values_list("pk", flat=True))
        if settled:
            messages.success(request, _("%(count)d events settled.") % {"count": settled})
        if failed:
            messages.error(request, _("%(count)d events were refused again.") % {"count": failed})
