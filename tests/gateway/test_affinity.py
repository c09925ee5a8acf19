"""Where a conversation was answered is found again by how it begins."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import affinity
from gateway.affinity import Affinity

PEPPER = b"p" * 32
FIRST = {"role": "user", "content": "Read this book: " + "x" * 9000}
NEXT = [{"role": "assistant", "content": "Done."}, {"role": "user", "content": "Who did it?"}]


def chat(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages)}


PARTS = {"role": "user", "content": [{"type": "text", "text": "long"}]}


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (chat({"role": "system", "content": "S"}, FIRST), chat({"role": "system", "content": "S"}, FIRST, *NEXT)),
        (chat(FIRST), chat(FIRST, *NEXT)),
        ({"system": [{"text": "S"}], "messages": [PARTS]}, {"system": [{"text": "S"}], "messages": [PARTS, *NEXT]}),
        ({"instructions": "I", "input": "hello"}, {"instructions": "I", "input": "hello", "temperature": 1}),
        (
            {"contents": [{"role": "user", "parts": [{"text": "a"}]}]},
            {"contents": [{"role": "user", "parts": [{"text": "a"}]}, *NEXT]},
        ),
    ],
)
def test_a_conversation_keeps_its_key_while_it_grows(first: dict[str, Any], later: dict[str, Any]) -> None:
    known = Affinity(PEPPER)
    assert known.key(1, first) == known.key(1, later)


def test_other_beginnings_projects_sessions_and_installations_have_other_keys() -> None:
    known = Affinity(PEPPER)
    first = chat({"role": "system", "content": "S"}, FIRST)
    keys = {
        known.key(1, first),
        known.key(2, first),
        known.key(1, chat({"role": "system", "content": "T"}, FIRST)),
        known.key(1, first, session="a"),
        known.key(1, first, session="b"),
        Affinity(b"q" * 32).key(1, first),
    }
    assert len(keys) == 6
    assert known.key(1, first, session="a") == known.key(1, chat(FIRST), session="a")


@pytest.mark.parametrize(
    "odd", [{}, {"messages": None}, {"messages": [None, 7]}, {"messages": {"a": 1}}, {"input": [["x"]]}]
)
def test_an_odd_request_has_a_key_too(odd: dict[str, Any]) -> None:
    assert len(Affinity(PEPPER).key(1, odd)) == 24


def test_a_place_is_told_to_others_once_and_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Affinity(PEPPER), Affinity(PEPPER)
    now = [1000.0]
    monkeypatch.setattr(affinity.time, "monotonic", lambda: now[0])
    key = one.key(1, chat(FIRST))
    assert one.place(key) is None
    one.answered(key, 7)
    other.hear(one.take_news(5.0), 5.0, 5.0)
    assert one.take_news(5.0) is None
    assert one.place(key) == other.place(key) == 7
    now[0] += affinity.KEPT_S + 1
    assert one.place(key) is None


def test_memory_is_bounded_and_the_longest_unused_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affinity, "MOST_KEPT", 3)
    known = Affinity(PEPPER)
    for number in range(5):
        known.answered(str(number), number)
    assert [known.place(str(number)) for number in range(5)] == [None, None, 2, 3, 4]
