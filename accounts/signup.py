"""A new organization with its first project, for those who sign up and for operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse

from accounts.models import Membership, Organization, Project, User

# What higher apps add to a sign-up, inside its transaction (billing: the wallet and its trial credit).
AFTER_SIGNUP: list[Callable[[Organization], None]] = []

PERSONAL = "Personal"
FIRST_PROJECT = "Default"


@transaction.atomic
def create_organization(
    *, name: str, owner: User | None, email: str | None = None, welcome: bool = True
) -> tuple[Organization, Project]:
    """The organization and its first project. Without an `owner`, the user of `email` is found or made.

    `welcome` gives what a sign-up gives, the trial credit above all; operators give credit of their own.

    Raises ValueError for an empty name.
    """
    if not name.strip():
        raise ValueError("an organization needs a name")
    if owner is None and email:
        owner = find_or_create_user(email)
    organization = Organization.objects.create(name=name.strip())
    if owner is not None:
        Membership.objects.create(user=owner, organization=organization, role=Membership.Role.OWNER)
    project = Project.objects.create(organization=organization, name=FIRST_PROJECT)
    if welcome:
        for step in AFTER_SIGNUP:
            step(organization)
    return organization, project


def find_or_create_user(email: str) -> User:
    """A new user has no password and gets one by password reset; the operator vouches for the address."""
    user = User.objects.filter(email__iexact=email).first()
    if user is None:
        user = User.objects.create_user(email)
        EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    return user


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """allauth's hooks. Links in e-mails start with PUBLIC_URL: the Host header is the sender's word."""

    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        with transaction.atomic():
            super().save_user(request, user, form, commit)
            if commit:
                create_organization(name=PERSONAL, owner=user)
        return user

    def get_email_confirmation_url(self, request: HttpRequest, emailconfirmation: Any) -> str:
        return _public_url("account_confirm_email", emailconfirmation.key)

    def get_reset_password_from_key_url(self, key: str) -> str:
        # The key is opaque here: allauth splits it at its first dash, as its URL pattern does.
        uid, _, token = key.partition("-")
        return _public_url("account_reset_password_from_key", uid, token)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        ours: dict[str, Any] = {"current_site": _Site(), "signup_url": _public_url("account_signup")}
        if template_prefix.endswith("account_already_exists"):  # elsewhere it is the link of get_reset_password_…
            ours["password_reset_url"] = _public_url("account_reset_password")
        super().send_mail(template_prefix, email, context | ours)

    def format_email_subject(self, subject: str) -> str:
        return f"[Router One] {subject}"


class _Site:
    """How e-mails name us."""

    name = "Router One"

    @property
    def domain(self) -> str:
        return urlsplit(str(settings.PUBLIC_URL)).netloc


def _public_url(name: str, *args: str) -> str:
    return str(settings.PUBLIC_URL) + reverse(name, args=args)
