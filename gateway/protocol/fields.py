"""Typed reading of JSON objects that a caller sent; a wrong type is an invalid_request error naming the field.

``where`` is the path of the object, such as "messages[2]."; names are reported as ``where + name``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from gateway.protocol.conversation import NOTHING, JsonObject
from gateway.protocol.problem import ProtocolError, invalid

MOST_TOKENS = 2**31 - 1


def wrong(where: str, name: str, expected: str) -> ProtocolError:
    path = (where + name).rstrip(".")
    return invalid(f"'{path}' must be {expected}.", param=path, code="invalid_type")


def text(source: JsonObject, name: str, where: str = "") -> str | None:
    value = source.get(name)
    if value is None or isinstance(value, str):
        return value
    raise wrong(where, name, "a string")


def required_text(source: JsonObject, name: str, where: str = "") -> str:
    value = text(source, name, where)
    if value is None:
        path = where + name
        raise invalid(f"'{path}' is required.", param=path, code="missing_required_parameter")
    return value


def flag(source: JsonObject, name: str, where: str = "") -> bool | None:
    value = source.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise wrong(where, name, "true or false")


def number(source: JsonObject, name: str, where: str = "") -> float | None:
    value = source.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise wrong(where, name, "a number")
    return value


def integer(source: JsonObject, name: str, where: str = "", *, least: int, most: int = MOST_TOKENS) -> int | None:
    value = number(source, name, where)
    if value is None:
        return None
    if value != int(value) or not least <= value <= most:
        raise wrong(where, name, f"a whole number from {least} to {most}")
    return int(value)


def obj(source: JsonObject, name: str, where: str = "") -> JsonObject | None:
    value = source.get(name)
    if value is None or isinstance(value, dict):
        return value
    raise wrong(where, name, "an object")


def objects(source: JsonObject, name: str, where: str = "") -> list[JsonObject]:
    """A list of objects; empty when the field is absent or null."""
    value = source.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong(where, name, "a list")
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            raise wrong(where, f"{name}[{index}]", "an object")
    return value


def texts(source: JsonObject, name: str, where: str = "") -> tuple[str, ...]:
    """A string or a list of strings."""
    value = source.get(name)
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise wrong(where, name, "a string or a list of strings")
    return tuple(value)


def rest(source: JsonObject, known: Collection[str]) -> JsonObject:
    """The fields that are not ``known`` and not null."""
    found = {name: value for name, value in source.items() if name not in known and value is not None}
    return found or NOTHING


def without_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def cache_lifetime(source: JsonObject, where: str = "") -> str | None:
    """The lifetime of a ``cache_control`` field: "5m" unless it says otherwise."""
    control = obj(source, "cache_control", where)
    if control is None:
        return None
    return text(control, "ttl", where + "cache_control.") or "5m"


def cache_control(lifetime: str | None) -> Mapping[str, Any]:
    """The ``cache_control`` field for a lifetime, to be merged into a part; empty for None."""
    if lifetime is None:
        return NOTHING
    control = {"type": "ephemeral"} if lifetime == "5m" else {"type": "ephemeral", "ttl": lifetime}
    return {"cache_control": control}


def data_url(url: str) -> tuple[str, str] | None:
    """(media type, base64 text) of a base64 data URL, None for any other URL."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None
    media_type = head[5:-7].split(";")[0]
    return media_type, data
