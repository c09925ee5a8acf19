"""Small pieces that every page uses: icons, times, addresses in both languages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from routerone.languages import PREFIX, addresses

register = template.Library()


@register.simple_tag
def icon(name: str, size: str = "") -> SafeString:
    """An icon of the sprite; `size` "l" for the large one. Always beside a word, so hidden from screen readers."""
    return format_html(
        '<svg class="icon{}" aria-hidden="true"><use href="{}#{}"/></svg>',
        f" icon-{size}" if size else "",
        static("img/icons.svg"),
        name,
    )


@register.filter
def local_time(moment: datetime | None) -> SafeString | str:
    """HH:MM:SS today, the date before; the full time in the title. In the active time zone."""
    if moment is None:
        return "–"
    local = timezone.localtime(moment)
    today = local.date() == timezone.localdate()
    shown = local.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M")
    iso = local.isoformat(timespec="milliseconds")
    return format_html('<time datetime="{}" title="{}">{}</time>', iso, iso, shown)


@register.simple_tag(takes_context=True)
def page_url(context: dict[str, Any], name: str, *arguments: object) -> str:
    """As `url`, but a public page stays in Chinese for who reads it below /zh/."""
    path = reverse(name, args=arguments)
    return PREFIX + path if getattr(context.get("request"), "is_zh_path", False) else path


@register.simple_tag(takes_context=True)
def language_addresses(context: dict[str, Any]) -> dict[str, str] | None:
    """The full addresses of this page per language, for search engines; None for pages with one address."""
    request = context.get("request")
    paths = addresses(request.path) if isinstance(request, HttpRequest) else None
    if paths is None:
        return None
    english, chinese = (f"{settings.PUBLIC_URL}{path}" for path in paths)
    own = chinese if getattr(request, "is_zh_path", False) else english
    return {"en": english, "zh": chinese, "own": own}


@register.simple_tag(takes_context=True)
def after_language_switch(context: dict[str, Any], language: str) -> str:
    """Where to go on after a switch to `language`: the same page, at its address in that language."""
    request = context.get("request")
    if not isinstance(request, HttpRequest):
        return "/"
    paths = addresses(request.path)
    if paths is None:
        return request.get_full_path()
    query = request.META.get("QUERY_STRING", "")
    return paths[0 if language == "en" else 1] + (f"?{query}" if query else "")


@register.filter
def yes(value: object, wanted: str) -> bool:
    """Whether `value` is `wanted`: for the arguments of an include, which take no comparison."""
    return value == wanted
