"""Small pieces that every page uses: icons, times, the address of the same page in the other language."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

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
def other_language_path(context: dict[str, Any]) -> str:
    """The path of this public page in the other language."""
    request = context.get("request")
    if request is None:
        return "/"
    prefixed = getattr(request, "is_zh_path", False)
    path: str = request.path_info
    return path if prefixed else f"/zh{path}"


@register.simple_tag(takes_context=True)
def absolute(context: dict[str, Any], path: str) -> str:
    """The full address of a path of ours."""
    from django.conf import settings

    return f"{settings.PUBLIC_URL}{path}"


@register.filter
def yes(value: object, wanted: str) -> bool:
    """Whether `value` is `wanted`: for the arguments of an include, which take no comparison."""
    return value == wanted
