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

from accounts.sample_models import SANDBOX_EMBEDDING_MODEL
from accounts.snippets import guides
from routerone.charging_rules import example
from routerone.highlights import FALLBACK_MODEL, Highlights, highlights

log = structlog.get_logger(__name__)
_KEPT_S = 60  # a price that changes shows here a minute later; the models' own pages show it at once
_ON_HOME = ("python", "claude-code", "codex", "curl")
_PRIVATE = (
    *("/overview", "/logs", "/keys", "/projects", "/wallet", "/plans", "/settings"),
    *("/accounts/", "/admin/", "/i18n/"),
)


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    known = _highlights()
    shown = {guide.name: guide for guide in guides(known.model if known else FALLBACK_MODEL)}
    context = {
        "nav": "home",
        "host": settings.PUBLIC_URL,
        "known": known,
        "guides": [shown[name] for name in _ON_HOME],
    }
    return render(request, "site/home.html", context)


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    known = _highlights()
    model = known.model if known else FALLBACK_MODEL
    context = {
        "nav": "docs",
        "host": settings.PUBLIC_URL,
        "base_url": f"{settings.PUBLIC_URL}/v1",
        "model": model,
        "guides": guides(model),
        "embedding_model": SANDBOX_EMBEDDING_MODEL if settings.SANDBOX_ENABLED else "",
        "max_body_mb": settings.MAX_BODY_BYTES // 1024 // 1024,
        "sandbox": settings.SANDBOX_ENABLED,
    }
    return render(request, "site/docs.html", context)


@require_safe
def charges(request: HttpRequest) -> HttpResponse:
    """Plans and every rule of charging, as customers can read them."""
    return render(request, "site/docs_charges.html", {"nav": "docs", "example": example()})


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
    host = settings.PUBLIC_URL
    text = (
        "# Router One\n\n"
        "> An LLM API gateway for OpenAI, Anthropic and Gemini clients, with a bill that can be checked.\n\n"
        f"- Base URL: {host}/v1 for OpenAI clients, {host} for Anthropic and Google clients\n"
        "- Authentication: `Authorization: Bearer sk-ro-…` or `x-api-key: sk-ro-…`\n"
        "- Endpoints: `POST /v1/chat/completions`, `POST /v1/responses`, `POST /v1/messages`,"
        " `POST /v1/messages/count_tokens`, `POST /v1beta/models/{model}:generateContent`,"
        " `POST /v1beta/models/{model}:streamGenerateContent`, `POST /v1/embeddings`, `GET /v1/models`\n"
        "- Every chat model works at every chat endpoint; what a translation cannot carry is named in the header"
        " `x-router-dropped`\n"
        f"- Models and prices: {host}/models\n- Docs: {host}/docs\n- Plans and charges: {host}/docs/charges\n"
        f"- 中文文档: {host}/zh/docs\n- Prompts and answers are not stored.\n"
    )
    return HttpResponse(text, content_type="text/plain; charset=utf-8")
