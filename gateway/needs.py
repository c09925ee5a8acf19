"""What a request needs of whoever answers it, read from its parsed JSON or its conversation. Keeps no content."""

from __future__ import annotations

from gateway.exchange import Exchange
from routing.policy.needs import Needs


def needs_of(exchange: Exchange) -> Needs:
    return Needs(exchange.endpoint, exchange.stream, exchange.prompt_tokens, exchange.max_output_tokens)
