"""Damaged input raises nothing but the typed errors, and what is written from it can be read."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import fails, make_input
from tests.fuzz.mutate import to_bytes
from tests.fuzz.targets import all_targets
from tests.gateway.protocol.properties.strategies import ANYTHING

TARGETS = all_targets()
DAMAGED = 20_000 if os.environ.get("LONG_PROPERTIES") else 150
every_target = pytest.mark.parametrize("name", sorted(TARGETS))


@every_target
def test_damaged_input_breaks_no_promise(name: str) -> None:
    dice = random.Random(name)
    for _ in range(DAMAGED):
        body = make_input(dice, TARGETS[name])
        assert fails(TARGETS[name], body) == "", body


@every_target
@settings(max_examples=settings.default.max_examples // 3)
@given(body=st.binary(max_size=60) | ANYTHING.map(to_bytes))
def test_input_of_any_kind_breaks_no_promise(name: str, body: bytes) -> None:
    assert fails(TARGETS[name], body) == ""
