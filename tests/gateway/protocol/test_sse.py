from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.sse import EventTooLarge, SseDecoder, SseEvent, encode_event, terminated


def decode(*chunks: bytes, limit: int = 1 << 20) -> list[SseEvent]:
    decoder = SseDecoder(limit)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return events + decoder.end()


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_all_three_line_ends_end_events(newline: bytes) -> None:
    body = b"event: ping\ndata: 1\n\ndata: 2\n\n".replace(b"\n", newline)
    assert [(event.event, event.data) for event in decode(body)] == [("ping", b"1"), ("", b"2")]


def test_a_cr_at_the_end_waits_for_its_lf() -> None:
    decoder = SseDecoder(100)
    assert decoder.feed(b"data: 1\r\n\r") == []
    assert [event.raw for event in decoder.feed(b"\n")] == [b"data: 1\r\n\r\n"]


@pytest.mark.parametrize(
    ("block", "data"),
    [
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"data:no space\n\n", b"no space"),
        (b"data:  two\n\n", b" two"),
        (b": comment\n\n", None),
        (b":\n\n", None),
        (b"id: 1\nretry: 5\ndata: x\n\n", b"x"),
        (b"\xef\xbb\xbfdata: after a mark\n\n", b"after a mark"),
        (b"data\n\n", b""),
    ],
)
def test_a_block_is_read_by_the_rules(block: bytes, data: bytes | None) -> None:
    (event,) = decode(block)
    assert event.data == data
    assert event.raw == block
    assert event.bare is None


def test_the_last_event_may_lack_its_blank_line() -> None:
    events = decode(b"data: 1\n\ndata: 2")
    assert [event.data for event in events] == [b"1", b"2"]
    assert terminated(events[-1].raw) == b"data: 2\n\n"


def test_blank_lines_at_the_end_are_no_event() -> None:
    assert [event.data for event in decode(b"data: 1\n\n\n")] == [b"1"]


def test_json_without_a_field_name_is_kept_apart() -> None:
    (_, event) = decode(b'data: {}\n\n{\n  "error": {\n    "code": 400\n  }\n}\n')
    assert event.data is None
    assert event.bare == b'{\n  "error": {\n    "code": 400\n  }\n}'


def test_too_large_an_event_is_refused_whole_or_in_pieces() -> None:
    with pytest.raises(EventTooLarge):
        decode(b"data: " + b"x" * 100 + b"\n\n", limit=50)
    with pytest.raises(EventTooLarge):
        decode(*[b"x"] * 60, limit=50)
    assert len(decode(b"data: 1\n\n" * 100, limit=50)) == 100


def test_an_event_of_ours_can_be_read_back() -> None:
    (event,) = decode(encode_event(b"{}", "ping"))
    assert (event.event, event.data) == ("ping", b"{}")


STREAMS = st.lists(
    st.sampled_from([b"data: x", b"event: e", b": c", b"\n", b"\r\n", b"\r", b"{", "data: é😀".encode()]), max_size=30
).map(b"".join)


@given(STREAMS, st.data())
def test_the_cut_makes_no_difference_and_no_byte_is_lost(body: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    chunks = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    whole = decode(body)
    assert decode(*chunks) == whole
    assert decode(*[body[at : at + 1] for at in range(len(body))]) == whole
    assert b"".join(event.raw for event in whole).rstrip(b"\r\n") == body.rstrip(b"\r\n")
