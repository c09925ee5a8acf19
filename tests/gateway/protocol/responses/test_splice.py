"""A Responses request for an upstream of its own dialect: the caller's body, with little changed."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.protocol.conversation import Reasoning
from gateway.protocol.envelope import seal
from gateway.protocol.problem import ProtocolError
from tests.gateway.protocol.responses.asking import splice

TEXT = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}], "id": "msg_1"}


def reasoning(**fields: Any) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": [], **fields}


def test_all_else_stays_as_the_caller_sent_it() -> None:
    body = {
        "input": [TEXT, {"type": "compaction_trigger"}, {"type": "something_new", "x": [1]}],
        "include": ["reasoning.encrypted_content"],
        "client_metadata": {"a": "b"},
        "tools": [{"type": "custom", "name": "c"}, {"type": "tool_search"}],
        "unknown": {"deep": None},
        "stream": True,
    }
    sent, encoded = splice(**body)
    assert sent == {**body, "model": "up", "store": False}
    assert (encoded.path, encoded.headers, encoded.dropped) == ("/responses", {}, ())


@pytest.mark.parametrize("store", [{}, {"store": True}, {"store": None}, {"store": False}])
def test_nothing_is_ever_stored_at_a_provider(store: dict[str, Any]) -> None:
    sent, _ = splice(**store)
    assert sent["store"] is False


@pytest.mark.parametrize(("own", "limit", "expected"), [(100, 50, 50), (20, 50, 20), (None, 50, 50), (20, None, 20)])
def test_the_output_limit_is_only_lowered(own: int | None, limit: int | None, expected: int) -> None:
    sent, _ = splice(limit=limit, max_output_tokens=own)
    assert sent["max_output_tokens"] == expected


def test_our_own_fields_are_kept_back() -> None:
    sent, _ = splice(models=["a"], provider={"only": ["x"]}, route="fallback", router={"a": 1})
    assert set(sent) == {"model", "input", "store"}


def test_only_the_beta_header_goes_on() -> None:
    headers = {"openai-beta": "responses=v2", "originator": "codex_exec", "session-id": "s", "openai-organization": "o"}
    _, encoded = splice(headers=headers)
    assert encoded.headers == {"openai-beta": "responses=v2"}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (reasoning(encrypted_content="E", content=None), [reasoning(encrypted_content="E", content=None)]),
        (reasoning(), []),
        (reasoning(summary=[{"type": "summary_text", "text": "a"}], encrypted_content=None), []),
        (
            reasoning(content=[{"type": "reasoning_text", "text": "a"}]),
            [reasoning(content=[{"type": "reasoning_text", "text": "a"}])],
        ),
        (reasoning(encrypted_content=seal(Reasoning("a", signature="s", origin="anthropic_messages"))), []),
        (reasoning(encrypted_content="r1.broken"), []),
        (
            reasoning(
                encrypted_content=seal(
                    Reasoning("a", redacted="E", origin="openai_responses", id="rs_9"), with_text=True
                )
            ),
            [
                {
                    "id": "rs_9",
                    "type": "reasoning",
                    "summary": [{"type": "summary_text", "text": "a"}],
                    "encrypted_content": "E",
                }
            ],
        ),
    ],
    ids=["native", "bare", "summary only", "plain thoughts", "sealed, foreign", "broken seal", "sealed, own"],
)
def test_reasoning_goes_back_only_to_who_can_read_it(item: dict[str, Any], expected: list[dict[str, Any]]) -> None:
    sent, _ = splice(input=[TEXT, item, TEXT])
    assert sent["input"] == [TEXT, *expected, TEXT]


@pytest.mark.parametrize(
    "item", [{"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"}, {"type": None, "id": "x"}]
)
def test_a_reference_to_something_stored_is_refused(item: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        splice(input=[TEXT, item])
    assert caught.value.problem.status == 400
    assert caught.value.problem.param == "input[1]"
    assert "not stored here" in caught.value.problem.message
