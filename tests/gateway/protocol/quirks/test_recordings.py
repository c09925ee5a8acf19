"""What hosts were seen to answer, oddities and all, read as a correct client reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.protocol.codec import ReplyContext
from gateway.protocol.dialects import codec_of
from gateway.protocol.reply import CitationDelta, Finished, UsageSeen
from tests.gateway.protocol import collecting, replaying

CHAT = codec_of("openai_chat")
FOLDER = Path(__file__).parent / "recordings"
RECORDINGS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
STREAMS = sorted(name for name, recording in RECORDINGS.items() if recording["streaming"])
CONTEXT = ReplyContext(response_id="gen-1", created=1_700_000_000, model="some/model")


@pytest.mark.parametrize("name", sorted(RECORDINGS))
def test_an_answer_is_read_as_it_was_meant(name: str) -> None:
    recording = RECORDINGS[name]
    expect = dict(recording["expect"])
    if not recording["streaming"]:
        assert collecting.of_reply(CHAT.decode_reply(replaying.response_bytes({"response": recording}))) == expect
        return
    passed, complete = replaying.decode_stream(CHAT, [recording["sse"].encode()])
    assert complete is expect.pop("complete")
    assert collecting.of_events(replaying.events_of(passed)) == expect


@pytest.mark.parametrize("cut", sorted(replaying.CUTS))
@pytest.mark.parametrize("name", STREAMS)
def test_the_cut_makes_no_difference(name: str, cut: str) -> None:
    body = RECORDINGS[name]["sse"].encode()
    assert replaying.decode_stream(CHAT, replaying.CUTS[cut](body)) == replaying.decode_stream(CHAT, [body])


@pytest.mark.parametrize("name", STREAMS)
def test_every_choice_finishes_once(name: str) -> None:
    events = events_of(name)
    assert len([event for event in events if isinstance(event, Finished)]) == 1


def test_usage_in_many_places_is_one_usage() -> None:
    for name in ("groq_usage_thrice", "perplexity_usage_in_each_chunk"):
        reports = [event.report for event in events_of(name) if isinstance(event, UsageSeen)]
        assert len(reports) > 1
        expect = RECORDINGS[name]["expect"]["usage"]
        assert collecting.of_usage(reports[-1]) == expect


def test_an_empty_first_chunk_is_held_back() -> None:
    passed, _ = replaying.decode_stream(CHAT, [RECORDINGS["azure_empty_first_chunk"]["sse"].encode()])
    assert [item.forward for item in passed[:2]] == [False, True]


def test_sources_of_a_search_are_citations_before_the_end() -> None:
    events = events_of("perplexity_usage_in_each_chunk")
    cited = [event.citation for event in events if isinstance(event, CitationDelta)]
    assert len(cited) == 2
    assert all(citation.url.startswith("https://") and citation.title for citation in cited)
    kinds = [type(event) for event in events]
    assert kinds.index(CitationDelta) < kinds.index(Finished)
    encoder = CHAT.stream_encoder(CONTEXT)
    written = b"".join(encoder.encode(event) for event in events) + encoder.end()
    assert written.count(b'"url_citation"') == 2 * 2  # the type's word and the field's name


def events_of(name: str) -> list[Any]:
    passed, _ = replaying.decode_stream(CHAT, [RECORDINGS[name]["sse"].encode()])
    return replaying.events_of(passed)
