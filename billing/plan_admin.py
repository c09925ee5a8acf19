"""Plans and subscriptions for staff. A plan's edit changes what is sold from now on, never what was sold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from unfold.decorators import action, display

from billing.models.plans import Plan, PlanChange, PlanPeriod, Subscription, Window
from billing.plan_forms import EndForm, GiveForm, PlanForm
from billing.plans import staff
from billing.plans.changes import PlanRefused
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
    """Rows come from what customers and jobs do, never from a form."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Plan)
class PlanAdmin(_Admin):
    form = PlanForm
    list_display = ("name", "slug", "rank", "price", "five_hours", "seven_days", "period", "running", "is_sold")
    list_filter = ("is_sold",)
    fieldsets = (
        (None, {"fields": (("name", "slug"), ("rank", "is_sold"), ("price_usd", "period_days"))}),
        (
            _lazy("Allowances"),
            {
                "fields": (("five_hours_usd", "seven_days_usd", "period_usd"), "models"),
                "description": _lazy("Running subscriptions keep the terms they were sold with, also when they renew."),
            },
        ),
    )

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False  # taken off sale instead: subscriptions name it

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        running = Subscription.objects.filter(plan_id=object_id) if object_id.isdigit() else Subscription.objects.none()
        count = running.exclude(state=Subscription.State.ENDED).count()
        if count and request.method == "GET":
            text = _("%(count)d running subscriptions keep the terms they were sold with. An edit is for new ones.")
            messages.info(request, text % {"count": count})
        return super().change_view(request, object_id, form_url, extra_context)

    @admin.display(description=_lazy("price"), ordering="price_nanos")
    def price(self, plan: Plan) -> str:
        return usd(plan.price_nanos)

    @admin.display(description=_lazy("5 hours"))
    def five_hours(self, plan: Plan) -> str:
        return usd(plan.five_hours_nanos)

    @admin.display(description=_lazy("7 days"))
    def seven_days(self, plan: Plan) -> str:
        return usd(plan.seven_days_nanos)

    @admin.display(description=_lazy("period"))
    def period(self, plan: Plan) -> str:
        return usd(plan.period_nanos)

    @admin.display(description=_lazy("running"))
    def running(self, plan: Plan) -> int:
        return plan.subscriptions.exclude(state=Subscription.State.ENDED).count()


class PeriodInline(_ReadOnly, _Inline):
    model = PlanPeriod
    extra = 0
    fields = ("number", "starts_at", "ends_at", "closed_at", "price", "credited", "credit_is_final")
    readonly_fields = fields

    @admin.display(description=_lazy("price"))
    def price(self, period: PlanPeriod) -> str:
        return usd_exact(period.price_nanos)

    @admin.display(description=_lazy("credited"))
    def credited(self, period: PlanPeriod) -> str:
        return usd_exact(period.credit_nanos)


class ChangeInline(_ReadOnly, _Inline):
    model = PlanChange
    extra = 0
    fields = ("created_at", "kind", "detail", "amount", "reason", "created_by")
    readonly_fields = fields

    @admin.display(description=_lazy("from the wallet"))
    def amount(self, change: PlanChange) -> str:
        return usd_exact(change.amount_nanos)


@admin.register(Subscription)
class SubscriptionAdmin(_ReadOnly, _Admin):
    list_display = ("organization", "plan", "status", "period_start", "period_end", "renews", "next_plan", "overflow")
    list_filter = ("state", "plan", "renews", "overflow")
    list_select_related = ("organization", "plan", "next_plan")
    search_fields = ("organization__name", "organization__memberships__user__email", "=organization_id")
    ordering = ("-id",)
    inlines = (PeriodInline, ChangeInline)
    actions_list: ClassVar[list[str]] = ["give"]
    actions_detail: ClassVar[list[str]] = ["end"]

    @display(  # type: ignore[untyped-decorator]
        description=_lazy("state"), label={"active": "success", "grace": "warning", "ended": "info"}, ordering="state"
    )
    def status(self, subscription: Subscription) -> tuple[str, str]:
        return subscription.state, subscription.get_state_display()

    def has_give_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.give_subscription")

    @action(description=_lazy("Give a subscription"), url_path="give", permissions=["give"])  # type: ignore[untyped-decorator]
    def give(self, request: HttpRequest) -> HttpResponse:
        form = GiveForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            try:
                given = staff.give(
                    data["organization"].pk,
                    data["plan"],
                    days=data["days"],
                    reason=data["reason"],
                    by=request.user,  # type: ignore[arg-type]  # the admin lets only users in
                    form_id=data["token"],
                )
            except PlanRefused:
                form.add_error("organization", _("It has a running subscription. End that first."))
            else:
                messages.success(request, _("Given, and in force. It does not renew."))
                return HttpResponseRedirect(reverse("admin:billing_subscription_change", args=[given.pk]))
        words = {
            "title": _("Give a subscription"),
            "note": _("It covers requests at once, costs nothing and does not renew. Your name and reason are kept."),
            "button": _("Give it"),
        }
        return self._form(request, form, words)

    @action(description=_lazy("End now"), url_path="end", permissions=["give"])  # type: ignore[untyped-decorator]
    def end(self, request: HttpRequest, object_id: str) -> HttpResponse:
        subscription = self.get_object(request, object_id)
        if subscription is None:
            raise Http404
        form = EndForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            try:
                credit = staff.end_now(
                    subscription,
                    reason=data["reason"],
                    credits_unused=data["credits_unused"],
                    by=request.user,  # type: ignore[arg-type]  # the admin lets only users in
                )
            except PlanRefused:
                messages.error(request, _("It has ended already."))
            else:
                messages.success(request, _("Ended. %(amount)s was credited.") % {"amount": usd(credit)})
            return HttpResponseRedirect(reverse("admin:billing_subscription_change", args=[subscription.pk]))
        words = {
            "title": _("End the subscription of %(name)s") % {"name": subscription.organization},
            "note": _("The plan stops paying for requests at once. Your name and reason are kept."),
            "button": _("End it now"),
        }
        return self._form(request, form, words)

    def _form(self, request: HttpRequest, form: Any, words: dict[str, str]) -> HttpResponse:
        context = {**self.admin_site.each_context(request), **words, "opts": self.opts, "form": form}
        return TemplateResponse(request, "billing/admin/subscription_form.html", context)


@admin.register(Window)
class WindowAdmin(_ReadOnly, _Admin):
    list_display = ("organization_id", "kind", "name", "limit", "spent", "held", "opens_at", "closes_at")
    list_filter = ("kind", "name")
    search_fields = ("=organization_id",)
    ordering = ("-id",)
    show_full_result_count = False

    @admin.display(description=_lazy("limit"))
    def limit(self, window: Window) -> str:
        return usd_exact(window.limit_nanos)

    @admin.display(description=_lazy("spent"), ordering="spent_nanos")
    def spent(self, window: Window) -> str:
        return usd_exact(window.spent_nanos)

    @admin.display(description=_lazy("held"), ordering="held_nanos")
    def held(self, window: Window) -> str:
        return usd_exact(window.held_nanos)
