"""The headers that say what the fields of a request could: for clients that can't add fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.protocol.conversation import JsonObject
from gateway.protocol.problem import invalid

_LIST, _TEXT, _FLAG, _NUMBER = "list", "text", "flag", "number"
LONGEST: Final = 4096
# Header -> where its field stands, and what it holds.
_MEANINGS: Final[Mapping[bytes, tuple[tuple[str, ...], str]]] = {
    b"x-router-models": (("models",), _LIST),
    b"x-router-session": (("session_id",), _TEXT),
    b"x-router-provider-order": (("provider", "order"), _LIST),
    b"x-router-provider-only": (("provider", "only"), _LIST),
    b"x-router-provider-ignore": (("provider", "ignore"), _LIST),
    b"x-router-allow-fallbacks": (("provider", "allow_fallbacks"), _FLAG),
    b"x-router-require-parameters": (("provider", "require_parameters"), _FLAG),
    b"x-router-data-collection": (("provider", "data_collection"), _TEXT),
    b"x-router-zdr": (("provider", "zdr"), _FLAG),
    b"x-router-sort": (("provider", "sort"), _TEXT),
    b"x-router-max-price-prompt": (("provider", "max_price", "prompt"), _NUMBER),
    b"x-router-max-price-completion": (("provider", "max_price", "completion"), _NUMBER),
    b"x-router-max-price-request": (("provider", "max_price", "request"), _NUMBER),
    b"x-router-max-price-image": (("provider", "max_price", "image"), _NUMBER),
    b"x-router-min-throughput": (("provider", "preferred_min_throughput"), _NUMBER),
    b"x-router-max-latency": (("provider", "preferred_max_latency"), _NUMBER),
    b"x-router-regions": (("router", "regions"), _LIST),
    b"x-router-preset": (("router", "preset"), _TEXT),
}
HEADERS: Final = frozenset(_MEANINGS)
_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}


def fields_of(headers: Mapping[bytes, bytes]) -> JsonObject:
    """The fields that the headers stand for, nested as in a body; an empty header says nothing. Raises ProtocolError
    naming the header."""
    told: dict[str, Any] = {}
    for name, (path, kind) in _MEANINGS.items():
        raw = headers.get(name)
        if raw is None or not (text := raw.decode("latin-1").strip()):
            continue
        if len(text) > LONGEST:
            raise _wrong(name, f"at most {LONGEST} characters long")
        inside = told
        for step in path[:-1]:
            inside = inside.setdefault(step, {})
        inside.setdefault(path[-1], _value(name, kind, text))
    return told


def header_of(field: str, headers: Mapping[bytes, bytes]) -> str:
    """The header that was sent and stands for the field, such as provider.order[0]; the field itself for none."""
    path = tuple(field.partition("[")[0].split("."))
    for name, (meant, _kind) in _MEANINGS.items():
        if path == meant and name in headers:
            return name.decode()
    return field


def _value(name: bytes, kind: str, text: str) -> object:
    if kind == _LIST:
        return [one for part in text.split(",") if (one := part.strip())]
    if kind == _FLAG:
        if text.lower() not in _FLAGS:
            raise _wrong(name, "true or false")
        return _FLAGS[text.lower()]
    if kind == _NUMBER:
        try:
            return float(text)
        except ValueError:
            raise _wrong(name, "a number") from None
    return text


def _wrong(header: bytes, expected: str) -> Exception:
    name = header.decode()
    return invalid(f"The header '{name}' must be {expected}.", param=name, code="invalid_value")
