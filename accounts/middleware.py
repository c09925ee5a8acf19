"""The signed-in user's language and time zone, for the length of one request."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone, translation

from accounts.access import organization_or_none
from accounts.models import User

CHINESE_PAGES = "/zh"


class PreferencesMiddleware:
    """After LocaleMiddleware, which has already chosen by cookie, then browser: the account's language wins.

    Public pages with their language in the URL keep it. A signed-in user who switches the language has it stored.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user = request.user
        if not isinstance(user, User) or not user.is_authenticated:
            return self._get_response(request)
        if user.language and not _says_its_language(request.path):
            translation.activate(user.language)
            request.LANGUAGE_CODE = translation.get_language() or settings.LANGUAGE_CODE
        with timezone.override(time_zone_of(request, user)):
            response = self._get_response(request)
        if request.method == "POST" and request.path_info == reverse("set_language"):
            _store_language(user, response)
        return response


def time_zone_of(request: HttpRequest, user: User) -> zoneinfo.ZoneInfo:
    """The user's, else the organization's, else UTC."""
    name = user.timezone
    if not name and (organization := organization_or_none(request)) is not None:
        name = organization.timezone
    try:
        return zoneinfo.ZoneInfo(name or "UTC")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return zoneinfo.ZoneInfo("UTC")


def _says_its_language(path: str) -> bool:
    return path == CHINESE_PAGES or path.startswith(CHINESE_PAGES + "/")


def _store_language(user: User, response: HttpResponse) -> None:
    """Django's own view has checked the language and put it into the cookie."""
    cookie = response.cookies.get(settings.LANGUAGE_COOKIE_NAME)
    if cookie is not None and cookie.value != user.language:
        User.objects.filter(pk=user.pk).update(language=cookie.value)
