"""What the JSON parts of the catalogue must look like. Each check returns the problems as plain sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DIALECTS = ("openai_chat", "openai_responses", "anthropic_messages", "gemini_generate", "openai_embeddings")
TIERS = ("standard", "batch", "flex", "priority", "fast")
RATES = frozenset(
    [
        "input",
        "output",
        "reasoning",
        "cache_read",
        "cache_write",
        "cache_write_long",
        "input_audio",
        "cache_read_audio",
        "output_audio",
        "input_image",
        "output_image",
        "input_video",
        "web_search_per_1k",
        "request_per_1k",
    ]
)
_TIME = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")
_PLAIN_DECIMAL = re.compile(r"-?\d+(?:\.\d+)?")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# Headers that the gateway sets itself, or that would carry a credential past its encrypted place.
_OWN_HEADERS = frozenset(
    ["authorization", "x-api-key", "api-key", "x-goog-api-key", "host", "content-length", "content-type"]
)


def rate_problems(rates: Any) -> list[str]:
    """A complete set of rates: decimal strings, none below zero, `input` and `output` present."""
    if not isinstance(rates, dict):
        return ["rates must be an object of names and decimal strings"]
    problems = [f"{name} is missing" for name in ("input", "output") if name not in rates]
    for name, rate in rates.items():
        problem = _rate_problem(rate)
        if name not in RATES:
            problems.append(f"{name} is no known rate; known are {', '.join(sorted(RATES))}")
        elif problem:
            problems.append(f"{name} {problem}")
    return problems


def _rate_problem(rate: Any) -> str | None:
    if not isinstance(rate, str):
        return 'must be a decimal string such as "2.50"'
    if not _PLAIN_DECIMAL.fullmatch(rate):
        return f"is {rate!r}, not a plain decimal number"
    try:
        value = Decimal(rate)
    except InvalidOperation:
        return f"is {rate!r}, not a decimal number"
    if value < 0:
        return "must not be negative"
    if value >= 1_000_000 or len(rate) > 24:
        return "is too large or too long to be a price per million tokens"
    return None


def schedule_problems(schedule: Any) -> list[str]:
    """None, or windows of HH:MM pairs with ISO weekdays, a time zone and the name of a holiday calendar."""
    if schedule is None:
        return []
    if not isinstance(schedule, dict):
        return ["schedule must be an object or null"]
    return [
        *_window_problems(schedule.get("windows")),
        *_day_problems(schedule.get("weekdays")),
        *_zone_problems(schedule),
    ]


def _window_problems(windows: Any) -> Iterator[str]:
    if not isinstance(windows, list) or not windows:
        yield "schedule.windows must be a list of [from, until] pairs"
        return
    for window in windows:
        if not isinstance(window, list) or len(window) != 2 or not all(_is_time(edge) for edge in window):
            yield f"schedule.windows holds {window!r}, not a pair of HH:MM times"


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def _day_problems(weekdays: Any) -> Iterator[str]:
    if weekdays is None:
        return
    if not isinstance(weekdays, list) or any(type(day) is not int or not 1 <= day <= 7 for day in weekdays):
        yield "schedule.weekdays must be a list of numbers from 1 (Monday) to 7 (Sunday)"


def _zone_problems(schedule: dict[str, Any]) -> Iterator[str]:
    zone = schedule.get("timezone") or "UTC"
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        yield f"schedule.timezone {zone!r} is unknown"
    calendar = schedule.get("except_holidays")
    if calendar is not None and not isinstance(calendar, str):
        yield "schedule.except_holidays must be the name of a holiday calendar or null"


def base_url_problems(base_urls: Any) -> list[str]:
    """Dialect to http(s) URL, at least one."""
    if not isinstance(base_urls, dict) or not base_urls:
        return ["base_urls must be an object of protocols and URLs, with at least one"]
    problems: list[str] = []
    for dialect, url in base_urls.items():
        if dialect not in DIALECTS:
            problems.append(f"{dialect} is no known protocol; known are {', '.join(DIALECTS)}")
        problems += [f"{dialect}: {problem}" for problem in url_problems(url)]
    return problems


def url_problems(url: Any) -> list[str]:
    """An http(s) URL without credentials, query or fragment, or a {placeholder} in place of its beginning."""
    if not isinstance(url, str) or not url.strip():
        return ["not a URL"]
    if url.startswith("{"):
        return []
    try:
        parts = urlsplit(re.sub(r"\{[a-z_]+\}", "x", url))
        host, _ = parts.hostname, parts.port
    except ValueError:
        return [f"{url!r} is not a URL"]
    if parts.scheme not in ("http", "https") or not host:
        return [f"{url!r} must begin with http:// or https://"]
    if parts.username or parts.password or parts.query or parts.fragment:
        return [f"{url!r} must not carry a user, a query or a fragment"]
    return []


def text_map_problems(name: str, value: Any) -> list[str]:
    """An object whose values are strings."""
    if not isinstance(value, dict) or any(not isinstance(item, str) for item in value.values()):
        return [f"{name} must be an object of names and strings"]
    return []


def header_problems(headers: Any) -> list[str]:
    """Extra request headers: valid names, one-line values, none that the gateway sets itself."""
    problems = text_map_problems("extra_headers", headers)
    if problems:
        return problems
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or "\n" in value or "\r" in value:
            problems.append(f"{name!r} is not a valid header")
        elif name.lower() in _OWN_HEADERS:
            problems.append(f"{name} is set by the gateway; store a credential instead")
    return problems
