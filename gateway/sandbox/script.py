"""What a sandbox answer should be like: read from the model's name and from the `x-sandbox` header. Pure.

    sandbox-echo;first_ms=300;gap_ms=20;words=50;fail=500x2,429;cached=0.5

Options after the name come first, those of the header win. docs/sandbox.md lists them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, get_args

Behaviour = Literal["echo", "tools", "reasoning", "exact", "quarter", "embedding"]
StreamFault = Literal["cut", "stall", "error", "empty", "malformed"]
STREAM_FAULTS: tuple[str, ...] = get_args(StreamFault)
MAX_NAME = 400

# A model is a behaviour and the options that it begins with.
MODELS: dict[str, tuple[Behaviour, str]] = {
    "sandbox-echo": ("echo", ""),
    "sandbox-tools": ("tools", ""),
    "sandbox-reasoning": ("reasoning", ""),
    "sandbox-exact": ("exact", ""),
    "sandbox-quarter": ("quarter", ""),
    "sandbox-embedding": ("embedding", ""),
    "sandbox-slow": ("echo", "first_ms=3000;gap_ms=100"),
    "sandbox-cut": ("echo", "fail=cut"),
    "sandbox-stall": ("echo", "fail=stall"),
    "sandbox-error-in-stream": ("echo", "fail=error"),
    "sandbox-empty": ("echo", "fail=empty"),
    "sandbox-malformed": ("echo", "fail=malformed"),
    "sandbox-no-usage": ("echo", "usage=none"),
    "sandbox-fail-400": ("echo", "fail=400"),
    "sandbox-fail-401": ("echo", "fail=401"),
    "sandbox-fail-402": ("echo", "fail=402"),
    "sandbox-fail-429": ("echo", "fail=429;retry_after=1"),
    "sandbox-fail-500": ("echo", "fail=500"),
    "sandbox-fail-529": ("echo", "fail=529"),
}

_MOST = {
    "first_ms": 600_000,
    "gap_ms": 60_000,
    "words": 20_000,
    "reasoning": 20_000,
    "after": 100_000,
    "stall_ms": 3_600_000,
    "retry_after": 86_400,
}
_FIELDS = {"limit": "limited"}
_FAULT = re.compile(rf"([45]\d\d|{'|'.join(STREAM_FAULTS)})(?:x(\d{{1,6}}))?")
# What the true counts are multiplied by in a report that no answer can have.
USAGE_FACTORS = {"reported": 1, "thousandfold": 1_000, "absurd": 10**12, "negative": -1}
_FINISHES = ("stop", "length", "tool_calls", "content_filter", "none")


class UnknownModel(Exception):
    """No behaviour has this name."""


class BadOption(Exception):
    """An option can't be read; the text says which."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`what` is an HTTP status from 400 to 599 or a stream fault; `times` is None for always."""

    what: str
    times: int | None = None

    @property
    def status(self) -> int | None:
        return int(self.what) if self.what.isdigit() else None


@dataclass(frozen=True, slots=True)
class Script:
    """Times are milliseconds; None means that the behaviour decides."""

    behaviour: Behaviour = "echo"
    first_ms: int = 0  # before the first byte of the answer, headers included
    gap_ms: int = 0  # between two content events of a stream
    words: int | None = None  # the length of the text, in tokens
    reasoning: int | None = None  # the length of the reasoning, in tokens
    cached: Decimal | None = None  # share of the prompt reported as read from the cache
    fail: tuple[Fault, ...] = ()
    after: int = 5  # content events before a stream fault
    stall_ms: int = 600_000
    retry_after: int | None = None  # seconds, with a status fault
    usage: int | None = 1  # the report is the true counts times this; None for no report
    auth: bool = False  # a key must be sent
    limited: bool = True  # keeps to the output limit
    finish: str | None = None  # replaces the finish word; "none" leaves it out


def read_script(model: str, header: str = "") -> Script:
    """The script of a request. Raises UnknownModel or BadOption."""
    name, _, suffix = model[:MAX_NAME].partition(";")
    if name.strip() not in MODELS:
        raise UnknownModel(name)
    behaviour, preset = MODELS[name.strip()]
    script = Script(behaviour=behaviour)
    for options in (preset, suffix, header):
        script = _with_options(script, options)
    return script


def _with_options(script: Script, options: str) -> Script:
    changes: dict[str, Any] = {}
    for option in filter(None, (part.strip() for part in options.split(";"))):
        name, equals, value = (part.strip() for part in option.partition("="))
        if not equals:
            raise BadOption(f"'{name[:40]}' needs a value")
        changes[_FIELDS.get(name, name)] = _value(name, value)
    return replace(script, **changes)


def _value(name: str, value: str) -> object:
    if name in _MOST:
        return _whole_number(name, value)
    if name == "fail":
        return tuple(_fault(part.strip()) for part in value.split(","))
    if name == "cached":
        return _share(value)
    if name == "usage" and value in ("none", *USAGE_FACTORS):
        return USAGE_FACTORS.get(value)
    if name == "limit" and value in ("kept", "ignored"):
        return value == "kept"
    if name == "auth" and value in ("none", "required"):
        return value == "required"
    if name == "finish" and value in _FINISHES:
        return value
    raise BadOption(f"'{name[:40]}={value[:40]}' is not an option of the sandbox")


def _whole_number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 9) or int(value) > _MOST[name]:
        raise BadOption(f"'{name}' must be a whole number from 0 to {_MOST[name]}")
    return int(value)


def _share(value: str) -> Decimal:
    try:
        share = Decimal(value)
    except InvalidOperation:
        share = Decimal(-1)
    if not (share.is_finite() and 0 <= share <= 1):
        raise BadOption("'cached' must be a number from 0 to 1")
    return share


def _fault(text: str) -> Fault:
    match = _FAULT.fullmatch(text)
    if match is None:
        raise BadOption(f"'fail={text[:40]}' must be a status (500, 500x2) or one of {', '.join(STREAM_FAULTS)}")
    return Fault(match[1], int(match[2]) if match[2] else None)
