"""Staff pages: users, organizations with their members and projects, API keys.

Staff sign in on the customers' log-in page, so that a second factor holds for them as well.
"""

from __future__ import annotations

from typing import Any

from allauth.account.decorators import secure_admin_login
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.announce import announce_every_key, announce_key, announce_keys_of, announce_organization
from accounts.key_pages import state_of
from accounts.keys import revoke_key
from accounts.models import ApiKey, Membership, Organization, Project, User

for _plain in (Group, EmailAddress, Authenticator):
    if admin.site.is_registered(_plain):
        admin.site.unregister(_plain)
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

_STATE_TONES = {"active": "success", "expired": "warning", "revoked": "danger", "archived": "warning"}


class NewUserForm(UserCreationForm):  # type: ignore[misc]
    class Meta:
        model = User
        fields = ("email",)

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"]).lower()
        if User.objects.filter(email__iexact=email).exists():
            self.add_error("email", _("There is a user with this address."))
        return email


class MembershipInline(TabularInline):  # type: ignore[misc]
    model = Membership
    extra = 0
    tab = True
    autocomplete_fields = ("user", "organization")


class EmailAddressInline(TabularInline):  # type: ignore[misc]
    model = EmailAddress
    extra = 0
    tab = True
    fields = ("email", "verified", "primary")


class SecondFactorInline(TabularInline):  # type: ignore[misc]
    """Staff may take a lost second factor away; its secret is not shown."""

    model = Authenticator
    extra = 0
    tab = True
    fields = ("type", "created_at", "last_used_at")
    readonly_fields = ("type", "created_at", "last_used_at")

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[misc]
    form = UserChangeForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    ordering = ("-date_joined",)
    list_display = ("email", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("email",)
    readonly_fields = ("date_joined", "last_login")
    fieldsets = (
        (None, {"fields": ("email", "password", "is_active")}),
        (_("Preferences"), {"fields": ("first_name", "last_name", "language", "timezone")}),
        (_("Staff"), {"fields": ("is_staff", "is_superuser", "user_permissions")}),
        (_("Dates"), {"fields": ("date_joined", "last_login")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "usable_password", "password1", "password2")}),)
    filter_horizontal = ("user_permissions",)
    inlines = (MembershipInline, EmailAddressInline, SecondFactorInline)


class ProjectInline(TabularInline):  # type: ignore[misc]
    model = Project
    extra = 0
    tab = True
    fields = ("name", "created_at", "archived_at")
    readonly_fields = ("created_at", "archived_at")
    show_change_link = True
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Organization)
class OrganizationAdmin(ModelAdmin):  # type: ignore[misc]
    """Made by sign-up or `manage.py create_organization`, which also open the wallet; never deleted."""

    list_display = ("name", "id", "owner_email", "state", "created_at")
    list_filter = (("suspended_at", admin.EmptyFieldListFilter),)
    search_fields = ("name", "memberships__user__email", "=id")
    fields = (
        "name",
        "timezone",
        ("requests_per_minute", "tokens_per_minute", "max_concurrent"),
        "suspended_at",
        "created_at",
    )
    readonly_fields = ("suspended_at", "created_at")
    inlines = (MembershipInline, ProjectInline)
    actions = ("suspend", "readmit")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Organization]:
        queryset: QuerySet[Organization] = super().get_queryset(request)
        return queryset.prefetch_related("memberships__user")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Organization, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        announce_every_key()

    @admin.display(description=_("Owner"))
    def owner_email(self, organization: Organization) -> str:
        members = organization.memberships.all()
        return next((member.user.email for member in members if member.role == Membership.Role.OWNER), "")

    @display(description=_("Status"), label={"active": "success", "suspended": "danger"})  # type: ignore[untyped-decorator]
    def state(self, organization: Organization) -> tuple[str, Any]:
        return ("suspended", _("Suspended")) if organization.suspended_at else ("active", _("Active"))

    @admin.action(description=_("Suspend: refuse all keys"), permissions=["change"])
    def suspend(self, request: HttpRequest, queryset: QuerySet[Organization]) -> None:
        ids = list(queryset.filter(suspended_at=None).values_list("pk", flat=True))
        queryset.filter(pk__in=ids).update(suspended_at=timezone.now())  # the database raises their wallets' epoch
        for organization_id in ids:
            announce_organization(organization_id)

    @admin.action(description=_("Readmit"), permissions=["change"])
    def readmit(self, request: HttpRequest, queryset: QuerySet[Organization]) -> None:
        ids = list(queryset.values_list("pk", flat=True))
        queryset.update(suspended_at=None)
        for organization_id in ids:
            announce_organization(organization_id)


@admin.register(Project)
class ProjectAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("name", "id", "organization", "created_at", "archived_at")
    list_select_related = ("organization",)
    list_filter = (("archived_at", admin.EmptyFieldListFilter),)
    search_fields = ("name", "organization__name", "=id")
    fields = (
        "organization",
        "name",
        "strict_translation",
        ("requests_per_minute", "tokens_per_minute", "max_concurrent"),
        "created_at",
        "archived_at",
    )
    readonly_fields = ("created_at", "archived_at")
    autocomplete_fields = ("organization",)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        # Its usage was paid by that organization: a project never moves.
        return self.readonly_fields if obj is None else (*self.readonly_fields, "organization")

    def save_model(self, request: HttpRequest, obj: Project, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        announce_keys_of(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):  # type: ignore[misc]
    """Keys are made where their owner sees them once, never here. The hash is not shown anywhere."""

    list_display = ("name", "shown_key", "project", "state", "last_used_at", "created_at")
    list_select_related = ("project__organization",)
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("name", "=last_four", "project__name", "project__organization__name", "=id")
    fields = (
        "name",
        "shown_key",
        "project",
        "allowed_models",
        "allowed_ips",
        ("requests_per_minute", "tokens_per_minute", "max_concurrent"),
        "funding",
        "expires_at",
        "revoked_at",
        "last_used_at",
        "created_by",
        "created_at",
    )
    readonly_fields = ("shown_key", "project", "revoked_at", "last_used_at", "created_by", "created_at")
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        announce_key(obj.key_hash)

    @admin.display(description=_("Key"))
    def shown_key(self, key: ApiKey) -> str:
        return f"{key.prefix}…{key.last_four}"

    @display(description=_("Status"), label=_STATE_TONES)  # type: ignore[untyped-decorator]
    def state(self, key: ApiKey) -> tuple[str, Any]:
        names = {"active": _("Active"), "expired": _("Expired"), "revoked": _("Revoked"), "archived": _("Archived")}
        return state_of(key), names[state_of(key)]

    @admin.action(description=_("Revoke"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset:
            revoke_key(key)
            self.log_change(request, key, [{"changed": {"fields": ["revoked_at"]}}])
