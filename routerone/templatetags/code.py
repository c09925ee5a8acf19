"""Colours in code that is shown."""

from __future__ import annotations

import re

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

register = template.Library()
_PIECES = re.compile(
    r"""(?P<s>"[^"\n]*"|'[^'\n]*')|\b(?P<k>import|from|const|new|await|for|in|if|or|True|export|unset)\b(?=\s|[,)])"""
)


@register.filter
def highlighted(text: str, changed: str = "") -> SafeString:
    """Strings and words of the language coloured, lines with `changed` in them marked. Good enough for our examples."""
    return mark_safe("\n".join(_line(line, changed) for line in text.split("\n")))  # noqa: S308 - each piece is escaped


def _line(line: str, changed: str) -> str:
    written, end = "", 0
    for found in _PIECES.finditer(line):
        written += f'{escape(line[end : found.start()])}<span class="{found.lastgroup}">{escape(found.group())}</span>'
        end = found.end()
    written += escape(line[end:])
    return f'<span class="add">{written}</span>' if changed and changed in line else written
