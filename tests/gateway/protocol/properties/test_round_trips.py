"""Writing and reading are inverse: for requests, for replies, and for replies as streams, in every dialect."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.conversation import Conversation, ToolCall, ToolResult
from gateway.protocol.dialects import CODECS
from gateway.protocol.reply import FinishReason, Reply
from gateway.protocol.tool_names import call_as_function
from tests.gateway.protocol.properties import meaning
from tests.gateway.protocol.properties.strategies import conversations, replies
from tests.gateway.protocol.replaying import decode_stream, events_of

DIALECTS = sorted(CODECS)
# Conversations take long to make up.
some = settings(max_examples=settings.default.max_examples // 3)
# Of each pair of dialects.
few = settings(max_examples=settings.default.max_examples // 10)
REFUSALS = (FinishReason.CONTENT_FILTER, FinishReason.REFUSAL)
every_dialect = pytest.mark.parametrize("dialect", DIALECTS)


@every_dialect
@some
@given(data=st.data())
def test_a_conversation_is_read_as_it_was_written(dialect: str, data: st.DataObject) -> None:
    codec = CODECS[dialect]
    conversation: Conversation = data.draw(conversations(dialect))
    encoded = meaning.write(codec, conversation)
    again = meaning.read(codec, encoded, stream=conversation.stream)
    assert meaning.said(again) == meaning.said(conversation)
    assert meaning.wishes(again) == meaning.wishes(conversation)
    assert encoded.dropped == ()


@every_dialect
@some
@given(data=st.data())
def test_what_was_read_is_written_again_without_a_change(dialect: str, data: st.DataObject) -> None:
    codec = CODECS[dialect]
    first = meaning.write(codec, data.draw(conversations(dialect)))
    for stream in (False, True):
        read = meaning.read(codec, first, stream=stream)
        second = meaning.write(codec, read)
        assert meaning.read(codec, second, stream=stream) == read


@pytest.mark.parametrize("target", DIALECTS)
@every_dialect
@few
@given(data=st.data())
def test_a_translated_conversation_is_one_that_the_target_understands(
    dialect: str, target: str, data: st.DataObject
) -> None:
    conversation: Conversation = data.draw(conversations(dialect))
    encoded = meaning.write(CODECS[target], conversation)
    there = meaning.read(CODECS[target], encoded, stream=conversation.stream)
    assert isinstance(json.loads(encoded.body), dict)
    back = meaning.write(CODECS[dialect], there)
    home = meaning.read(CODECS[dialect], back, stream=conversation.stream)
    assert _arguments(home) == _arguments(conversation)
    assert _results(home) == _results(conversation)


def _arguments(conversation: Conversation) -> list[str]:
    """Of all calls, as functions: the way back from there is known to the caller's request alone."""
    calls = [part for _, part in meaning.said(conversation) if isinstance(part, ToolCall)]
    return [call_as_function(call).arguments for call in calls]


def _results(conversation: Conversation) -> list[int]:
    """Of each result, the number of the call that it belongs to."""
    found = [part for _, part in meaning.said(conversation) if isinstance(part, ToolCall | ToolResult)]
    calls = [part.id for part in found if isinstance(part, ToolCall)]
    return [calls.index(part.call_id) for part in found if isinstance(part, ToolResult)]


@every_dialect
@some
@given(data=st.data())
def test_a_reply_is_read_as_it_was_written(dialect: str, data: st.DataObject) -> None:
    codec = CODECS[dialect]
    reply: Reply = data.draw(replies(dialect))
    again = codec.decode_reply(codec.encode_reply(reply, meaning.CONTEXT))
    assert meaning.of_reply(again) == meaning.of_reply(reply)


@every_dialect
@some
@given(data=st.data(), pieces=st.integers(1, 4))
def test_a_stream_says_what_the_whole_reply_says(dialect: str, data: st.DataObject, pieces: int) -> None:
    codec = CODECS[dialect]
    reply: Reply = data.draw(replies(dialect))
    stream = meaning.written(codec, meaning.story(reply, pieces))
    passed, complete = decode_stream(codec, [stream])
    whole = codec.decode_reply(codec.encode_reply(reply, meaning.CONTEXT))
    assert complete
    assert meaning.of_events(events_of(passed)) == meaning.of_reply(whole)


@every_dialect
@some
@given(data=st.data(), cuts=st.sets(st.integers(1, 4000), max_size=12))
def test_the_cut_of_a_stream_makes_no_difference(dialect: str, data: st.DataObject, cuts: set[int]) -> None:
    codec = CODECS[dialect]
    stream = meaning.written(codec, meaning.story(data.draw(replies(dialect)), 2))
    if data.draw(st.booleans(), label="CRLF"):
        stream = stream.replace(b"\n", b"\r\n")
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    chunks = [stream[start:end] for start, end in pairwise(edges)]
    assert decode_stream(codec, chunks) == decode_stream(codec, [stream])


@pytest.mark.parametrize("target", DIALECTS)
@every_dialect
@few
@given(data=st.data())
def test_text_and_calls_survive_the_way_into_another_dialect(dialect: str, target: str, data: st.DataObject) -> None:
    reply: Reply = data.draw(replies(dialect))
    source = codec_events(dialect, reply)
    there, complete = decode_stream(CODECS[target], [meaning.written(CODECS[target], source)])
    assert complete
    before, after = (meaning.of_events(events)["choices"][0] for events in (source, events_of(there)))
    said_before = before["text"] + before["refusal"]
    if said_before or before["finish"] not in REFUSALS:
        # Else a silent refusal, which some dialects put in words. Messages says a refusal both ways.
        assert said_before in (after["text"], after["text"] + after["refusal"])
    assert after["calls"] == before["calls"]


def codec_events(dialect: str, reply: Reply) -> list[object]:
    """The events of this reply's stream, as the decoder of its dialect gives them."""
    passed, _ = decode_stream(CODECS[dialect], [meaning.written(CODECS[dialect], meaning.story(reply, 2))])
    return list(events_of(passed))
