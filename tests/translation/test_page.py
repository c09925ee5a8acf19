"""The page about translations says what the codecs do now."""

from __future__ import annotations

import pytest

from gateway.protocol.dialects import CODECS
from tests.translation import judge
from tests.translation.page import PAGE, page
from tests.translation.probes import ANSWERED, ASKED


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it again: python -m tests.translation"


@pytest.mark.parametrize("probe", ASKED, ids=lambda probe: probe.name)
def test_every_request_can_be_said_in_some_dialect(probe: judge.Asked) -> None:
    assert any(judge.asked(probe, caller, caller) for caller in CODECS)


@pytest.mark.parametrize("probe", ANSWERED, ids=lambda probe: probe.name)
def test_every_reply_can_be_given_in_some_dialect(probe: judge.Answered) -> None:
    assert any(judge.answered(probe, provider, provider) for provider in CODECS)
