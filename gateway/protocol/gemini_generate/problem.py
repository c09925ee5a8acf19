"""Errors in Google's shape."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gateway.protocol.json_text import dump
from gateway.protocol.problem import Problem, ProblemKind

_TYPE = "type.googleapis.com/google.rpc."
_STATUSES: Mapping[ProblemKind, str] = MappingProxyType(
    {
        "invalid_request": "INVALID_ARGUMENT",
        "authentication": "UNAUTHENTICATED",
        "payment_required": "FAILED_PRECONDITION",
        "permission": "PERMISSION_DENIED",
        "not_found": "NOT_FOUND",
        "too_large": "INVALID_ARGUMENT",
        "rate_limited": "RESOURCE_EXHAUSTED",
        "timeout": "DEADLINE_EXCEEDED",
        "upstream": "UNAVAILABLE",
        "overloaded": "UNAVAILABLE",
        "server": "INTERNAL",
    }
)


def error_body(problem: Problem, request_id: str) -> dict[str, Any]:
    """``ErrorInfo.reason`` is our own code, ``metadata`` our details as texts."""
    named = {"param": problem.param, **problem.details}
    metadata = {name: str(value) for name, value in named.items() if value is not None}
    details: list[dict[str, Any]] = [
        {
            "@type": _TYPE + "ErrorInfo",
            "reason": problem.code or problem.kind,
            "domain": "router",
            "metadata": metadata,
        },
        {"@type": _TYPE + "RequestInfo", "requestId": request_id},
    ]
    if problem.retry_after_s is not None:
        details.append({"@type": _TYPE + "RetryInfo", "retryDelay": f"{problem.retry_after_s}s"})
    return {
        "error": {
            "code": problem.status,
            "message": problem.message,
            "status": _STATUSES[problem.kind],
            "details": details,
        }
    }


def encode_problem(problem: Problem, request_id: str) -> bytes:
    return dump(error_body(problem, request_id))
