"""A Gemini request for an upstream of its own dialect: the caller's body, with little changed."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gateway.protocol.codec import Target
from gateway.protocol.conversation import Reasoning
from gateway.protocol.envelope import seal
from gateway.protocol.gemini_generate.names import DIALECT
from gateway.protocol.problem import ProtocolError
from tests.gateway.protocol.gemini.asking import HI, splice

UNCHECKED = "skip_thought_signature_validator"
CALL = {"functionCall": {"name": "f", "args": {}}}
RESULT = {"functionResponse": {"name": "f", "response": {"result": "r"}}}


def sealed(piece: Reasoning) -> str:
    return base64.b64encode(seal(piece, with_text=True).encode()).decode()


FOREIGN = sealed(Reasoning("hm", signature="s", origin="anthropic_messages"))
OWN = sealed(Reasoning("hm", signature="QQ==", origin=DIALECT))


def parts_sent(*parts: dict[str, Any], model: str = "gemini-2.5-flash") -> list[dict[str, Any]]:
    body, _ = splice(model=model, contents=[*HI, {"role": "model", "parts": list(parts)}])
    return [part for content in body["contents"][1:] for part in content["parts"]]


def test_all_else_stays_as_the_caller_sent_it() -> None:
    body = {
        "contents": [
            {"role": "user", "parts": [{"text": "Hi", "new": 1}, {"something_new": {}}], "x": None},
            {"role": "model", "parts": [{"text": "hm", "thought": True, "thoughtSignature": "QQ=="}, CALL]},
            {"parts": {"text": "one"}},
        ],
        "system_instruction": {"parts": [{"text": "s"}]},
        "generationConfig": {"temperature": 0.5, "unknown": {"deep": None}},
        "tools": [{"google_search": {}}],
        "safetySettings": [],
        "cachedContent": "cachedContents/1",
        "serviceTier": "flex",
        "labels": {"a": "b"},
    }
    sent, encoded = splice(**body)
    assert sent == body
    assert (encoded.path, encoded.headers, encoded.dropped) == ("/models/gemini-3-flash:generateContent", {}, ())


def test_the_model_and_the_stream_stand_in_the_path() -> None:
    sent, encoded = splice(model="tuned/gemini 3", target=Target("m", True), model_field=1)
    assert encoded.path == "/models/tuned%2Fgemini%203:streamGenerateContent?alt=sse"
    assert "model" not in sent


def test_our_own_fields_are_kept_back() -> None:
    sent, _ = splice(models=["a"], provider={"only": ["x"]}, route="fallback", router={"a": 1})
    assert set(sent) == {"contents"}


@pytest.mark.parametrize(
    ("config", "limit", "expected"),
    [
        ({"generationConfig": {"maxOutputTokens": 100, "a": 1}}, 50, {"maxOutputTokens": 50, "a": 1}),
        ({"generationConfig": {"maxOutputTokens": 20}}, 50, {"maxOutputTokens": 20}),
        ({"generationConfig": {"maxOutputTokens": 20}}, None, {"maxOutputTokens": 20}),
        ({"generationConfig": {}}, 50, {"maxOutputTokens": 50}),
        ({}, 50, {"maxOutputTokens": 50}),
    ],
)
def test_the_output_limit_is_only_lowered(config: dict[str, Any], limit: int | None, expected: dict[str, Any]) -> None:
    assert splice(limit=limit, **config)[0]["generationConfig"] == expected


def test_the_limit_is_lowered_in_the_caller_s_own_spelling() -> None:
    sent, _ = splice(limit=50, generation_config={"max_output_tokens": 100})
    assert sent["generation_config"] == {"max_output_tokens": 50}
    assert "generationConfig" not in sent


def test_a_limit_that_is_no_number_is_refused() -> None:
    with pytest.raises(ProtocolError) as refused:
        splice(limit=50, generationConfig={"maxOutputTokens": "many"})
    assert refused.value.problem.param == "generationConfig.maxOutputTokens"


def test_other_makers_thoughts_are_kept_back_with_their_seals() -> None:
    pieces = [{"text": "h", "thought": True}, {"text": "m", "thought": True}]
    closing = {"text": "", "thought": True, "thoughtSignature": FOREIGN}
    assert parts_sent(*pieces, closing, {"text": "a"}) == [{"text": "a"}]
    assert parts_sent({"text": "hm", "thought": True, "thought_signature": FOREIGN}, {"text": "a"}) == [{"text": "a"}]


def test_a_seal_on_another_part_leaves_the_part() -> None:
    assert parts_sent({**CALL, "thoughtSignature": FOREIGN}) == [CALL]
    assert parts_sent({"text": "a", "thoughtSignature": FOREIGN}) == [{"text": "a"}]
    assert parts_sent({"text": "", "thoughtSignature": FOREIGN}, {"text": "a"}) == [{"text": "a"}]


def test_a_content_of_which_nothing_is_left_is_left_out() -> None:
    assert parts_sent({"text": "hm", "thought": True, "thoughtSignature": FOREIGN}) == []


def test_our_own_seal_of_this_dialect_is_opened() -> None:
    assert parts_sent({"text": "hm", "thought": True, "thoughtSignature": OWN}) == [
        {"text": "hm", "thought": True, "thoughtSignature": "QQ=="}
    ]
    assert parts_sent({**CALL, "thought_signature": OWN}) == [{**CALL, "thought_signature": "QQ=="}]


def test_unsigned_calls_of_the_current_turn_are_signed_for_newer_models() -> None:
    contents = [
        *HI,
        {"role": "model", "parts": [CALL]},
        {"role": "user", "parts": [RESULT]},
        {"role": "user", "parts": [{"text": "Go"}]},
        {"role": "model", "parts": [{"text": "I will."}, CALL, CALL]},
        {"role": "user", "parts": [RESULT, RESULT]},
        {"role": "model", "parts": [{**CALL, "thoughtSignature": "QQ=="}]},
        {"role": "function", "parts": [RESULT]},
    ]
    sent, _ = splice(model="gemini-3-pro", contents=contents)
    signed = [{"text": "I will."}, {**CALL, "thoughtSignature": UNCHECKED}, CALL]
    assert sent["contents"] == [*contents[:4], {"role": "model", "parts": signed}, *contents[5:]]
    assert splice(model="gemini-2.5-pro", contents=contents)[0]["contents"] == contents


def test_a_call_that_lost_a_foreign_seal_is_signed_too() -> None:
    contents = [
        *HI,
        {"role": "model", "parts": [{**CALL, "thoughtSignature": FOREIGN}]},
        {"role": "user", "parts": [RESULT]},
    ]
    sent, _ = splice(contents=contents)
    assert sent["contents"][1]["parts"] == [{**CALL, "thoughtSignature": UNCHECKED}]


@pytest.mark.parametrize("contents", [[1], [{"parts": 1}], [{"parts": ["x", None]}], [{"role": "model"}], {}])
def test_odd_contents_are_left_to_the_provider(contents: Any) -> None:
    assert splice(contents=contents)[0]["contents"] == contents
