"""Signed receipts, and the check that anybody can run on them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing.price import price
from billing.pricing.rates import STANDARD, RateCard
from billing.pricing.usage import BUCKETS, TokenUsage
from billing.receipts.document import public_id, receipt_document, request_id_in
from billing.receipts.signing import Signer, key_id_of, key_list
from billing.verify_receipt import charge_problems, main, usd

ROOT = Path(__file__).resolve().parents[2]
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
REQUEST = UUID("019ab000-0000-7000-8000-0000000000ab")
SIGNER = Signer("1f" * 32)
OTHER = Signer("2e" * 32)
ATTEMPT = {
    "number": 1,
    "provider": "deepseek",
    "reason": "cheapest",
    "status": 200,
    "error_class": "",
    "started_ms": 1,
    "duration_ms": 890,
}


def a_record(**values: Any) -> dict[str, Any]:
    """A row of a usage record: cents in CNY, with a markup."""
    return {
        "part": 0,
        "organization_id": 1,
        "project_id": 2,
        "api_key_id": 3,
        "model": "deepseek/flash",
        "provider": "deepseek",
        "usage": {"input": 1842, "cache_read": 38400, "output": 612, "request": 1},
        "usage_source": "reported",
        "usage_flags": [],
        "policy": "answered",
        "price_card_id": 7,
        "rates": {"input": "2", "cache_read": "0.10", "output": "10"},
        "rate_currency": "CNY",
        "units_per_usd": "7.12",
        "markup": "1.1",
        "charge_nanos": 2_107_921,
        "currency": "USD",
        "hold_id": UUID(int=5),
        "transfer_id": UUID(int=6),
        "occurred_at": NOON,
        "settled_at": NOON,
    } | values


def a_receipt(*records: dict[str, Any]) -> dict[str, Any]:
    return receipt_document(REQUEST, records or [a_record()], [ATTEMPT], issuer="https://router.example")


def verdict(tmp_path: Path, document: Any, keys: Any = None) -> int:
    file, key_file = tmp_path / "receipt.json", tmp_path / "keys.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    key_file.write_text(json.dumps(keys or key_list(SIGNER.public_key, [])))
    return main([str(file), "--key", str(key_file)])


def test_a_receipt_of_ours_is_right_and_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict(tmp_path, SIGNER.sign(a_receipt())) == 0
    printed = capsys.readouterr().out
    for words in ("1842 × 2", "÷ 7.12 CNY/USD × 1.1", "0.002107921", f"Key {key_id_of(SIGNER.public_key)}."):
        assert words in printed, words


def test_the_lines_are_those_of_the_price(tmp_path: Path) -> None:
    (part,) = a_receipt()["parts"]
    assert [line["bucket"] for line in part["lines"]] == ["input", "cache_read", "output"]
    assert sum(Decimal(line["usd"]) for line in part["lines"]) == pytest.approx(
        Decimal("0.002107921"), abs=Decimal("1e-9")
    )
    assert part["computed_nanos"] == part["charge_nanos"] == 2_107_921
    assert part["waived_nanos"] == 0


def test_no_digit_and_no_letter_can_be_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = json.dumps(SIGNER.sign(a_receipt()), sort_keys=True)
    places = [found.start() for found in re.finditer("[0-9a-zA-Z]", text)]
    assert len(places) > 1_000
    for place in places:
        other = "1" if text[place] == "0" else "0" if text[place].isdigit() else "Z"
        assert verdict(tmp_path, text[:place] + other + text[place + 1 :]) != 0, text[place - 20 : place + 20]


def test_without_a_key_file_a_change_is_found_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "receipt.json"
    signed = SIGNER.sign(a_receipt())
    file.write_text(json.dumps(signed))
    assert main([str(file)]) == 0
    assert "Add --key" in capsys.readouterr().out
    for changed in ({**signed, "issuer": "https://router.exampl3"}, {**signed, "public_key": OTHER.public_key}):
        file.write_text(json.dumps(changed))
        assert main([str(file)]) == 1


@pytest.mark.parametrize("keys", [{}, {"keys": 3}, {"keys": [{}]}, {"keys": []}, key_list(OTHER.public_key, [])])
def test_a_key_that_is_not_published_proves_nothing(tmp_path: Path, keys: Any) -> None:
    assert verdict(tmp_path, SIGNER.sign(a_receipt()), keys or {"other": 1}) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("usage", {"input": 1843, "cache_read": 38400, "output": 612, "request": 1}),
        ("rates", {"input": "2", "cache_read": "0.11", "output": "10"}),
        ("rates", {}),
        ("rates", {"output": "10"}),
        ("markup", "1.2"),
        ("markup", "-1"),
        ("units_per_usd", "7.13"),
        ("units_per_usd", "0"),
        ("units_per_usd", "many"),
        ("charge_nanos", 2_107_922),
        ("charge_nanos", 2_107_920),
        ("charge_nanos", "2107921"),
        ("charge_nanos", True),
        ("charge_nanos", -1),
        ("computed_nanos", 1),
        ("waived_nanos", 1),
        ("lines", []),
        ("funding", []),
        ("funding", [{"source": "wallet", "nanos": 1}]),
    ],
)
def test_a_wrong_sum_is_found_under_a_right_signature(tmp_path: Path, name: str, value: Any) -> None:
    receipt = a_receipt()
    receipt["parts"][0][name] = value
    assert verdict(tmp_path, SIGNER.sign(receipt)) == 1
    if name == "charge_nanos" and type(value) is int:
        assert charge_problems({**receipt, "charge_nanos": value}) != []


def test_more_than_the_price_is_never_right() -> None:
    receipt = a_receipt(a_record(charge_nanos=2_107_922))
    assert "2107922 nanos were charged, 2107921 are right" in "".join(charge_problems(receipt))


def test_a_rule_may_charge_less_and_the_receipt_says_so() -> None:
    receipt = a_receipt(a_record(charge_nanos=0, policy="failed_free", transfer_id=None))
    assert charge_problems(receipt) == []
    (part,) = receipt["parts"]
    assert (part["waived_nanos"], part["funding"]) == (2_107_921, [])


def test_a_request_without_usage_has_a_right_receipt_of_zero(tmp_path: Path) -> None:
    nothing = a_record(usage={}, rates={}, price_card_id=None, usage_source="none", charge_nanos=0, units_per_usd="1")
    assert verdict(tmp_path, SIGNER.sign(a_receipt(nothing))) == 0


def test_parts_are_added_up(tmp_path: Path) -> None:
    receipt = a_receipt(a_record(part=1, charge_nanos=0), a_record())
    assert [part["part"] for part in receipt["parts"]] == [0, 1]
    assert receipt["charge_nanos"] == 2_107_921
    assert verdict(tmp_path, SIGNER.sign(receipt)) == 0
    assert verdict(tmp_path, SIGNER.sign({**receipt, "charge_nanos": 0})) == 1


@pytest.mark.parametrize(
    "text",
    ["", "[]", "nonsense", '{"a": 1, "a": 2}', '{"a": 1.0}', '{"a": NaN}', "[" * 100_000, "\0", "3"],
)
def test_what_is_no_receipt_is_unreadable(tmp_path: Path, text: str) -> None:
    assert verdict(tmp_path, text) == 2


@pytest.mark.parametrize("document", [{}, {"parts": []}, {"parts": [1]}, {"type": "routerone.receipt", "version": 1}])
def test_what_is_another_document_is_refused(tmp_path: Path, document: Any) -> None:
    assert verdict(tmp_path, document) == 1
    assert verdict(tmp_path, SIGNER.sign({"type": "routerone.receipt", "version": 1, **document})) == 1


def test_a_missing_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().out


def test_an_old_key_stays_good_after_a_rotation(tmp_path: Path) -> None:
    keys = key_list(OTHER.public_key, [SIGNER.public_key])
    assert [entry["current"] for entry in keys["keys"]] == [True, False]
    assert verdict(tmp_path, SIGNER.sign(a_receipt()), keys) == 0
    assert verdict(tmp_path, OTHER.sign(a_receipt()), keys) == 0


def test_the_current_key_is_listed_once() -> None:
    assert len(key_list(SIGNER.public_key, [SIGNER.public_key])["keys"]) == 1
    assert key_list(None, []) == {"keys": []}


@pytest.mark.parametrize("key", ["", "1f", "1F" * 32, "zz" * 32, "1f" * 33])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        Signer(key)


def test_ids_of_callers_are_read_back() -> None:
    assert request_id_in(public_id(REQUEST)) == request_id_in(str(REQUEST)) == REQUEST
    assert request_id_in("gen-nothing") is None


def test_amounts_are_written_exactly() -> None:
    assert [usd(nanos) for nanos in (0, 1, 1_000_000_001)] == ["0.000000000", "0.000000001", "1.000000001"]


@given(
    counts=st.dictionaries(st.sampled_from(BUCKETS), st.integers(0, 10**9)),
    rate=st.decimals(0, 10_000, places=6),
    exchange=st.decimals("0.01", 200, places=8),
    markup=st.decimals(0, 10, places=4),
)
def test_whatever_is_priced_is_a_right_receipt(
    counts: dict[str, int], rate: Decimal, exchange: Decimal, markup: Decimal
) -> None:
    usage = TokenUsage.from_dict(counts)
    rates = {"input": rate, "output": rate / 3, "web_search_per_1k": rate}
    charge = price(usage, RateCard(7, STANDARD, None, None, 0, None, rates), units_per_usd=exchange, markup=markup)
    record = a_record(
        usage=usage.as_dict(),
        rates={name: str(value) for name, value in rates.items()},
        units_per_usd=str(exchange),
        markup=str(markup),
        charge_nanos=charge.total_nanos,
    )
    receipt = json.loads(json.dumps(a_receipt(record)))
    assert charge_problems(receipt) == []


def test_the_command_needs_neither_django_nor_a_database(tmp_path: Path) -> None:
    (tmp_path / "receipt.json").write_text(json.dumps(SIGNER.sign(a_receipt())))
    (tmp_path / "keys.json").write_text(json.dumps(key_list(SIGNER.public_key, [])))
    blocked = "import sys; sys.modules.update(dict.fromkeys(['django', 'psycopg', 'psycopg_pool', 'redis']));"
    program = f"{blocked} import runpy; runpy.run_module('billing.verify_receipt', run_name='__main__')"
    for document, code in (("receipt.json", 0), ("keys.json", 1)):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / document), "--key", str(tmp_path / "keys.json")],
            cwd=ROOT,
            env={},
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        assert done.returncode == code, done.stderr
        assert not done.stderr


def test_the_published_keys_are_fetched_from_an_address(tmp_path: Path) -> None:
    class Published(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(key_list(SIGNER.public_key, [])).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Published)
    Thread(target=server.serve_forever, daemon=True).start()
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(SIGNER.sign(a_receipt())))
    try:
        address = f"http://127.0.0.1:{server.server_port}/keys.json"
        assert main([str(file), "--key", address]) == 0
    finally:
        server.shutdown()
        server.server_close()
    assert main([str(file), "--key", address]) == 2


def test_the_keys_are_published_for_everybody(client: Client, settings: Any, db: None) -> None:
    settings.RECEIPT_SIGNING_KEY, settings.RECEIPT_OLD_PUBLIC_KEYS = "1f" * 32, [OTHER.public_key]
    answer = client.get("/.well-known/routerone-receipt-key.json")
    assert answer.json() == key_list(SIGNER.public_key, [OTHER.public_key])
    assert "1f" * 32 not in answer.content.decode()
    settings.RECEIPT_SIGNING_KEY = ""
    assert [entry["current"] for entry in client.get(answer.request["PATH_INFO"]).json()["keys"]] == [False]
