"""JSON in and out, with every fault as a ProtocolError."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.protocol.problem import Problem, ProtocolError, invalid


def load_request(body: bytes) -> dict[str, Any]:
    """A caller's body as an object; an invalid_request error for anything else."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise invalid("The request body is not valid JSON.", code="invalid_json") from None
    if not isinstance(value, dict):
        raise invalid("The request body must be a JSON object.", code="invalid_json")
    return value


def load_reply(body: bytes) -> dict[str, Any]:
    """An upstream's body as an object; an upstream error for anything else."""
    value = load_lenient(body)
    if not isinstance(value, dict):
        raise unreadable_reply()
    return value


def load_lenient(text: bytes | str) -> Any:
    """The value, or None for text that is not JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def dump(value: Any) -> bytes:
    """Compact JSON. Values come from parsed JSON, so only too deep nesting can fail: the caller's mistake."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise invalid("The request is nested too deeply or holds text that is not Unicode.") from None


def dump_text(value: Any) -> str:
    return dump(value).decode()


def unreadable_reply() -> ProtocolError:
    return ProtocolError(
        Problem(kind="upstream", code="upstream_error", message="The provider's answer could not be read.")
    )
