"""The shapes in which finished requests reach the log. No field can carry a prompt, an answer or a provider's words.

Each string must look like the name it is meant to be; anything else becomes `other`. So even a caller's mistake
cannot put content into a row. Pure data: the gateway's request path imports this module.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, Self, get_args
from uuid import UUID

Outcome = Literal["answered", "client_left", "failed", "refused"]
UsageSource = Literal["", "reported", "estimated", "none"]

OUTCOMES: Final[frozenset[str]] = frozenset(get_args(Outcome))
USAGE_SOURCES: Final[frozenset[str]] = frozenset(get_args(UsageSource))
OTHER: Final = "other"

_CODE = re.compile(r"[a-z0-9_.:-]{0,64}")  # a known word: an error code, a reason, a slug
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@+-]{0,159}|")  # a model's public name
_CURRENCY = re.compile(r"[A-Z]{3}")
_SMALL, _INTEGER, _BIG = 2**15 - 1, 2**31 - 1, 2**63 - 1


def _code(value: object, longest: int) -> str:
    return value if isinstance(value, str) and len(value) <= longest and _CODE.fullmatch(value) else OTHER


def _model_name(value: object) -> str:
    return value if isinstance(value, str) and _MODEL.fullmatch(value) else OTHER


def _count(value: object, most: int) -> int:
    """A whole number the column can hold. A bad row must not poison the batch it is stored with."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"a count must be an int, not {type(value).__name__}")
    return min(max(value, 0), most)


def _optional_count(value: object, most: int) -> int | None:
    return None if value is None else _count(value, most)


def _as_json(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else value


class _Record:
    """What both records share: the way to JSON and back."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON values: ids as text, times in ISO 8601."""
        return {field.name: _as_json(getattr(self, field.name)) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The record `to_json` wrote. Unknown keys are ignored, so that two versions can share a journal.

        Raises KeyError, TypeError or ValueError when the data is not such a record.
        """
        known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        values = {name: value for name, value in data.items() if name in known}
        if "id" in known:
            values["id"] = UUID(values["id"])
            values["created_at"] = datetime.fromisoformat(values["created_at"])
        return cls(**values)

    def _put(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # frozen: only __post_init__ may do this


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord(_Record):
    """One try at one deployment. Times in milliseconds after the request began."""

    number: int
    provider: str
    deployment_id: int
    dialect: str
    reason: str
    started_ms: int
    duration_ms: int
    first_token_ms: int | None = None
    status: int | None = None
    error_class: str = ""
    error_code: str = ""

    def __post_init__(self) -> None:
        for name, longest in _ATTEMPT_CODES.items():
            self._put(name, _code(getattr(self, name), longest))
        for name, most in _ATTEMPT_COUNTS.items():
            self._put(name, _count(getattr(self, name), most))
        self._put("first_token_ms", _optional_count(self.first_token_ms, _INTEGER))
        self._put("status", _optional_count(self.status, _SMALL))


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord(_Record):
    """One finished request. `input_tokens` is all that was read, cache included; `output_tokens` all generated."""

    id: UUID
    created_at: datetime
    organization_id: int
    project_id: int
    api_key_id: int
    endpoint: str
    outcome: Outcome
    status: int
    model_requested: str = ""
    model: str = ""
    provider: str = ""
    error_code: str = ""
    finish_reason: str = ""
    stream: bool = False
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    usage_source: UsageSource = ""
    charge_nanos: int = 0
    currency: str = "USD"
    policy: str = ""
    first_token_ms: int | None = None
    duration_ms: int = 0
    overhead_us: int = 0
    attempt_count: int = 0

    def __post_init__(self) -> None:
        if self.created_at.tzinfo is None:
            raise ValueError("created_at must be aware")
        for name, longest in _REQUEST_CODES.items():
            self._put(name, _code(getattr(self, name), longest))
        for name, most in _REQUEST_COUNTS.items():
            self._put(name, _count(getattr(self, name), most))
        self._put("model_requested", _model_name(self.model_requested))
        self._put("model", _model_name(self.model))
        self._put("outcome", self.outcome if self.outcome in OUTCOMES else "failed")
        self._put("usage_source", self.usage_source if self.usage_source in USAGE_SOURCES else "none")
        self._put("currency", self.currency if _CURRENCY.fullmatch(str(self.currency)) else "USD")
        self._put("stream", bool(self.stream))
        self._put("first_token_ms", _optional_count(self.first_token_ms, _INTEGER))


# Longest text or greatest number that each column takes.
_ATTEMPT_CODES: Final = {"provider": 64, "dialect": 24, "reason": 32, "error_class": 32, "error_code": 64}
_ATTEMPT_COUNTS: Final = {"number": _SMALL, "deployment_id": _BIG, "started_ms": _INTEGER, "duration_ms": _INTEGER}
_REQUEST_CODES: Final = {"endpoint": 32, "provider": 64, "error_code": 64, "finish_reason": 24, "policy": 32}
_REQUEST_COUNTS: Final = {
    "organization_id": _BIG,
    "project_id": _BIG,
    "api_key_id": _BIG,
    "status": _SMALL,
    "input_tokens": _BIG,
    "cache_read_tokens": _BIG,
    "cache_write_tokens": _BIG,
    "output_tokens": _BIG,
    "reasoning_tokens": _BIG,
    "charge_nanos": _BIG,
    "duration_ms": _INTEGER,
    "overhead_us": _INTEGER,
    "attempt_count": _SMALL,
}
