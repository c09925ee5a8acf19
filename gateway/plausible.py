"""Whether a provider's count can be true. What is not is estimated, so that no report costs more than its request can.

The bounds are wide: makers count differently, and a count that is merely odd is theirs to know. Pure.
"""

from __future__ import annotations

from gateway.exchange import Exchange
from gateway.protocol.reply import UsageReport

FLAG = "implausible_usage"

_FACTOR = 2  # beyond what the request allows
_SLACK_TOKENS = 1_000  # limits of a few tokens are not kept to the token
_PROMPT_FACTOR = 4  # beyond the estimate of plain texts
_PROMPT_SLACK_TOKENS = 10_000  # instructions that a provider adds
_UNKNOWN_OUTPUT_TOKENS = 131_072
_UNKNOWN_CONTEXT_TOKENS = 2_000_000
_MOST_SEARCHES = 1_000


def is_believable(exchange: Exchange, report: UsageReport) -> bool:
    """False also for a report of no tokens at all, and for one that was negative where something was delivered."""
    if exchange.believed is report:
        return True
    usage = report.usage
    prompt, output = usage.prompt_size, usage.output_size
    if not prompt + output:
        return False
    if report.flags and "clamped" in report.flags and (not prompt or (not output and exchange.delivery.content)):
        return False
    if output <= _most_output(exchange) and prompt <= _most_prompt(exchange) and usage.web_search <= _MOST_SEARCHES:
        exchange.believed = report
        return True
    return False


def doubt(report: UsageReport) -> tuple[str, ...]:
    """The flags of a report that was not believed. Zeros alone are a provider that does not count."""
    usage = report.usage
    return (FLAG,) if usage.prompt_size + usage.output_size or "clamped" in report.flags else ()


def _most_output(exchange: Exchange) -> int:
    """A reasoning model may think beyond the caller's limit, so only its own limit counts there."""
    if exchange.model is None:
        return _UNKNOWN_OUTPUT_TOKENS * _FACTOR
    model, deployment = exchange.model, exchange.deployment
    most = model.max_output_tokens or (deployment and deployment.max_output_tokens) or _UNKNOWN_OUTPUT_TOKENS
    limit = exchange.output_cap or exchange.max_output_tokens
    if limit is not None and limit < most and model.capabilities.get("reasoning") is False:
        most = limit
    return most * exchange.choices * _FACTOR + _SLACK_TOKENS


def _most_prompt(exchange: Exchange) -> int:
    """Beyond the estimate only where the provider adds to the prompt: searches, files, stored conversations."""
    most = exchange.prompt_tokens * _PROMPT_FACTOR + _PROMPT_SLACK_TOKENS
    model = exchange.model
    if exchange.asked is not None and model is not None and model.capabilities.get("web_search") is False:
        return most
    return max(most, ((model and model.context_length) or _UNKNOWN_CONTEXT_TOKENS) * _FACTOR)
