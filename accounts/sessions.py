"""Sessions of one user."""

from __future__ import annotations

from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest
from django.utils.crypto import get_random_string

from accounts.models import User


def log_out_elsewhere(request: HttpRequest, user: User) -> None:
    """Ends every session of the user but this request's."""
    user.session_salt = get_random_string(32)
    user.save(update_fields=["session_salt"])
    update_session_auth_hash(request, user)
