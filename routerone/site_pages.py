"""Home, docs and the small files that machines ask for."""

from __future__ import annotations

from typing import cast

import structlog
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.templatetags.static import static
from django.utils import timezone
from django.views.decorators.http import require_safe

from routerone.highlights import FALLBACK_MODEL, Highlights, highlights

log = structlog.get_logger(__name__)
_KEPT_S = 60  # a price that changes shows here a minute later; the models' own pages show it at once
_PRIVATE = ("/overview", "/logs", "/keys", "/projects", "/wallet", "/settings", "/accounts/", "/admin/", "/i18n/")


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    known = _highlights()
    context = {
        "nav": "home",
        "base_url": f"{settings.PUBLIC_URL}/v1",
        "known": known,
        "model": known.model if known else FALLBACK_MODEL,
    }
    return render(request, "site/home.html", context)


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    known = _highlights()
    context = {
        "nav": "docs",
        "base_url": f"{settings.PUBLIC_URL}/v1",
        "model": known.model if known else FALLBACK_MODEL,
        "max_body_mb": settings.MAX_BODY_BYTES // 1024 // 1024,
        "sandbox": settings.SANDBOX_ENABLED,
    }
    return render(request, "site/docs.html", context)


def _highlights() -> Highlights | None:
    """None while the database is away: these pages say less then, but they stand."""
    try:
        found = cache.get_or_set("site-highlights", lambda: highlights(timezone.now()), _KEPT_S)
    except DatabaseError as error:
        log.warning("highlights_unreadable", error_class=type(error).__name__)
        return None
    return cast(Highlights, found)


@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    rules = "\n".join(["User-agent: *", *(f"Disallow: {path}" for path in _PRIVATE), ""])
    return HttpResponse(rules, content_type="text/plain; charset=utf-8")


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """For what asks without reading the page."""
    return HttpResponseRedirect(static("img/logo.svg"))


@require_safe
def llms(request: HttpRequest) -> HttpResponse:
    """The facts a machine needs to use the product."""
    text = (
        "# Router One\n\n> An LLM API gateway, compatible with OpenAI clients, with a bill that can be checked.\n\n"
        f"- Base URL: {settings.PUBLIC_URL}/v1\n- Authentication: `Authorization: Bearer sk-ro-…`\n"
        "- Endpoints: `POST /v1/chat/completions` (also streamed), `GET /v1/models`\n"
        "- Not open yet: `/v1/messages`, `/v1/responses`\n"
        f"- Models and prices: {settings.PUBLIC_URL}/models\n- Docs: {settings.PUBLIC_URL}/docs\n"
        f"- 中文文档: {settings.PUBLIC_URL}/zh/docs\n- Prompts and answers are not stored.\n"
    )
    return HttpResponse(text, content_type="text/plain; charset=utf-8")
