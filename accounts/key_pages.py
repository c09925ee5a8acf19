"""The API keys of an organization: list, make, change, revoke."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import IntegrityError
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import active_projects_of, api_key_or_404, api_keys_of, signed_in_user
from accounts.forms import KeyForm, NewKeyForm
from accounts.keys import change_key, create_key, revoke_key
from accounts.models import ApiKey
from accounts.sample_models import sample_model
from accounts.snippets import PLACEHOLDER_KEY, guides

SHOWN_MAX = 500


def state_of(key: ApiKey) -> str:
    """One of "active", "expired", "revoked", "archived"."""
    if key.revoked_at is not None:
        return "revoked"
    if key.project.archived_at is not None:
        return "archived"
    if key.expires_at is not None and key.expires_at <= timezone.now():
        return "expired"
    return "active"


def _listing(request: HttpRequest) -> dict[str, Any]:
    """Keys that work first, each part with the newest first."""
    keys = list(api_keys_of(request).order_by(F("revoked_at").desc(nulls_first=True), "-id")[:SHOWN_MAX])
    return {"nav": "keys", "rows": [{"key": key, "state": state_of(key)} for key in keys]}


@sensitive_variables("key")
def _guides(key: str) -> dict[str, Any]:
    return {"guides": guides(sample_model(), key), "host": settings.PUBLIC_URL}


@login_required
@require_GET
@never_cache
def keys(request: HttpRequest) -> HttpResponse:
    context = _listing(request) | _guides(PLACEHOLDER_KEY)
    context |= {"form": NewKeyForm(projects=active_projects_of(request)), "placeholder": PLACEHOLDER_KEY}
    return render(request, "accounts/keys.html", context)


@login_required
@require_http_methods(["GET", "POST"])
@never_cache
@sensitive_variables("raw", "context")
def key_create(request: HttpRequest) -> HttpResponse:
    """Answers with the key itself, which is kept nowhere: no session, no message, no address, no cache."""
    form = NewKeyForm(request.POST or None, projects=active_projects_of(request))
    if request.method == "GET" or not form.is_valid():
        name = "accounts/_new_key.html" if request.headers.get("HX-Request") else "accounts/key_create.html"
        return render(request, name, {"nav": "keys", "form": form})
    try:
        key, raw = create_key(
            form.cleaned_data["project"],
            created_by=signed_in_user(request),
            form_id=form.asked_id,
            **form.values,
        )
    except IntegrityError:  # the page was reloaded, or the form sent twice
        messages.info(request, _("This key was made already. It was shown only once; make a new one if you lost it."))
        return _go_to_keys(request)
    name = "accounts/_made_key.html" if request.headers.get("HX-Request") else "accounts/key_made.html"
    context = _listing(request) | _guides(raw) | {"key": key, "raw_key": raw}
    return render(request, name, context)


@login_required
@require_http_methods(["GET", "POST"])
@never_cache
def key_edit(request: HttpRequest, id: int) -> HttpResponse:
    key = api_key_or_404(request, id)
    if key.revoked_at is not None:
        messages.error(request, _("%(name)s is revoked and cannot be changed.") % {"name": key.name})
        return redirect("keys")
    form = KeyForm(request.POST or None, key=key)
    if request.method == "GET" or not form.is_valid():
        return render(request, "accounts/key_edit.html", {"nav": "keys", "key": key, "form": form})
    change_key(key, **form.values)
    messages.success(request, _("Saved. Requests go by it from now on."))
    return redirect("keys")


@login_required
@require_http_methods(["GET", "POST"])
@never_cache
def key_revoke(request: HttpRequest, id: int) -> HttpResponse:
    """GET asks once more."""
    key = api_key_or_404(request, id)
    if request.method == "GET":
        return render(request, "accounts/key_revoke.html", {"nav": "keys", "key": key})
    revoke_key(key)
    messages.success(request, _("%(name)s is revoked. Requests with it are refused from now on.") % {"name": key.name})
    return redirect("keys")


def _go_to_keys(request: HttpRequest) -> HttpResponse:
    answer = redirect("keys")
    if request.headers.get("HX-Request"):  # htmx would follow a redirect into the dialog
        return HttpResponse(status=204, headers={"HX-Redirect": answer.url})
    return answer
