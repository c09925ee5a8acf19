"""The shapes in which finished requests reach the log. No field can carry a prompt, an answer or a provider's words.

Each string must look like the name it is meant to be; anything else becomes `other`. So even a caller's mistake
cannot put content into a row. Pure data: the gateway's request path makes one record per request, so both records are
tuples, their values in the order of their fields are what the journal carries, and every check is remembered.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, Self, get_args

Outcome = Literal["answered", "client_left", "failed", "refused"]
UsageSource = Literal["", "reported", "estimated", "none"]
Trace = dict[str, Any]

OUTCOMES: Final[frozenset[str]] = frozenset(get_args(Outcome))
USAGE_SOURCES: Final[frozenset[str]] = frozenset(get_args(UsageSource))
OTHER: Final = "other"
LONGEST_CODE: Final = 64
LONGEST_MODEL: Final = 160

_CODE = re.compile(rf"[a-z0-9_.:-]{{0,{LONGEST_CODE}}}")  # a known word: an error code, a reason, a slug
_MODEL = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.:/@+-]{{0,{LONGEST_MODEL - 1}}}|")  # a model's public name
_new = tuple.__new__


@lru_cache(4096)
def code(value: object) -> str:
    """`value` if it is a known kind of word, else `other`."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else OTHER


@lru_cache(4096)
def model_name(value: object) -> str:
    """`value` if it looks like a model's public name, else `other`."""
    return value if isinstance(value, str) and _MODEL.fullmatch(value) else OTHER


@lru_cache(4096)
def _attempts_words(*words: object) -> tuple[str, ...]:
    return tuple([code(word) for word in words])


@lru_cache(4096)
def names_of_request(
    endpoint: object, requested: object, model: object, provider: object, error: object, finish: object, policy: object
) -> tuple[str, str, str, str, str, str, str]:
    """A record's words, each as it may be kept."""
    names = (code(endpoint), model_name(requested), model_name(model), code(provider))
    return (*names, code(error), code(finish), code(policy))


class _AttemptFields(NamedTuple):
    number: int
    provider: str
    deployment_id: int
    dialect: str
    reason: str  # why this one: first choice, failover …
    started_ms: int
    duration_ms: int
    first_token_ms: int | None
    status: int | None  # the provider's HTTP status, if it gave one
    error_class: str
    error_code: str  # a known code of the provider's


class AttemptRecord(_AttemptFields):
    """One try at one deployment. Times in milliseconds after the request began."""

    __slots__ = ()

    def __new__(
        cls,
        number: int,
        provider: str,
        deployment_id: int,
        dialect: str,
        reason: str,
        started_ms: int,
        duration_ms: int,
        first_token_ms: int | None = None,
        status: int | None = None,
        error_class: str = "",
        error_code: str = "",
    ) -> Self:
        words = _attempts_words(provider, dialect, reason, error_class, error_code)
        provider, dialect, reason, error_class, error_code = words
        names = (number, provider, deployment_id, dialect, reason)
        return _new(cls, (*names, started_ms, duration_ms, first_token_ms, status, error_class, error_code))


class _RequestFields(NamedTuple):
    id: str  # a UUIDv7 as text
    created_at: str  # ISO 8601 with an offset
    organization_id: int
    project_id: int
    api_key_id: int
    endpoint: str
    model_requested: str
    model: str
    provider: str
    outcome: str
    status: int
    error_code: str
    finish_reason: str
    stream: bool
    input_tokens: int  # all that was read, cached included
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int  # all that was generated, reasoning included
    reasoning_tokens: int
    usage_source: str
    charge_nanos: int
    policy: str
    first_token_ms: int | None
    duration_ms: int
    overhead_us: int
    attempt_count: int
    trace: Trace | str | None
    decision: str | None


class RequestRecord(_RequestFields):
    """One finished request. New fields come last, with a default: an older process writes shorter rows.

    `trace` says how it went: JSON values alone, names and numbers, `attempts` being a list of AttemptRecord's values.
    As JSON text it goes from the journal to its column without being read on the way. `decision` is the JSON text of
    the trace's member of that name where the text is without it: many requests share one.
    """

    __slots__ = ()

    def __new__(
        cls,
        id: str,
        created_at: str,
        organization_id: int,
        project_id: int,
        api_key_id: int,
        endpoint: str,
        model_requested: str,
        model: str,
        provider: str,
        outcome: Outcome,
        status: int,
        error_code: str = "",
        finish_reason: str = "",
        stream: bool = False,
        input_tokens: int = 0,
        cache_read_tokens: int = 0,
        cache_write_tokens: int = 0,
        output_tokens: int = 0,
        reasoning_tokens: int = 0,
        usage_source: UsageSource = "",
        charge_nanos: int = 0,
        policy: str = "",
        first_token_ms: int | None = None,
        duration_ms: int = 0,
        overhead_us: int = 0,
        attempt_count: int = 0,
        trace: Trace | str | None = None,
        decision: str | None = None,
    ) -> Self:
        endpoint, model_requested, model, provider, error_code, finish_reason, policy = names_of_request(
            endpoint, model_requested, model, provider, error_code, finish_reason, policy
        )
        return _new(
            cls,
            (
                id,
                created_at,
                organization_id,
                project_id,
                api_key_id,
                endpoint,
                model_requested,
                model,
                provider,
                outcome if outcome in OUTCOMES else "failed",
                status,
                error_code,
                finish_reason,
                stream,
                input_tokens,
                cache_read_tokens,
                cache_write_tokens,
                output_tokens,
                reasoning_tokens,
                usage_source if usage_source in USAGE_SOURCES else "none",
                charge_nanos,
                policy,
                first_token_ms,
                duration_ms,
                overhead_us,
                attempt_count,
                trace,
                decision,
            ),
        )


def attempts_in(trace: object) -> list[AttemptRecord]:
    """The attempts of a stored trace, in the order of time. What is no attempt is left out."""
    rows = trace.get("attempts") if isinstance(trace, dict) else None
    known = len(AttemptRecord._fields)
    found = [_attempt(row[:known]) for row in rows if isinstance(row, list)] if isinstance(rows, list) else []
    return [attempt for attempt in found if attempt is not None]


def _attempt(row: list[Any]) -> AttemptRecord | None:
    try:
        return AttemptRecord(*row)
    except TypeError:  # too few values, or some that are no names
        return None
