"""Errors of the Responses dialect: OpenAI's shape outside a stream, a failed response inside one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.protocol.problem import Problem, ProblemKind

# Codes that clients act upon: the last ones they take as final, "server_error" and the limit they try again.
_CODES: Mapping[ProblemKind, str] = {
    "payment_required": "insufficient_quota",
    "rate_limited": "rate_limit_exceeded",
    "invalid_request": "invalid_prompt",
    "too_large": "invalid_prompt",
    "permission": "invalid_prompt",
    "not_found": "invalid_prompt",
}
_CONTEXT = "context_length_exceeded"


def failed_error(problem: Problem) -> dict[str, Any]:
    """The ``error`` of a failed response."""
    code = _CONTEXT if problem.code == _CONTEXT else _CODES.get(problem.kind, "server_error")
    return {"code": code, "message": problem.message, **problem.details}
