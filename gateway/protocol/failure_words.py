"""Words and texts by which providers tell what went wrong. Codes that are not here are never stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from gateway.protocol.problem import FailureKind

# Only words that mean one thing at every provider; "invalid_request_error" and the like say too little.
KIND_OF_WORD: Mapping[str, FailureKind] = MappingProxyType(
    {
        "context_length_exceeded": "context_length",
        "string_above_max_length": "context_length",
        "request_too_large": "context_length",
        "insufficient_quota": "credit",
        "insufficient_balance": "credit",
        "insufficient_credits": "credit",
        "insufficient_user_quota": "credit",
        "billing_error": "credit",
        "billing_hard_limit_reached": "credit",
        "billing_not_active": "credit",
        "payment_required": "credit",
        "exceeded_current_quota_error": "credit",
        "arrearage": "credit",
        "invalid_api_key": "credential",
        "api_key_invalid": "credential",
        "incorrect_api_key_provided": "credential",
        "invalid_authentication_error": "credential",
        "authentication_error": "credential",
        "account_deactivated": "credential",
        "unauthenticated": "credential",
        "content_filter": "content_policy",
        "content_policy_violation": "content_policy",
        "responsibleaipolicyviolation": "content_policy",
        "data_inspection_failed": "content_policy",
        "datainspectionfailed": "content_policy",
        "moderation_error": "content_policy",
        "model_not_found": "not_found",
        "deploymentnotfound": "not_found",
        "not_found_error": "not_found",
        "overloaded_error": "overloaded",
        "engine_overloaded_error": "overloaded",
        "slow_down": "overloaded",
        "unavailable": "overloaded",
        "rate_limit_error": "rate_limited",
        "rate_limit_exceeded": "rate_limited",
        "rate_limit_reached_error": "rate_limited",
        "resource_exhausted": "rate_limited",
        "api_error": "server_error",
        "server_error": "server_error",
        "internal_server_error": "server_error",
        "internal": "server_error",
        "timeout_error": "server_error",
        "deadline_exceeded": "server_error",
    }
)

STATUS_OF_WORD: Mapping[str, int] = MappingProxyType(
    {
        "invalid_request_error": 400,
        "invalid_argument": 400,
        "failed_precondition": 400,
        "tool_use_failed": 400,
        "permission_error": 403,
        "permission_denied": 403,
        "unauthenticated": 401,
        "authentication_error": 401,
        "billing_error": 402,
        "insufficient_quota": 429,
        "not_found_error": 404,
        "not_found": 404,
        "request_too_large": 413,
        "rate_limit_error": 429,
        "rate_limit_exceeded": 429,
        "resource_exhausted": 429,
        "timeout_error": 504,
        "deadline_exceeded": 504,
        "api_error": 500,
        "server_error": 500,
        "internal": 500,
        "unavailable": 503,
        "overloaded_error": 529,
    }
)

KNOWN_WORDS = (
    frozenset(KIND_OF_WORD)
    | frozenset(STATUS_OF_WORD)
    | frozenset(
        (
            "invalid_value",
            "invalid_type",
            "unsupported_parameter",
            "unsupported_value",
            "unknown_parameter",
            "missing_required_parameter",
            "invalid_prompt",
            "invalid_image",
            "invalid_function_parameters",
            "invalid_json_schema",
            "failed_generation",
        )
    )
)

CONTEXT_MESSAGE = re.compile(
    r"context.{0,20}(?:length|window|limit|size)|(?:maximum|max).{0,20}context|messages is too long"
    r"|prompt is too long|input is too long"
    r"|too many (?:input )?tokens|token (?:count|limit).{0,40}exceed|exceeds? the (?:maximum|model's).{0,40}tokens"
    r"|input length.{0,40}exceed|range of input length|token limit reached|reduce the length",
    re.IGNORECASE | re.DOTALL,
)
CREDIT_MESSAGE = re.compile(
    r"credit balance is too low|insufficient (?:balance|credit|quota|fund)|exceeded your current quota"
    r"|out of credits|used all available credits|spending limit|account is not active",
    re.IGNORECASE,
)
POLICY_MESSAGE = re.compile(
    r"content.{0,20}(?:policy|filter|management)|usage (?:guidelines|policy)|flagged|moderation|safety (?:check|system)"
    r"|inappropriate content",
    re.IGNORECASE,
)
CREDENTIAL_MESSAGE = re.compile(
    r"api.?key (?:not valid|is invalid|not found|expired)|(?:incorrect|invalid|missing|wrong) api.?key"
    r"|authentication (?:failed|fails)|invalid (?:credential|token|authentication)",
    re.IGNORECASE,
)
MODEL_MESSAGE = re.compile(
    r"model[\s:'\"`]{0,4}[\w./:@-]{0,120}[\s'\"`]{0,3}(?:is |was |does )?not (?:found|exist|available|supported)"
    r"|unknown model|invalid model(?! output)|not a valid model",
    re.IGNORECASE,
)
