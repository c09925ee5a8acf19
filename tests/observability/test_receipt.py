from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from billing.models.usage import UsageRecord
from billing.receipts.document import public_id
from billing.usage_records import receipt_of
from billing.verify_receipt import main
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
    receipt = receipt_of(UUID(request.id))
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
    assert receipt_of(UUID(save(alice).id)) is None


def address_of(request: RequestRecord) -> str:
    return f"/receipts/{public_id(UUID(request.id))}.json"


def test_the_owner_downloads_a_receipt_that_can_be_checked(alice: Cast, save: Save, tmp_path: Path) -> None:
    request = save(alice, attempt_record(), charge_nanos=13_644_000)
    charged(alice, request)
    assert address_of(request) in page_of(alice, request)
    answer = alice.page().get(address_of(request))
    assert answer.headers["Content-Disposition"] == f'attachment; filename="receipt-{public_id(UUID(request.id))}.json"'
    assert "no-store" in answer.headers["Cache-Control"]
    receipt, keys = tmp_path / "receipt.json", tmp_path / "keys.json"
    receipt.write_bytes(answer.content)
    keys.write_bytes(alice.page().get("/.well-known/routerone-receipt-key.json").content)
    assert main([str(receipt), "--key", str(keys)]) == 0
    found = json.loads(answer.content)
    assert found["charge_nanos"] == 13_644_000
    assert [attempt["provider"] for attempt in found["attempts"]] == ["deepseek"]
    receipt.write_bytes(answer.content.replace(b"13644000", b"13644001"))
    assert main([str(receipt), "--key", str(keys)]) == 1


@pytest.mark.parametrize("what", ["another organization's", "not charged", "no id"])
def test_other_receipts_do_not_exist(alice: Cast, bob: Cast, save: Save, what: str) -> None:
    request = save(bob if what == "another organization's" else alice)
    if what == "another organization's":
        charged(bob, request)
    address = "/receipts/gen-nothing.json" if what == "no id" else address_of(request)
    assert alice.page().get(address).status_code == 404


def test_a_visitor_is_sent_to_the_log_in(alice: Cast, save: Save, client: Any) -> None:
    request = save(alice)
    charged(alice, request)
    assert client.get(address_of(request)).status_code == 302


def test_without_a_signing_key_no_receipt_is_offered(alice: Cast, save: Save, settings: Any) -> None:
    settings.RECEIPT_SIGNING_KEY = ""
    request = save(alice)
    charged(alice, request)
    assert "/receipts/" not in page_of(alice, request)
    assert alice.page().get(address_of(request)).status_code == 404
