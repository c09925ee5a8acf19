"""Check a receipt without us: its signature, and every multiplication.

    python -m billing.verify_receipt receipt.json --key routerone-receipt-key.json

Needs neither Django nor a database, and no network unless `--key` is an address. Exits with 0 if all is right, with 1
on any difference, with 2 if a file can't be read.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from billing.pricing.money import NANOS_PER_USD
from billing.pricing.rates import InvalidRateCard
from billing.receipts.document import TYPE, VERSION, Json, computed_fields
from billing.receipts.signing import BadSignature, check_signature

_MOST_BYTES: Final = 1_000_000
_TIMEOUT_S: Final = 10.0
_NOT_COMPUTABLE = (ArithmeticError, InvalidRateCard, ValueError, TypeError, KeyError, AttributeError)


class Unreadable(Exception):
    """A file or an address gave nothing that can be checked."""


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m billing.verify_receipt", description=__doc__.split("\n")[0])
    parser.add_argument("file", help="the receipt, as downloaded")
    parser.add_argument("--key", help="file or address of the published keys: /.well-known/routerone-receipt-key.json")
    chosen = parser.parse_args(arguments)
    try:
        receipt = _read(_bytes_of_file(chosen.file))
        keys = _read(_bytes_of(chosen.key)) if chosen.key else None
    except Unreadable as problem:
        _say(f"{problem}")
        return 2
    differences = [*signature_problems(receipt, keys), *charge_problems(receipt)]
    for line in _table(receipt) if not differences else ():
        _say(line)
    for difference in differences:
        _say(f"WRONG  {difference}")
    if not differences:
        _say(f"Signature and charge are right. Key {receipt['key_id']}.")
        if keys is None:
            _say("Only checked against the key inside the receipt. Add --key to know that the key is ours.")
    return 1 if differences else 0


def signature_problems(receipt: Mapping[str, Any], keys: Mapping[str, Any] | None) -> list[str]:
    """What is wrong with the signature. `keys` is the published list; None trusts the key in the receipt."""
    try:
        own = str(receipt.get("public_key"))
        if keys is not None and own not in [entry["public_key"] for entry in keys["keys"]]:
            return [f"signature: the key {receipt.get('key_id')} is not among the published ones"]
        check_signature(receipt, own)
    except BadSignature as problem:
        return [f"signature: {problem}"]
    except (ValueError, TypeError, KeyError):
        return ["signature: there is no readable key"]
    return []


def charge_problems(receipt: Mapping[str, Any]) -> list[str]:
    """Every line, sum and share that does not follow from usage, rates, markup and exchange rate."""
    parts = receipt.get("parts")
    if receipt.get("type") != TYPE or receipt.get("version") != VERSION or not isinstance(parts, list) or not parts:
        return [f"this is not a receipt of version {VERSION}"]
    found = [problem for number, part in enumerate(parts) for problem in _part_problems(number, part)]
    charges: list[Any] = [part.get("charge_nanos") for part in parts if isinstance(part, dict)]
    if not all(type(charge) is int for charge in charges) or receipt.get("charge_nanos") != sum(charges):
        found.append("the charge is not the sum of its parts")
    return found


def _part_problems(number: int, part: Any) -> Iterator[str]:
    try:
        if type(part["charge_nanos"]) is not int:
            raise TypeError("a charge is a whole number")
        expected = computed_fields(part)
    except _NOT_COMPUTABLE as problem:
        yield f"part {number}: can't be computed ({type(problem).__name__})"
        return
    for name, value in expected.items():
        if part.get(name) != value:
            yield f"part {number}: {name} should be {value}, not {part.get(name)}"
    if not 0 <= part["charge_nanos"] <= expected["computed_nanos"]:
        yield f"part {number}: {part['charge_nanos']} nanos were charged, {expected['computed_nanos']} are right"


def _table(receipt: Json) -> Iterator[str]:
    yield f"{receipt.get('id')}  {receipt.get('issuer')}"
    for part in receipt["parts"]:
        yield "  ".join(str(part.get(name)) for name in ("model", "provider", "policy"))
        factors = f"÷ {part['units_per_usd']} {part.get('rate_currency')}/USD × {part['markup']}"
        for line in part["lines"]:
            yield f"  {line['bucket']:<18}{line['quantity']:>12} × {line['rate']:<10}{factors} = {line['usd']:>16}"
        if part["waived_nanos"]:
            yield f"  {'not charged':<18}{'-' + usd(part['waived_nanos']):>16}"
        yield f"  {'charged':<18}{usd(part['charge_nanos']):>16}"
    yield f"Total {usd(receipt['charge_nanos'])} USD"


def usd(nanos: int) -> str:
    """Whole nanos, not negative, as dollars with nine places."""
    return f"{nanos // NANOS_PER_USD}.{nanos % NANOS_PER_USD:09d}"


def _read(data: bytes) -> Json:
    try:
        document = json.loads(data, object_pairs_hook=_without_twins, parse_float=_no_float, parse_constant=_no_float)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"This can't be read as a receipt or list of keys: {error}") from None
    if not isinstance(document, dict):
        raise Unreadable("This is no receipt and no list of keys.")
    return document


def _without_twins(pairs: list[tuple[str, Any]]) -> Json:
    """Of two values under one name a reader may see the one and we the other."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return dict(pairs)


def _no_float(text: str) -> Any:
    raise ValueError(f"receipts hold no number like {text[:40]}")


def _bytes_of(place: str) -> bytes:
    if urlsplit(place).scheme not in ("http", "https"):
        return _bytes_of_file(place)
    try:
        with urllib.request.urlopen(place, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - http and https only
            data: bytes = answer.read(_MOST_BYTES)
    except (OSError, ValueError) as error:
        raise Unreadable(f"{place}: {error}") from None
    return data


def _bytes_of_file(place: str) -> bytes:
    try:
        with Path(place).open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError as error:
        raise Unreadable(f"{place}: {error.strerror}") from None


def _say(line: str) -> None:
    sys.stdout.write("".join(char if char.isprintable() else "?" for char in line) + "\n")


if __name__ == "__main__":
    sys.exit(main())
