"""The customer's plan: compare, take, change, cancel, and the windows it is spent in."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe

from accounts.access import current_organization, signed_in_user
from accounts.models import Membership, Organization, User
from billing import ledger
from billing.ledger import NotEnough
from billing.models.plans import Plan, Subscription
from billing.plan_cards import Step, cards, plans_on_sale, step_for
from billing.plan_forms import OverflowForm
from billing.plans import choices, purchase, renewal, windows_view
from billing.plans.changes import PlanRefused, live_subscription
from billing.plans.history import periods_of
from billing.plans.terms import Terms
from billing.templatetags.money import usd

_SALT = "billing.plan-offer"
OFFER_GOOD_FOR_S = 900
PERIODS_SHOWN = 24


@require_safe
def pricing(request: HttpRequest) -> HttpResponse:
    """The plans for visitors, at an address per language."""
    return render(request, "billing/pricing.html", {"nav": "pricing", "cards": cards(plans_on_sale(), None)})


@login_required
@require_GET
@never_cache
def plans(request: HttpRequest) -> HttpResponse:
    return _plans(request, current_organization(request))


def _plans(request: HttpRequest, organization: Organization, form: OverflowForm | None = None) -> HttpResponse:
    subscription = live_subscription(organization.pk)
    context: dict[str, Any] = {
        "nav": "plans",
        "cards": cards(plans_on_sale(), subscription),
        "subscription": subscription,
        "may_change": _may_change(request, organization),
        "periods": periods_of(organization.pk, PERIODS_SHOWN),
    }
    if subscription is not None:
        now = timezone.now()
        terms = Terms.of(subscription.next_plan) if subscription.next_plan else Terms.stored(subscription.terms)
        missing = terms.price_nanos - ledger.balance(organization.pk).shown_nanos
        context |= {
            "terms": Terms.stored(subscription.terms),
            "uses": windows_view.uses_of(subscription, now),
            "covers_until": windows_view.covers_until(subscription),
            "overflow": windows_view.overflow_of(subscription, now, organization.timezone),
            "form": form or OverflowForm(subscription=subscription),
            "next_terms": terms,
            "missing_nanos": max(0, missing),
            "is_due": subscription.state == Subscription.State.GRACE,
        }
    return render(request, "billing/plans.html", context)


@login_required
@require_http_methods(["GET", "POST"])
@never_cache
def plan_choose(request: HttpRequest, slug: str) -> HttpResponse:
    """GET shows the sum and how it comes about; POST takes that sum, however often it is sent."""
    organization, user = _manager(request)
    plan = get_object_or_404(Plan, slug=slug)
    if request.method == "POST":
        return _take(request, organization, user, plan)
    return _confirm(request, organization, plan)


def _confirm(request: HttpRequest, organization: Organization, plan: Plan) -> HttpResponse:
    subscription = live_subscription(organization.pk)
    step = step_for(plan, subscription)
    if step == "none":
        raise Http404
    if step in ("current", "planned"):
        return redirect("plans")
    offer = purchase.offer(plan, subscription if step == "upgrade" else None, timezone.now())
    due = offer.due_nanos if step in ("buy", "upgrade") else 0
    balance = ledger.balance(organization.pk)
    context = {
        "nav": "plans",
        "plan": plan,
        "step": step,
        "subscription": subscription,
        "offer": offer,
        "due_nanos": due,
        "balance": balance,
        "after_nanos": balance.shown_nanos - due,
        "missing_nanos": max(0, due - balance.shown_nanos),
        "tolerated_nanos": plan.price_nanos // purchase.TOLERATED,
        "token": _signed(organization, plan, step, due),
    }
    return render(request, "billing/plan_confirm.html", context)


def _signed(organization: Organization, plan: Plan, step: Step, due_nanos: int) -> str:
    offer = {"o": organization.pk, "p": plan.pk, "s": step, "d": due_nanos, "f": uuid4().hex}
    return signing.dumps(offer, salt=_SALT)


def _take(request: HttpRequest, organization: Organization, user: User, plan: Plan) -> HttpResponse:
    try:
        offer = signing.loads(request.POST.get("token", ""), salt=_SALT, max_age=OFFER_GOOD_FOR_S)
    except signing.BadSignature:  # or too old
        messages.error(request, _("This offer is no longer good. Nothing was charged. Here is a new one."))
        return redirect("plan_choose", slug=plan.slug)
    if (offer["o"], offer["p"]) != (organization.pk, plan.pk):
        raise PermissionDenied
    what = {"most_nanos": offer["d"], "form_id": offer["f"], "by": user}
    try:
        if offer["s"] == "buy":
            purchase.subscribe(organization.pk, plan, **what)
            messages.success(request, _("%(plan)s is in force.") % {"plan": plan.name})
        elif offer["s"] == "upgrade":
            purchase.upgrade(organization.pk, plan, **what)
            messages.success(request, _("%(plan)s is in force.") % {"plan": plan.name})
        else:
            choices.change_at_period_end(organization.pk, plan, by=user)
            messages.success(request, _("Noted. Until the period ends nothing changes."))
    except NotEnough as short:
        missing = {"missing": usd(offer["d"] - short.available_nanos)}
        messages.error(request, _("The wallet lacks %(missing)s. Nothing was charged.") % missing)
        return redirect("plan_choose", slug=plan.slug)
    except PlanRefused as refused:
        messages.error(request, why(refused))
        return redirect("plan_choose", slug=plan.slug) if refused.why == "sum_changed" else redirect("plans")
    return redirect("plans")


@login_required
@require_http_methods(["GET", "POST"])
@never_cache
def plan_cancel(request: HttpRequest) -> HttpResponse:
    """GET asks once more."""
    organization, user = _manager(request)
    subscription = live_subscription(organization.pk)
    if subscription is None:
        return redirect("plans")
    if request.method == "GET":
        is_due = subscription.state == Subscription.State.GRACE
        context = {"nav": "plans", "subscription": subscription, "is_due": is_due}
        return render(request, "billing/plan_cancel.html", context)
    try:
        subscription = choices.cancel(organization.pk, by=user)
    except PlanRefused as refused:
        messages.error(request, why(refused))
        return redirect("plans")
    if subscription.state == Subscription.State.ENDED:
        messages.success(request, _("The plan has ended."))
    else:
        messages.success(request, _("Cancelled. The plan covers requests until the period ends."))
    return redirect("plans")


@login_required
@require_POST
def plan_resume(request: HttpRequest) -> HttpResponse:
    organization, user = _manager(request)
    try:
        choices.resume(organization.pk, by=user)
    except PlanRefused as refused:
        messages.error(request, why(refused))
    else:
        messages.success(request, _("The plan renews again."))
    return redirect("plans")


@login_required
@require_POST
def plan_overflow(request: HttpRequest) -> HttpResponse:
    """A wrong cap is shown again at its field."""
    organization, user = _manager(request)
    subscription = live_subscription(organization.pk)
    if subscription is None:
        messages.error(request, why(PlanRefused("not_subscribed")))
        return redirect("plans")
    form = OverflowForm(request.POST, subscription=subscription)
    if not form.is_valid():
        return _plans(request, organization, form)
    try:
        choices.set_overflow(organization.pk, allowed=form.cleaned_data["allowed"], cap_nanos=form.cap_nanos, by=user)
    except PlanRefused as refused:
        messages.error(request, why(refused))
    else:
        messages.success(request, _("Saved. Requests go by it from now on."))
    return redirect("plans")


@login_required
@require_POST
def plan_pay(request: HttpRequest) -> HttpResponse:
    """A renewal that is due, now instead of within the minute."""
    organization, _user = _manager(request)
    subscription = live_subscription(organization.pk)
    outcome = renewal.renew(subscription.pk) if subscription else "nothing"
    if outcome == "renewed":
        messages.success(request, _("Paid. The new period has begun."))
    elif outcome == "due":
        messages.error(request, _("The wallet does not have the price yet. Nothing was charged."))
    return redirect("plans")


def why(refused: PlanRefused) -> str:
    """For the customer: what happened, and that nothing was charged."""
    words = {
        "subscribed": _("A plan is running already. Nothing was charged."),
        "not_subscribed": _("No plan is running. Nothing was changed."),
        "not_sold": _("This plan is not on sale any more. Nothing was charged."),
        "suspended": _("The organization is suspended. Nothing was charged."),
        "no_upgrade": _("This plan is not larger than the running one. Nothing was charged."),
        "sum_changed": _("The sum has changed meanwhile. Nothing was charged. Here is the new one."),
    }
    return words.get(refused.why, _("Nothing was changed."))


def _may_change(request: HttpRequest, organization: Organization) -> bool:
    """Owners and admins spend the organization's money on plans; members see them."""
    roles = (Membership.Role.OWNER, Membership.Role.ADMIN)
    return Membership.objects.filter(user=signed_in_user(request), organization=organization, role__in=roles).exists()


def _manager(request: HttpRequest) -> tuple[Organization, User]:
    organization = current_organization(request)
    if not _may_change(request, organization):
        raise PermissionDenied(_("Owners and admins of the organization choose its plan."))
    return organization, signed_in_user(request)
