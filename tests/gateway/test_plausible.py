"""A provider's count that can't be true is not charged; one that is merely odd is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from billing.pricing.usage import TokenUsage
from gateway.exchange import Delivery, Exchange
from gateway.plausible import is_believable
from gateway.protocol.reply import UsageReport
from gateway.settlement import judge

THINKS = {"reasoning": True, "web_search": False}
PLAIN = {"reasoning": False, "web_search": False}


def exchange(usage: TokenUsage, *flags: str, limit: int | None = 100, **facts: Any) -> Exchange:
    model = SimpleNamespace(
        max_output_tokens=facts.pop("most", 16_384),
        context_length=128_000,
        capabilities=facts.pop("capabilities", PLAIN),
    )
    made = Exchange("openai_chat", prompt_tokens=500, max_output_tokens=limit, **facts)
    made.model = model  # type: ignore[assignment]
    made.asked = object()  # type: ignore[assignment]
    made.status = 200
    made.delivery = Delivery(
        UsageReport(usage, flags), finish_reason="stop", text_tokens=30, began=True, content=True, complete=True
    )
    return made


@pytest.mark.parametrize(
    ("what", "found", "believed"),
    [
        ("a usual count", exchange(TokenUsage(input=420, output=100)), True),
        ("a few tokens beyond a small limit", exchange(TokenUsage(input=420, output=40), limit=16), True),
        ("twice the prompt that we expected", exchange(TokenUsage(input=1_000, output=10)), True),
        ("reasoning beyond the caller's limit", exchange(TokenUsage(420, reasoning=9_000), capabilities=THINKS), True),
        ("an unknown model may reason", exchange(TokenUsage(420, output=9_000), capabilities={}), True),
        ("as many answers as were asked for", exchange(TokenUsage(420, output=12_800), choices=128), True),
        ("a search that fills the context", exchange(TokenUsage(120_000, output=9), capabilities={}), True),
        ("all of a cached prompt", exchange(TokenUsage(cache_read=420, output=9)), True),
        ("a count cut to its whole", exchange(TokenUsage(input=420, output=9), "clamped"), True),
        ("output of a thousand times the limit", exchange(TokenUsage(input=420, output=100_000)), False),
        ("reasoning beyond the model", exchange(TokenUsage(420, reasoning=10**6), capabilities=THINKS), False),
        ("a limit of nobody's", exchange(TokenUsage(420, output=10**6), limit=None, most=None), False),
        ("a prompt of a thousand times ours", exchange(TokenUsage(input=420_000, output=9)), False),
        ("a prompt beyond the context", exchange(TokenUsage(300_000, output=9), capabilities={}), False),
        ("a cached prompt beyond ours", exchange(TokenUsage(cache_read=420_000, output=9)), False),
        ("the most that a count can be", exchange(TokenUsage(input=10**9, output=10**9), "clamped"), False),
        ("negative output", exchange(TokenUsage(input=420), "clamped"), False),
        ("negative input", exchange(TokenUsage(output=9), "clamped"), False),
        ("searches without end", exchange(TokenUsage(420, output=9, web_search=10**6)), False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_believed(what: str, found: Exchange, believed: bool) -> None:
    assert found.delivery.usage is not None
    assert is_believable(found, found.delivery.usage) is believed, what
    verdict = judge(found)
    if believed:
        assert (verdict.policy, verdict.source) == ("answered", "reported")
    else:
        assert (verdict.policy, verdict.source, verdict.flags) == ("unreported", "estimated", ("implausible_usage",))
        assert (verdict.usage.prompt_size, verdict.usage.output_size) == (400, 30)


def test_an_implausible_count_makes_no_answer_of_an_empty_one() -> None:
    empty = exchange(TokenUsage(input=420, output=10**6))
    empty.delivery.content, empty.delivery.finish_reason = False, ""
    assert judge(empty).policy == "empty_free"


def test_a_lowered_limit_counts_instead_of_the_callers() -> None:
    lowered = exchange(TokenUsage(input=420, output=5_000), limit=10_000, output_cap=64)
    assert judge(lowered).flags == ("implausible_usage",)


def test_zeros_alone_are_no_lie() -> None:
    assert judge(exchange(TokenUsage())).flags == ()
