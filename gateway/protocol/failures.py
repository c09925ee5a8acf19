"""A provider's refusal, in any of the shapes that providers use, as one typed value.

Every host words its errors in its own way, also those that copy a dialect, so both codecs read all shapes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.protocol.failure_words import (
    CONTEXT_MESSAGE,
    CREDENTIAL_MESSAGE,
    CREDIT_MESSAGE,
    KIND_OF_WORD,
    KNOWN_WORDS,
    MODEL_MESSAGE,
    POLICY_MESSAGE,
    STATUS_OF_WORD,
)
from gateway.protocol.json_text import load_lenient
from gateway.protocol.problem import FailureKind, UpstreamFailure

_LONGEST_WAIT_S = 86_400
_WAITING_STATUSES = (429, 503, 529)
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)s$")


def decode_failure(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamFailure:
    """The failure behind a status of 400 or more; ``headers`` are looked up in lower case."""
    value = load_lenient(body)
    error = _Error(value)
    wait = _wait_in_headers(status, headers)
    return _failure(status, error, error.retry_delay_s if wait is None else wait)


def failure_in_stream(value: Any) -> UpstreamFailure:
    """The failure in an event of a stream that began with status 200."""
    error = _Error(value)
    failure = _failure(error.status_in_body, error, error.retry_delay_s)
    return UpstreamFailure(200, failure.kind, failure.code, failure.message, failure.retry_after_s)


def malformed(*, at_end: bool = False) -> UpstreamFailure:
    """An event that is not what it has to be; `at_end`: one whose end never came, which is no fault of its own."""
    if at_end:
        return UpstreamFailure(200, "cut", code="cut_event")
    return UpstreamFailure(200, "malformed", code="malformed_stream")


def oversized() -> UpstreamFailure:
    return UpstreamFailure(200, "oversized", code="oversized_event")


def _failure(status: int, error: _Error, retry_after_s: int | None) -> UpstreamFailure:
    kind = _kind(status, error)
    code = next((word for word in error.words if word in KNOWN_WORDS), "")
    return UpstreamFailure(status, kind, code, error.message, retry_after_s)


def _kind(status: int, error: _Error) -> FailureKind:
    for word in error.words:
        kind = KIND_OF_WORD.get(word)
        # Some say "api_error" whatever the status: it neither makes a provider's fault of a refusal nor hides overload.
        if kind is not None and not (kind == "server_error" and (400 <= status < 500 or status in (503, 529))):
            return kind
    return _kind_of_message(status, error.all_text) or _kind_of_status(status)


def _kind_of_message(status: int, message: str) -> FailureKind | None:
    """Where no word tells: the same complaint has another text everywhere."""
    if 400 <= status < 500 and status != 429 and CONTEXT_MESSAGE.search(message):
        return "context_length"
    if status in (400, 402, 403, 429) and CREDIT_MESSAGE.search(message):
        return "credit"
    if status in (400, 403, 422) and POLICY_MESSAGE.search(message):
        return "content_policy"
    if status in (400, 422) and CREDENTIAL_MESSAGE.search(message):
        return "credential"
    if status in (400, 422) and MODEL_MESSAGE.search(message):
        return "not_found"
    return None


def _kind_of_status(status: int) -> FailureKind:
    by_status: dict[int, FailureKind] = {
        401: "credential",
        402: "credit",
        403: "credential",
        404: "not_found",
        408: "server_error",
        425: "overloaded",
        429: "rate_limited",
        503: "overloaded",
        529: "overloaded",
    }
    if status in by_status:
        return by_status[status]
    return "bad_request" if 400 <= status < 500 else "server_error"


def _wait_in_headers(status: int, headers: Mapping[str, str]) -> int | None:
    """Whole seconds, rounded up. A date is not read: there is no clock here."""
    if status not in _WAITING_STATUSES:
        return None
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        seconds = _seconds(headers.get(name), unit)
        if seconds is not None:
            return seconds
    return None


def _seconds(value: str | None, unit: float = 1.0) -> int | None:
    try:
        number = float(value or "") / unit
    except ValueError:
        return None
    if not math.isfinite(number) or number < 0:
        return None
    return min(math.ceil(number), _LONGEST_WAIT_S)


class _Error:
    """The interesting parts of an error body: its words (codes and types, lower case), message and own status."""

    def __init__(self, value: Any) -> None:
        if isinstance(value, list) and value:
            value = value[0]
        body: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        inner = body.get("error")
        if inner is None and isinstance(body.get("response"), Mapping):
            inner = body["response"].get("error")
        self._inner: Mapping[str, Any] = inner if isinstance(inner, Mapping) else {}
        self._body = body
        self.message = self._find_message(inner)
        self.words = tuple(self._find_words())
        self.all_text = self.message + " " + self._wrapped_text()

    def _find_message(self, inner: Any) -> str:
        for candidate in (self._inner.get("message"), self._body.get("message"), inner, self._body.get("detail")):
            if isinstance(candidate, str) and candidate:
                return candidate
        return ""

    def _find_words(self) -> Iterator[str]:
        for source in (self._inner, self._body):
            for name in ("code", "type", "status", "reason"):
                value = source.get(name)
                if isinstance(value, str) and value not in ("error", ""):
                    yield value.lower().replace("-", "_")
        for detail in self._details():
            reason = detail.get("reason")
            if isinstance(reason, str):
                yield reason.lower()
        inner_error = self._inner.get("innererror")
        if isinstance(inner_error, Mapping) and isinstance(inner_error.get("code"), str):
            yield inner_error["code"].lower()

    def _details(self) -> Iterator[Mapping[str, Any]]:
        details = self._inner.get("details")
        for detail in details if isinstance(details, list) else []:
            if isinstance(detail, Mapping):
                yield detail

    def _wrapped_text(self) -> str:
        """What a relay (OpenRouter) quotes of the error that it got itself."""
        metadata = self._inner.get("metadata")
        raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
        return raw if isinstance(raw, str) else ""

    @property
    def retry_delay_s(self) -> int | None:
        """Gemini tells it in the body: ``RetryInfo.retryDelay``, "25s"."""
        for detail in self._details():
            match = _DURATION.match(str(detail.get("retryDelay") or ""))
            if match:
                return _seconds(match.group(1))
        return None

    @property
    def status_in_body(self) -> int:
        """The status that this error would have had outside a stream; 500 where nothing tells."""
        for name in ("status_code", "code"):
            for source in (self._inner, self._body):
                value = source.get(name)
                if isinstance(value, str) and value.isdecimal():
                    value = int(value[:4])
                if type(value) is int and 400 <= value <= 599:
                    return value
        return next((STATUS_OF_WORD[word] for word in self.words if word in STATUS_OF_WORD), 500)
