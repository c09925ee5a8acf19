"""Errors in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gateway.protocol.json_text import dump
from gateway.protocol.problem import Problem, ProblemKind

# kind -> (type, code unless the problem has its own)
_WORDS: Mapping[ProblemKind, tuple[str, str]] = MappingProxyType(
    {
        "invalid_request": ("invalid_request_error", "invalid_value"),
        "authentication": ("invalid_request_error", "invalid_api_key"),
        "payment_required": ("insufficient_quota", "insufficient_quota"),
        "permission": ("invalid_request_error", "permission_denied"),
        "not_found": ("invalid_request_error", "model_not_found"),
        "too_large": ("invalid_request_error", "request_too_large"),
        "rate_limited": ("rate_limit_error", "rate_limit_exceeded"),
        "timeout": ("server_error", "timeout"),
        "upstream": ("server_error", "upstream_error"),
        "overloaded": ("server_error", "no_provider_available"),
        "server": ("server_error", "server_error"),
    }
)


def error_object(problem: Problem) -> dict[str, Any]:
    kind, code = _WORDS[problem.kind]
    return {
        "message": problem.message,
        "type": kind,
        "param": problem.param,
        "code": problem.code or code,
        **problem.details,
    }


def encode_problem(problem: Problem, request_id: str) -> bytes:
    """OpenAI has the request id in a header only."""
    return dump({"error": error_object(problem)})
