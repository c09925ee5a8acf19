"""The charging rules that customers can read, as a table over what happened."""

from __future__ import annotations

import pytest

from billing.pricing.usage import TokenUsage
from gateway.exchange import Delivery, Exchange
from gateway.protocol.reply import UsageReport
from gateway.settlement import judge

REPORT = UsageReport(TokenUsage(input=100, output=20))
INPUT_ONLY = UsageReport(TokenUsage(input=100))
NO_COUNT = UsageReport(TokenUsage(), ("odd_number",))


def _exchange(delivery: Delivery, *, status: int = 200, left: bool = False) -> Exchange:
    exchange = Exchange("openai_chat", prompt_tokens=125, delivery=delivery)
    exchange.status, exchange.client_left = status, left
    return exchange


@pytest.mark.parametrize(
    ("name", "exchange", "policy", "tokens"),
    [
        (
            "a finished answer is charged as reported",
            _exchange(Delivery(usage=REPORT, finish_reason="stop", began=True, content=True, complete=True)),
            ("answered", "reported"),
            (100, 20),
        ),
        (
            "a report of no tokens at all is no report",
            _exchange(
                Delivery(NO_COUNT, finish_reason="stop", text_tokens=30, began=True, content=True, complete=True)
            ),
            ("unreported", "estimated"),
            (100, 30),
        ),
        ("a failed request is free", _exchange(Delivery(began=False), status=502), ("failed_free", "none"), (0, 0)),
        (
            "a failure after keep-alives is free too",
            _exchange(Delivery(began=True), status=504),
            ("failed_free", "none"),
            (0, 0),
        ),
        (
            "no finish and no output is empty, so free",
            _exchange(Delivery(usage=INPUT_ONLY, began=True, complete=True)),
            ("empty_free", "none"),
            (0, 0),
        ),
        (
            "all tokens in hidden reasoning is an answer",
            _exchange(Delivery(usage=REPORT, finish_reason="length", began=True, complete=True)),
            ("answered", "reported"),
            (100, 20),
        ),
        (
            "a normal finish with nothing said is charged its input",
            _exchange(Delivery(usage=INPUT_ONLY, finish_reason="stop", began=True, complete=True)),
            ("answered", "reported"),
            (100, 0),
        ),
        (
            "usage that was not reported is estimated",
            _exchange(Delivery(finish_reason="stop", text_tokens=30, began=True, content=True, complete=True)),
            ("unreported", "estimated"),
            (100, 30),
        ),
        (
            "a broken answer is charged for what was delivered",
            _exchange(Delivery(text_tokens=7, began=True, content=True), status=502),
            ("broken_off", "estimated"),
            (100, 7),
        ),
        (
            "a client that leaves pays for what was generated",
            _exchange(Delivery(text_tokens=7, began=True, content=True), left=True),
            ("left", "estimated"),
            (100, 7),
        ),
        (
            "a client that leaves before content pays input",
            _exchange(Delivery(began=True), left=True),
            ("left", "estimated"),
            (100, 0),
        ),
        (
            "a client that leaves before anything was sent pays nothing",
            _exchange(Delivery(began=False), left=True),
            ("left_before_answer_free", "none"),
            (0, 0),
        ),
        (
            "a client that left a stream we read to its end pays what was reported",
            _exchange(Delivery(usage=REPORT, finish_reason="stop", began=True, content=True, complete=True), left=True),
            ("left", "reported"),
            (100, 20),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rule(name: str, exchange: Exchange, policy: tuple[str, str], tokens: tuple[int, int]) -> None:
    verdict = judge(exchange)
    assert (verdict.policy, verdict.source) == policy
    assert (verdict.usage.prompt_size, verdict.usage.output_size) == tokens
