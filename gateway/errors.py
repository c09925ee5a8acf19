"""Everything that can go wrong for a caller, as one tree.

    GatewayError                    carries the Problem that a codec renders in the caller's dialect
    ├── BadRequest            400   the request can't be understood
    ├── NotAuthenticated      401   key missing, malformed, unknown, revoked or expired
    ├── NoCredit              402   money is the reason, and only money
    ├── NotAllowed            403   the organization is suspended
    ├── NotFound              404   no such path or model
    ├── Conflict              409   the same request is running or was made
    ├── TooLarge              413   the body is over the limit
    ├── Unprocessable         422   an Idempotency-Key was used for something else
    ├── TooManyRequests       429   the key's rate, or every provider's
    ├── ServerTrouble         500   our own fault
    ├── UpstreamTrouble       502   providers failed
    ├── NotAvailable          503   no provider, or a store of ours is away
    └── TookTooLong           504   providers did not answer in time

docs/errors.md lists the codes and what a client should do about each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from gateway.protocol.problem import Problem, ProblemKind


class GatewayError(Exception):
    """A refusal or failure that the caller is told about. `status` is the HTTP status of the answer."""

    status: ClassVar[int] = 500
    kind: ClassVar[ProblemKind] = "server"
    default_code: ClassVar[str] = "server_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: int | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(code or self.default_code)  # never the message: it may quote the request
        self.problem = Problem(
            kind=self.kind,
            message=message,
            code=code or self.default_code,
            param=param,
            status=self.status,
            retry_after_s=retry_after_s,
            details=details or {},
        )


class BadRequest(GatewayError):
    status = 400
    kind = "invalid_request"
    default_code = "invalid_request"


class NotAuthenticated(GatewayError):
    status = 401
    kind = "authentication"
    default_code = "invalid_api_key"


class NoCredit(GatewayError):
    status = 402
    kind = "payment_required"
    default_code = "insufficient_credits"


class NotAllowed(GatewayError):
    status = 403
    kind = "permission"
    default_code = "permission_denied"


class NotFound(GatewayError):
    status = 404
    kind = "not_found"
    default_code = "model_not_found"


class Conflict(GatewayError):
    status = 409
    kind = "invalid_request"
    default_code = "conflict"


class Unprocessable(GatewayError):
    status = 422
    kind = "invalid_request"
    default_code = "unprocessable"


class TooLarge(GatewayError):
    status = 413
    kind = "too_large"
    default_code = "request_too_large"


class TooManyRequests(GatewayError):
    status = 429
    kind = "rate_limited"
    default_code = "rate_limit_exceeded"


class ServerTrouble(GatewayError):
    status = 500
    kind = "server"
    default_code = "server_error"


class UpstreamTrouble(GatewayError):
    status = 502
    kind = "upstream"
    default_code = "upstream_error"


class NotAvailable(GatewayError):
    status = 503
    kind = "overloaded"
    default_code = "no_provider_available"


class TookTooLong(GatewayError):
    status = 504
    kind = "timeout"
    default_code = "timeout"
