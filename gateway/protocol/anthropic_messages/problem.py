"""Errors in Anthropic's shape."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gateway.protocol.json_text import dump
from gateway.protocol.problem import Problem, ProblemKind

_TYPES: Mapping[ProblemKind, str] = MappingProxyType(
    {
        "invalid_request": "invalid_request_error",
        "authentication": "authentication_error",
        "payment_required": "billing_error",
        "permission": "permission_error",
        "not_found": "not_found_error",
        "too_large": "request_too_large",
        "rate_limited": "rate_limit_error",
        "timeout": "timeout_error",
        "upstream": "api_error",
        "overloaded": "overloaded_error",
        "server": "api_error",
    }
)


def error_body(problem: Problem, request_id: str | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"type": _TYPES[problem.kind], "message": problem.message}
    if problem.details:
        error["details"] = dict(problem.details)
    body: dict[str, Any] = {"type": "error", "error": error}
    if request_id is not None:
        body["request_id"] = request_id
    return body


def encode_problem(problem: Problem, request_id: str) -> bytes:
    return dump(error_body(problem, request_id))
