"""What every page goes through: security headers, and Chinese below /zh/ for the public pages."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import translation

from routerone.languages import CHINESE, without_prefix

GetResponse = Callable[[HttpRequest], HttpResponse]

_STRICT = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# The admin's theme has inline style attributes, and Alpine, which evaluates the expressions in its attributes. It has
# no inline script, so injected markup still cannot bring one.
_ADMIN = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_PERMISSIONS = "camera=(), microphone=(), geolocation=(), payment=(), usb=()"


class SecurityHeadersMiddleware:
    """A strict content security policy on all pages; a looser one for staff only."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        policy = _ADMIN if request.path.startswith("/admin/") else _STRICT
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("Permissions-Policy", _PERMISSIONS)
        return response


class ChinesePathMiddleware:
    """/zh/… is the public page … in Chinese, whatever the browser or the account prefers.

    Who comes in that way without a choice of their own gets the cookie too, so that signing up goes on in Chinese.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        plain = without_prefix(request.path_info)
        if plain is None:
            return self.get_response(request)
        request.is_zh_path = True  # type: ignore[attr-defined]
        request.path_info = plain
        translation.activate(CHINESE)
        request.LANGUAGE_CODE = CHINESE
        response = self.get_response(request)
        response.headers["Content-Language"] = CHINESE
        if settings.LANGUAGE_COOKIE_NAME not in request.COOKIES:
            response.set_cookie(settings.LANGUAGE_COOKIE_NAME, CHINESE, samesite="Lax", secure=settings.SECURE)
        return response
