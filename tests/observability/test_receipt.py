from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from billing.models.usage import UsageRecord
from billing.usage_records import receipt_of
from observability.records import RequestRecord
from tests.observability.conftest import Cast, Save, attempt_record


def charged(cast: Cast, request: RequestRecord, **given: Any) -> UsageRecord:
    values: dict[str, Any] = {
        "id": request.id,
        "request_id": request.id,
        "organization_id": cast.organization.pk,
        "project_id": cast.project.pk,
        "api_key_id": cast.key.pk,
        "model": request.model,
        "provider": request.provider,
        "usage": {"input": 1842, "cache_read": 38400, "output": 612, "request": 1},
        "usage_source": "reported",
        "policy": "answered",
        "price_card_id": 12345,
        "rates": {"input": "2", "cache_read": "0.10", "output": "10"},
        "charge_nanos": 13_644_000,
        "occurred_at": datetime.now(UTC),
    }
    return UsageRecord.objects.create(**(values | given))


def page_of(cast: Cast, request: RequestRecord) -> str:
    return cast.page().get(f"/logs/{request.id}").content.decode()


def test_every_multiplication_is_written_out(alice: Cast, save: Save) -> None:
    request = save(alice, attempt_record(), charge_nanos=13_644_000)
    charged(alice, request)
    text = page_of(alice, request)
    for words in ("1,842 × $2.00/M", "$0.003684", "38,400 × $0.10/M", "$0.00384", "612 × $10.00/M", "$0.013644"):
        assert words in text, words
    assert "Price card 12345." in text
    assert "A complete answer is charged by the usage" in text


def test_the_lines_add_up_to_the_charge(alice: Cast, save: Save) -> None:
    request = save(alice)
    charged(alice, request)
    receipt = receipt_of(request.id)
    assert receipt is not None
    [part] = receipt.parts
    assert sum(line.nanos for line in part.lines) == part.charge_nanos == receipt.charge_nanos == 13_644_000
    assert part.waived_nanos == 0


def test_exchange_rate_and_markup_are_shown_where_they_count(alice: Cast, save: Save) -> None:
    request = save(alice)
    charged(alice, request, rate_currency="CNY", units_per_usd="7.12", markup="1.1", charge_nanos=2_107_921)
    assert "1,842 × ¥2.00/M ÷ 7.12 × 1.10" in page_of(alice, request)


def test_what_a_rule_did_not_charge_is_a_line_of_its_own(alice: Cast, save: Save) -> None:
    request = save(alice, charge_nanos=0)
    charged(alice, request, charge_nanos=0, policy="failed_free")
    text = page_of(alice, request)
    assert "−$0.013644" in text
    assert "Failed requests are not charged." in text


def test_a_request_without_usage_has_a_receipt_of_zero(alice: Cast, save: Save) -> None:
    request = save(alice, outcome="failed", status=502, charge_nanos=0)
    charged(alice, request, usage={}, rates={}, price_card_id=None, usage_source="none", charge_nanos=0, policy="")
    assert "$0.000000" in page_of(alice, request)


def test_a_request_that_was_never_funded_has_none(alice: Cast, save: Save) -> None:
    assert receipt_of(save(alice).id) is None
