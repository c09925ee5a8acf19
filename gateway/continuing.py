"""A stream of plain text that broke off, continued by another provider: once per request, where the project wants it.

What came first is charged as it always is when an answer breaks off. The rest is a part of its own: its text is charged
at its provider's price, and that the request had to be sent again is our cost.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from gateway.attempt import Opened, Sender
from gateway.attempts import Attempts
from gateway.errors import GatewayError
from gateway.exchange import Delivery, Exchange
from gateway.guard import Guard
from gateway.protocol.continuation import is_plain
from gateway.protocol.dialects import CODECS
from gateway.protocol.problem import ProtocolError
from gateway.relay import Relay, StreamBroken
from gateway.settlement import charge_of, judge
from routing.policy import failover

_LEAST_LEFT_TOKENS: Final = 16  # some providers take no lower limit
_OURS: Final = frozenset(("left", "client_left", "deadline", "after_finish"))  # stopped by us, or for the client


def may_continue(exchange: Exchange, sender: Sender) -> bool:
    """Whether this stream is of the kind that another provider can go on with. Asked before it begins."""
    plan = exchange.plan
    if exchange.endpoint not in CODECS or exchange.choices != 1 or plan is None or len(plan.steps) < 2:
        return False
    try:
        return is_plain(sender.conversation())
    except ProtocolError:
        return False  # whoever can't translate it passes it on as it is


def can_go_on(exchange: Exchange, relay: Relay, broken: StreamBroken) -> bool:
    """Whether the answer that has just broken off can be continued."""
    said = relay.said
    if said is None or not said.has_text or exchange.client_left or broken.error_class in _OURS:
        return False
    if failover.after(broken.error_class, larger_context=False) == "stop":
        return False
    limit = exchange.output_cap or exchange.max_output_tokens
    return limit is None or limit - round(exchange.delivery.text_tokens) >= _LEAST_LEFT_TOKENS


async def go_on(
    exchange: Exchange,
    relay: Relay,
    broken: StreamBroken,
    *,
    sender: Sender,
    attempts: Attempts,
    guard: Guard,
    record: Callable[[Opened, str], None],
) -> Opened:
    """Let the next provider of the plan end the answer; returns its attempt, whose last bytes the relay has.

    Raises `broken` where nobody can, and StreamBroken where that stream breaks too. `record` takes down how it went.
    """
    share, said = exchange.share, relay.said
    assert share is not None and said is not None
    delivery, deployment, model = exchange.delivery, exchange.deployment, exchange.model
    first_token_s = exchange.first_token_s
    earlier = charge_of(exchange, share, judge(exchange), datetime.now(UTC))
    sender.goes_on_from(said.text, round(delivery.text_tokens))
    guard.stream_pauses()
    exchange.delivery = Delivery()
    try:
        opened = await attempts.go_on()
    except BaseException as error:
        exchange.delivery, exchange.deployment, exchange.model = delivery, deployment, model
        if isinstance(error, GatewayError | ProtocolError):
            raise broken from None
        raise
    exchange.earlier = earlier
    exchange.first_token_s = None
    guard.stream_begins()
    guard.reads_on = lambda: attempts.reads_on
    error_class = ""
    try:
        await relay.go_on(opened)
    except StreamBroken as again:
        exchange.client_left = exchange.client_left or again.error_class == "left"
        error_class = "client_left" if exchange.client_left else again.error_class
        raise
    finally:
        record(opened, error_class)
        exchange.first_token_s = first_token_s
    return opened
