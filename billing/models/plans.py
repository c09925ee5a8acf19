"""Plans, subscriptions to them, budgets, and the windows in which both are spent."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.model_patterns import validate_patterns


class Plan(models.Model):
    """What staff sell: a price per period and three allowances in USD at list price."""

    slug = models.SlugField(_("id"), unique=True)
    name = models.CharField(_("name"), max_length=60)
    rank = models.PositiveSmallIntegerField(_("rank"))  # a change to a higher rank is an upgrade
    price_nanos = models.BigIntegerField(_("price"))
    period_days = models.PositiveSmallIntegerField(_("days per period"), default=30)
    covered_models = models.JSONField(_("covered models"), default=list, validators=[validate_patterns])
    five_hours_nanos = models.BigIntegerField(_("allowance per 5 hours"))
    seven_days_nanos = models.BigIntegerField(_("allowance per 7 days"))
    period_nanos = models.BigIntegerField(_("allowance per period"))
    is_sold = models.BooleanField(_("on sale"), default=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("plan")
        verbose_name_plural = _("plans")
        ordering = ["rank"]

    def __str__(self) -> str:
        return self.name


class Subscription(models.Model):
    """An organization's plan with the terms as they were sold; a later edit of the plan changes nothing here.

    `terms` has the plan's columns: slug, name, rank, price_nanos, period_days, covered_models, five_hours_nanos,
    seven_days_nanos, period_nanos. `state` live: active, or grace (the renewal could not be paid, coverage goes on
    until `grace_until`).
    """

    class State(models.TextChoices):
        ACTIVE = "active", _("Active")
        GRACE = "grace", _("Payment due")
        ENDED = "ended", _("Ended")

    organization = models.ForeignKey("accounts.Organization", on_delete=models.PROTECT, related_name="subscriptions")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="subscriptions")
    terms = models.JSONField(_("terms"))
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.ACTIVE)
    period_start = models.DateTimeField(_("period began"))
    period_end = models.DateTimeField(_("period ends"))
    grace_until = models.DateTimeField(_("grace until"), null=True, blank=True)
    renews = models.BooleanField(_("renews"), default=True)
    next_plan = models.ForeignKey(Plan, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    overflow = models.BooleanField(_("go on with the wallet"), default=False)
    overflow_cap_nanos = models.BigIntegerField(_("at most per month"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)

    class Meta:
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")
        constraints = [
            models.UniqueConstraint(fields=["organization"], condition=~Q(state="ended"), name="one_live_subscription")
        ]
        indexes = [models.Index(fields=["period_end"], name="live_by_end", condition=~Q(state="ended"))]
        permissions = [("give_subscription", _("Can give and end subscriptions"))]

    def __str__(self) -> str:
        return f"{self.organization_id} {self.terms.get('name', '')} {self.state}"


class PlanPeriod(models.Model):
    """A stretch of a subscription that was paid for, or given: what customers see as its history.

    What the unused part was worth when the period was left before its end is credited; while requests are still running
    against it the last word is not spoken (`credit_is_final`), and what they leave unused is credited later.
    """

    organization_id = models.BigIntegerField()
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="periods")
    number = models.PositiveIntegerField(_("number"))
    starts_at = models.DateTimeField(_("begins"))
    ends_at = models.DateTimeField(_("ends"))  # as it was sold
    closed_at = models.DateTimeField(_("left at"), null=True, blank=True)  # where that was before its end
    price_nanos = models.BigIntegerField(_("price"))  # zero where it was given
    credit_nanos = models.BigIntegerField(_("credited"), default=0, db_default=0)
    credit_is_final = models.BooleanField(_("credit is final"), default=True, db_default=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("plan period")
        verbose_name_plural = _("plan periods")
        ordering = ["-starts_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["subscription", "number"], name="one_period_per_number"),
            models.CheckConstraint(
                condition=Q(credit_nanos__gte=0, credit_nanos__lte=models.F("price_nanos")),
                name="period_credit_within_price",
            ),
        ]
        indexes = [
            models.Index(fields=["organization_id", "-starts_at"], name="periods_of_organization"),
            models.Index(fields=["id"], name="periods_to_credit", condition=Q(credit_is_final=False)),
        ]

    def __str__(self) -> str:
        return f"{self.subscription_id} #{self.number}"


class PlanChange(models.Model):
    """What happened to an organization's subscription, by whom and why. Never changed.

    `amount_nanos` is what it took from the wallet, below zero for what it gave. A form sent twice has the same
    `form_id` and makes one change.
    """

    class Kind(models.TextChoices):
        SUBSCRIBED = "subscribed", _("Subscribed")
        UPGRADED = "upgraded", _("Upgraded")
        RENEWED = "renewed", _("Renewed")
        CREDITED = "credited", _("Unused part credited")
        DUE = "due", _("Payment due")
        PLANNED = "planned", _("Change planned")
        CANCELLED = "cancelled", _("Cancelled")
        RESUMED = "resumed", _("Resumed")
        OVERFLOW = "overflow", _("Spending beyond the plan changed")
        GIVEN = "given", _("Given by staff")
        ENDED = "ended", _("Ended")
        STOPPED = "stopped", _("Ended by staff")

    organization = models.ForeignKey("accounts.Organization", on_delete=models.PROTECT, related_name="+")
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="changes")
    kind = models.CharField(_("change"), max_length=10, choices=Kind)
    detail = models.CharField(_("detail"), max_length=200, blank=True, default="")
    amount_nanos = models.BigIntegerField(_("from the wallet"), default=0)
    reason = models.CharField(_("reason"), max_length=300, blank=True, default="")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    form_id = models.UUIDField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("time"))

    class Meta:
        verbose_name = _("plan change")
        verbose_name_plural = _("plan changes")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "form_id"], name="one_plan_change_per_form"),
        ]

    def __str__(self) -> str:
        return f"{self.subscription_id} {self.kind}"


class Budget(models.Model):
    """The most that a key or a whole project may spend per period, whoever pays it. One of `api_key`, `project` is set.

    Days, weeks and months begin in the organization's time zone.
    """

    class Period(models.TextChoices):
        DAY = "day", _("per day")
        WEEK = "week", _("per week")
        MONTH = "month", _("per month")
        TOTAL = "total", _("in total")

    organization = models.ForeignKey("accounts.Organization", on_delete=models.PROTECT, related_name="+")
    project = models.ForeignKey(
        "accounts.Project", on_delete=models.CASCADE, null=True, blank=True, related_name="budgets"
    )
    api_key = models.ForeignKey(
        "accounts.ApiKey", on_delete=models.CASCADE, null=True, blank=True, related_name="budgets"
    )
    period = models.CharField(_("period"), max_length=6, choices=Period)
    limit_nanos = models.BigIntegerField(_("limit"))
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("budget")
        verbose_name_plural = _("budgets")
        constraints = [
            models.CheckConstraint(
                condition=Q(project=None, api_key__isnull=False) | Q(project__isnull=False, api_key=None),
                name="budget_of_key_or_project",
            ),
            models.UniqueConstraint(fields=["api_key", "period"], name="one_budget_per_key_and_period"),
            models.UniqueConstraint(fields=["project", "period"], name="one_budget_per_project_and_period"),
        ]

    def __str__(self) -> str:
        return f"{self.limit_nanos} {self.period}"


class Window(models.Model):
    """A stretch of time with a limit: of a plan, of a budget, or of a plan's overflow into the wallet.

    Room is `limit - spent - held`; spent may pass the limit by what a request cost beyond its hold. Rows are locked in
    id order, after holds and before accounts.
    """

    class Kind(models.TextChoices):
        PLAN = "plan", _("Plan")
        OVERFLOW = "overflow", _("Overflow")
        BUDGET = "budget", _("Budget")

    organization_id = models.BigIntegerField()
    kind = models.CharField(_("kind"), max_length=8, choices=Kind)
    subscription = models.ForeignKey(
        Subscription, on_delete=models.PROTECT, null=True, blank=True, related_name="windows"
    )
    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, null=True, blank=True, related_name="windows")
    name = models.CharField(_("window"), max_length=12)  # five_hours, seven_days, period | month | day, week, total
    limit_nanos = models.BigIntegerField(_("limit"))
    spent_nanos = models.BigIntegerField(_("spent"), default=0)
    held_nanos = models.BigIntegerField(_("held"), default=0)
    opens_at = models.DateTimeField(_("opened at"))
    closes_at = models.DateTimeField(_("closes at"), null=True, blank=True)  # none: never

    class Meta:
        verbose_name = _("window")
        verbose_name_plural = _("windows")
        constraints = [
            models.CheckConstraint(condition=Q(held_nanos__gte=0), name="window_held_not_negative"),
            models.UniqueConstraint(fields=["subscription", "name", "opens_at"], name="one_plan_window_per_moment"),
            models.UniqueConstraint(fields=["budget", "opens_at"], name="one_budget_window_per_moment"),
        ]
        indexes = [
            models.Index(fields=["subscription", "name", "-opens_at"], name="windows_of_subscription"),
            models.Index(fields=["organization_id", "-opens_at"], name="windows_of_organization"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.spent_nanos}/{self.limit_nanos}"
