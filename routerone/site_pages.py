"""Home, docs and the small files that machines ask for."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def home(request: HttpRequest) -> HttpResponse:
    return render(request, "site/home.html", {"nav": "home", "base_url": f"{settings.PUBLIC_URL}/v1"})


def docs(request: HttpRequest) -> HttpResponse:
    return render(request, "site/docs.html", {"nav": "docs", "base_url": f"{settings.PUBLIC_URL}/v1"})


def robots(request: HttpRequest) -> HttpResponse:
    rules = "User-agent: *\nDisallow: /overview\nDisallow: /logs\nDisallow: /keys\nDisallow: /wallet\nDisallow: /admin/\n"
    return HttpResponse(rules, content_type="text/plain")


def llms(request: HttpRequest) -> HttpResponse:
    """The facts a machine needs to use the product."""
    text = (
        "# Router One\n\nAn LLM API gateway. OpenAI-compatible.\n\n"
        f"- Base URL: {settings.PUBLIC_URL}/v1\n- Authentication: Authorization: Bearer sk-ro-…\n"
        f"- Endpoints: POST /v1/chat/completions, GET /v1/models\n- Models and prices: {settings.PUBLIC_URL}/models\n"
        f"- Docs: {settings.PUBLIC_URL}/docs\n- Prompts and answers are not stored.\n"
    )
    return HttpResponse(text, content_type="text/plain; charset=utf-8")
