"""The wallet in the side bar of every dashboard page."""

from __future__ import annotations

from typing import Any

import structlog
from django.db import DatabaseError
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts.access import organization_or_none
from billing import ledger

log = structlog.get_logger(__name__)


def wallet(request: HttpRequest) -> dict[str, Any]:
    """`wallet`, the current organization's `ledger.Balance`, None for visitors.

    Read only if the template looks at it, and None again when it cannot be read: a page about something else, the
    error page above all, must not fail because of it.
    """
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {"wallet": None}
    return {"wallet": SimpleLazyObject(lambda: _balance(request))}


def _balance(request: HttpRequest) -> ledger.Balance | None:
    try:
        organization = organization_or_none(request)
        return None if organization is None else ledger.balance(organization.pk)
    except DatabaseError as error:
        log.warning("wallet_unreadable", error_class=type(error).__name__)
        return None
