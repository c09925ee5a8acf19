"""Money for staff: everything can be read, nothing can be edited. Credit is granted by a form that posts a transfer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action

from billing import grants, ledger, plan_admin, proof_admin  # noqa: F401 - they register their own
from billing.forms import GrantForm
from billing.models.holds import Hold
from billing.models.ledger import Entry, LedgerAccount, Transfer
from billing.models.rates import ExchangeRate
from billing.models.usage import UnsettledEvent, UsageRecord
from billing.pricing.money import usd_to_nanos
from billing.templatetags.money import usd, usd_exact

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin, TabularInline  # unfold's have no types
    from django.db.models import Model

    _Admin = ModelAdmin[Any]
    _Inline = TabularInline[Any, Any]
else:
    from unfold.admin import ModelAdmin as _Admin
    from unfold.admin import TabularInline as _Inline


class _ReadOnly:
    """Rows come from the ledger and the journal, never from a form."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(LedgerAccount)
class LedgerAccountAdmin(_ReadOnly, _Admin):
    list_display = ("kind", "organization", "posted", "held", "available", "currency")
    list_filter = ("kind", "currency")
    list_select_related = ("organization",)
    search_fields = ("organization__name", "organization__memberships__user__email")
    actions_detail: ClassVar[list[str]] = ["grant"]

    @admin.display(description=gettext_lazy("posted"), ordering="posted_nanos")
    def posted(self, account: LedgerAccount) -> str:
        return usd_exact(account.posted_nanos)

    @admin.display(description=gettext_lazy("held"), ordering="held_nanos")
    def held(self, account: LedgerAccount) -> str:
        return usd_exact(account.held_nanos)

    @admin.display(description=gettext_lazy("available"))
    def available(self, account: LedgerAccount) -> str:
        return usd_exact(account.posted_nanos - account.held_nanos)

    def has_grant_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.grant_credit")

    @action(description=gettext_lazy("Grant credit"), url_path="grant", permissions=["grant"])  # type: ignore[untyped-decorator]
    def grant(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A form for one wallet; posting it twice grants once."""
        account = self.get_object(request, object_id)
        if account is None or account.kind != LedgerAccount.Kind.WALLET:
            raise Http404
        form = GrantForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            return self._grant(request, account, form.cleaned_data)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Grant credit"),
            "opts": self.opts,
            "account": account,
            "balance": ledger.Balance(account.posted_nanos, account.held_nanos),
            "form": form,
        }
        return TemplateResponse(request, "billing/admin/grant.html", context)

    def _grant(self, request: HttpRequest, account: LedgerAccount, data: dict[str, Any]) -> HttpResponse:
        assert account.organization is not None  # a wallet always has one, by constraint
        amount_nanos = usd_to_nanos(data["amount_usd"])
        try:
            grants.grant_credit(
                account.organization,
                amount_nanos,
                reason=data["reason"],
                created_by=request.user,  # type: ignore[arg-type]  # the admin lets only users in
                idempotency_key=str(data["token"]),
            )
        except grants.OtherGrant:  # went back in the browser and changed the amount
            messages.error(request, _("This form was sent before with another amount. Nothing was granted this time."))
        else:
            text = _("%(amount)s granted to %(organization)s.")
            messages.success(request, text % {"amount": usd(amount_nanos), "organization": account.organization})
        return HttpResponseRedirect(reverse("admin:billing_ledgeraccount_change", args=[account.pk]))


class EntryInline(_ReadOnly, _Inline):
    model = Entry
    extra = 0
    fields = ("account", "amount", "balance_after", "currency", "created_at")
    readonly_fields = fields

    @admin.display(description=gettext_lazy("amount"))
    def amount(self, entry: Entry) -> str:
        return usd_exact(entry.amount_nanos)

    @admin.display(description=gettext_lazy("balance after"))
    def balance_after(self, entry: Entry) -> str:
        return usd_exact(entry.balance_after_nanos)


@admin.register(Transfer)
class TransferAdmin(_ReadOnly, _Admin):
    list_display = ("id", "kind", "organization", "reason", "created_by", "created_at")
    list_filter = ("kind",)
    list_select_related = ("organization", "created_by")
    search_fields = ("id", "idempotency_key", "organization__name", "reason")
    ordering = ("-created_at",)
    inlines = (EntryInline,)


@admin.register(Entry)
class EntryAdmin(_ReadOnly, _Admin):
    list_display = ("id", "account", "amount", "balance_after", "transfer", "created_at")
    list_filter = ("account__kind",)
    list_select_related = ("account__organization", "transfer")
    search_fields = ("transfer__id", "account__organization__name")
    ordering = ("-id",)
    show_full_result_count = False

    @admin.display(description=gettext_lazy("amount"), ordering="amount_nanos")
    def amount(self, entry: Entry) -> str:
        return usd_exact(entry.amount_nanos)

    @admin.display(description=gettext_lazy("balance after"))
    def balance_after(self, entry: Entry) -> str:
        return usd_exact(entry.balance_after_nanos)


@admin.register(Hold)
class HoldAdmin(_ReadOnly, _Admin):
    list_display = ("id", "account", "state", "amount", "remaining", "created_at", "expires_at", "closed_at")
    list_filter = ("state",)
    list_select_related = ("account__organization",)
    search_fields = ("id", "organization_id")
    ordering = ("-created_at",)
    show_full_result_count = False

    @admin.display(description=gettext_lazy("amount"), ordering="amount_nanos")
    def amount(self, hold: Hold) -> str:
        return usd_exact(hold.amount_nanos)

    @admin.display(description=gettext_lazy("remaining"), ordering="remaining_nanos")
    def remaining(self, hold: Hold) -> str:
        return usd_exact(hold.remaining_nanos)


@admin.register(UsageRecord)
class UsageRecordAdmin(_ReadOnly, _Admin):
    list_display = (
        "request_id",
        "organization_id",
        "model",
        "provider",
        "charge",
        "usage_source",
        "policy",
        "occurred_at",
    )
    list_filter = ("usage_source", "policy", "provider")
    search_fields = ("request_id", "id", "model")
    search_help_text = gettext_lazy("Request id, or a model's public id")
    ordering = ("-id",)
    show_full_result_count = False

    @admin.display(description=gettext_lazy("charge"), ordering="charge_nanos")
    def charge(self, record: UsageRecord) -> str:
        return usd_exact(record.charge_nanos)


@admin.register(UnsettledEvent)
class UnsettledEventAdmin(_ReadOnly, _Admin):
    list_display = ("id", "error_class", "created_at")
    list_filter = ("error_class",)
    search_fields = ("id",)
    ordering = ("-created_at",)


@admin.register(ExchangeRate)
class ExchangeRateAdmin(_Admin):
    """Charges were made with the rates that are there: a new one is added, an old one stays."""

    list_display = ("currency", "units_per_usd", "valid_from", "source")
    list_filter = ("currency",)
    ordering = ("currency", "-valid_from")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
