"""Who: users, the organizations that pay, their projects and API keys."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.db import models
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from accounts.model_patterns import validate_patterns


class UserManager(BaseUserManager["User"]):
    """Users are known by their e-mail address; there is no user name."""

    use_in_migrations = True

    def create_user(self, email: str, password: str | None = None, **extra: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **extra: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **extra)


class User(AbstractUser):
    username = None  # type: ignore[assignment]
    email = models.EmailField(_("e-mail address"), unique=True)
    language = models.CharField(_("language"), max_length=10, blank=True, default="")
    timezone = models.CharField(_("time zone"), max_length=64, blank=True, default="")
    session_salt = models.CharField(max_length=32, blank=True, default="", editable=False)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()  # type: ignore[assignment,misc]

    def __str__(self) -> str:
        return self.email

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Mixed into every session of this user: a new salt, like a new password, ends them all."""
        key_salt = "accounts.models.User.get_session_auth_hash"
        return salted_hmac(key_salt, self.password + self.session_salt, secret=secret, algorithm="sha256").hexdigest()


class Organization(models.Model):
    """Pays. Owns the wallet, the members and the projects."""

    name = models.CharField(_("name"), max_length=120)
    timezone = models.CharField(_("time zone"), max_length=64, default="Asia/Shanghai")
    suspended_at = models.DateTimeField(_("suspended at"), null=True, blank=True)
    requests_per_minute = models.PositiveIntegerField(_("requests per minute"), null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(_("tokens per minute"), null=True, blank=True)
    max_concurrent = models.PositiveIntegerField(_("requests at the same time"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("organization")
        verbose_name_plural = _("organizations")

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    class Role(models.TextChoices):
        OWNER = "owner", _("Owner")
        ADMIN = "admin", _("Admin")
        MEMBER = "member", _("Member")

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=10, choices=Role, default=Role.OWNER)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints = [models.UniqueConstraint(fields=["user", "organization"], name="one_membership_per_user")]

    def __str__(self) -> str:
        return f"{self.user} · {self.organization} · {self.role}"


class Project(models.Model):
    """Owns keys and logs; later its own routing rules and budgets."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="projects")
    name = models.CharField(_("name"), max_length=120)
    strict_translation = models.BooleanField(_("strict translation"), default=False, db_default=False)
    requests_per_minute = models.PositiveIntegerField(_("requests per minute"), null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(_("tokens per minute"), null=True, blank=True)
    max_concurrent = models.PositiveIntegerField(_("requests at the same time"), null=True, blank=True)
    archived_at = models.DateTimeField(_("archived at"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("project")
        verbose_name_plural = _("projects")

    def __str__(self) -> str:
        return self.name


class ApiKey(models.Model):
    """A customer's sk- key. The key itself is never stored, only a keyed hash of it."""

    class Funding(models.TextChoices):
        PLAN_FIRST = "plan_first", _("Plan first, then wallet")
        PLAN_ONLY = "plan_only", _("Plan only")
        WALLET_ONLY = "wallet_only", _("Wallet only")

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="api_keys")
    name = models.CharField(_("name"), max_length=120)
    key_hash = models.BinaryField(max_length=32, unique=True, editable=False)
    prefix = models.CharField(_("prefix"), max_length=16, editable=False)
    last_four = models.CharField(_("last four"), max_length=4, editable=False)
    requests_per_minute = models.PositiveIntegerField(_("requests per minute"), null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(_("tokens per minute"), null=True, blank=True)
    max_concurrent = models.PositiveIntegerField(_("requests at the same time"), null=True, blank=True)
    # Addresses and networks (CIDR) that may use the key; none: every address.
    allowed_ips = models.JSONField(_("allowed addresses"), default=list, db_default=[], blank=True)
    funding = models.CharField(
        _("paid by"), max_length=12, choices=Funding, default=Funding.PLAN_FIRST, db_default=Funding.PLAN_FIRST
    )
    # Patterns for `model_limits.allows`; none: every model.
    allowed_models = models.JSONField(_("allowed models"), default=list, db_default=[], blank=True)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    # The form that asked for it: the same form sent twice makes one key.
    form_id = models.UUIDField(null=True, blank=True, unique=True, editable=False)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…{self.last_four})"

    def clean(self) -> None:
        validate_patterns(self.allowed_models)
