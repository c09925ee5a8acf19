"""What we tell of a request's routing, put into answers that are passed on as bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.metadata import in_body, in_stream
from gateway.protocol.sse import SseDecoder

TOLD = b'{"router_metadata":{"a":1}}'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"id":"x"}', '{"id":"x","router_metadata":{"a":1}}'),
        ("{}", '{"router_metadata":{"a":1}}'),
        (' {\n "id": "x"\n}\n', ' {\n "id": "x"\n,"router_metadata":{"a":1}}\n'),
        ("{ }", '{ "router_metadata":{"a":1}}'),
        ('{"a":{}}', '{"a":{},"router_metadata":{"a":1}}'),
        ('{"a":"{"}', '{"a":"{","router_metadata":{"a":1}}'),
        ('{"router_metadata":{"theirs":1},"id":"x"}', '{"id":"x","router_metadata":{"a":1}}'),
        ('{"id":"x","openrouter_metadata":null}', '{"id":"x","router_metadata":{"a":1}}'),
        ('{"t":"\\"router_metadata\\""}', '{"t":"\\"router_metadata\\"","router_metadata":{"a":1}}'),
        ('{"error":{"message":"no"}}', '{"error":{"message":"no"},"router_metadata":{"a":1}}'),
        ("[1]", "[1]"),
        ("", ""),
        ("null", "null"),
    ],
)
def test_a_body_has_it_last_and_the_providers_own_is_left_out(body: str, expected: str) -> None:
    assert in_body(body.encode(), TOLD).decode() == expected


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.text() | st.integers(), st.lists)))
def test_any_object_is_the_same_but_for_it(said: dict[str, Any]) -> None:
    found = json.loads(in_body(json.dumps(said).encode(), TOLD))
    assert found.pop("router_metadata") == {"a": 1}
    said.pop("router_metadata", None)
    said.pop("openrouter_metadata", None)
    assert found == said


@pytest.mark.parametrize(
    ("dialect", "ending", "expected"),
    [
        (
            "openai_chat",
            'data: {"choices":[{}]}\n\ndata: {"usage":{}}\n\ndata: [DONE]\n\n',
            'data: {"choices":[{}]}\n\ndata: {"usage":{},"router_metadata":{"a":1}}\n\ndata: [DONE]\n\n',
        ),
        (
            "openai_chat",
            'data: {"id":"x"}\r\n\r\n: words\r\n\r\ndata: [DONE]\r\n\r\n',
            'data: {"id":"x","router_metadata":{"a":1}}\r\n\r\n: words\r\n\r\ndata: [DONE]\r\n\r\n',
        ),
        ("openai_completions", 'data: {"id":"x"}\n\n', 'data: {"id":"x","router_metadata":{"a":1}}\n\n'),
        (
            "anthropic_messages",
            'event: message_delta\ndata: {"type":"message_delta"}\n\n'
            'event: message_stop\ndata: {"type":"message_stop"}\n\n',
            'event: message_delta\ndata: {"type":"message_delta"}\n\n'
            'event: message_stop\ndata: {"type":"message_stop","router_metadata":{"a":1}}\n\n',
        ),
        (
            "anthropic_messages",
            'event: error\ndata: {"type":"error","error":{}}\n\nevent: ping\ndata: {"type":"ping"}\n\n',
            'event: error\ndata: {"type":"error","error":{},"router_metadata":{"a":1}}\n\n'
            'event: ping\ndata: {"type":"ping"}\n\n',
        ),
        (
            "openai_responses",
            'event: response.completed\ndata: {"type":"response.completed","response":{"id":"x"},"n":1}\n\n',
            'event: response.completed\ndata: {"type":"response.completed",'
            '"response":{"router_metadata":{"a":1},"id":"x"},"n":1}\n\n',
        ),
        (
            "openai_responses",
            'data: {"response":{"id":"x","router_metadata":2}}\n\n',
            'data: {"response":{"router_metadata":{"a":1},"id":"x"}}\n\n',
        ),
        ("openai_responses", 'data: {"response":{}}\n\n', 'data: {"response":{"router_metadata":{"a":1}}}\n\n'),
        ("openai_responses", 'data: {"error":{}}\n\n', 'data: {"error":{},"router_metadata":{"a":1}}\n\n'),
        ("gemini_generate", 'data: {"candidates":[]}', 'data: {"candidates":[],"router_metadata":{"a":1}}'),
        ("gemini_generate", 'data: {\ndata: "a":1}\n\n', 'data: { "a":1,"router_metadata":{"a":1}}\n\n'),
        ("openai_chat", "data: [DONE]\n\n", "data: [DONE]\n\n"),
        ("openai_chat", ": nothing\n\n", ": nothing\n\n"),
        ("openai_chat", "", ""),
    ],
)
def test_a_stream_has_it_in_its_last_event(dialect: str, ending: str, expected: str) -> None:
    assert in_stream(dialect, ending.encode(), TOLD).decode() == expected


@given(st.sampled_from(["openai_chat", "openai_responses", "anthropic_messages"]), st.binary(max_size=200))
def test_no_bytes_are_too_odd(dialect: str, ending: bytes) -> None:
    in_body(ending, TOLD)
    in_stream(dialect, ending, TOLD)
    in_stream(dialect, b"data: {" + ending + b"}\n\n", TOLD)


def test_every_other_event_keeps_its_bytes() -> None:
    events = [b'data: {"n":%d}\n\n' % number for number in range(5)]
    told = SseDecoder(10_000).feed(in_stream("openai_chat", b"".join(events), TOLD))
    assert [one.raw for one in told][:-1] == events[:-1]
