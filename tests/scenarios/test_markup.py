"""Staff give one organization a markup of its own: the running gateway charges it, and nobody else."""

from __future__ import annotations

from decimal import Decimal

from django.utils import timezone

from tests.scenarios.conftest import Customer, Stack


def _charge(stack: Stack, customer: Customer, tokens: int = 100) -> tuple[str, int]:
    """Markup and charge of one more request, its output tokens at 10 dollars a million."""
    before = stack.wallet(customer)[0]
    stack.openai(customer).chat.completions.create(
        model="sandbox/exact", messages=[{"role": "user", "content": "go"}], max_tokens=tokens
    )
    after = stack.wallet(customer)[0]
    sql = "SELECT markup, charge_nanos FROM billing_usagerecord WHERE api_key_id = %s ORDER BY id DESC LIMIT 1"
    ((markup, charge),) = stack.rows(sql, customer.api_key_id)
    assert before - after == charge
    return markup, charge


def test_a_rule_for_one_organization_reaches_the_running_gateway(stack: Stack) -> None:
    from routing.announce import announce_change
    from routing.models import MarkupRule

    bob, eve = stack.customer(), stack.customer()
    assert _charge(stack, bob) == ("1", 1_000_000)
    MarkupRule.objects.create(
        scope="organization", organization_id=bob.organization_id, factor=Decimal("1.5"), valid_from=timezone.now()
    )
    announce_change()
    stack.until(lambda: _charge(stack, bob) == ("1.5", 1_500_000))
    assert _charge(stack, eve) == ("1", 1_000_000)
    stack.assert_ledger_holds()


def test_what_a_markup_makes_dearer_buys_less(stack: Stack) -> None:
    """The hold knows the rule: what buys 3,000 tokens at list price buys 1,500 at twice the price."""
    from routing.announce import announce_change
    from routing.models import MarkupRule

    bob = stack.customer(credit_usd="0.030")
    MarkupRule.objects.create(
        scope="organization", organization_id=bob.organization_id, factor=2, valid_from=timezone.now()
    )
    announce_change()
    stack.until(lambda: _charge(stack, bob, tokens=1) == ("2", 20_000))
    posted, held = stack.wallet(bob)
    assert held == 0
    answer = stack.openai(bob).chat.completions.with_raw_response.create(
        model="sandbox/exact", messages=[{"role": "user", "content": "go"}], max_tokens=posted // 10_000
    )
    assert 1400 < int(answer.headers["x-router-output-cap"]) == posted // 20_000
    assert 0 <= stack.wallet(bob)[0] < 20_000
    stack.assert_ledger_holds()
