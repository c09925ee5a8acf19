"""What an answer costs stands in its usage also where it was translated, from each dialect into each."""

from __future__ import annotations

import json
from typing import Any

import pytest

from billing.pricing.usage import TokenUsage
from gateway.protocol.codec import ReplyContext
from gateway.protocol.conversation import Text, ToolCall
from gateway.protocol.dialects import CLIENT_CODECS, CODECS
from gateway.protocol.reply import (
    Choice,
    Done,
    Finished,
    FinishReason,
    Reply,
    Started,
    StreamEvent,
    TextDelta,
    UsageReport,
    UsageSeen,
)
from gateway.protocol.sse import SseDecoder
from tests.gateway.protocol import replaying

ANSWERS = [one for one in replaying.load(replaying.WIRE) if one["response"]["status"] == 200]
CLIENTS = sorted(set(CLIENT_CODECS) - {"openai_embeddings"})
COST = 0.000000123
MAY_LACK_USAGE = ("openai_chat", "openai_completions")  # where the provider told none
PAIRS = [(upstream, client) for upstream in sorted(CODECS) for client in CLIENTS]


def context_of(extra: dict[str, Any], *, include_usage: bool = True) -> ReplyContext:
    return ReplyContext(
        response_id="gen-1", created=1_700_000_000, model="m", extra_usage=extra, include_usage=include_usage
    )


REPORT = UsageReport(TokenUsage(input=5, cache_read=2, output=3, reasoning=1))


def of(upstream: str, *, streaming: bool) -> list[bytes]:
    """Answers in that dialect: recorded ones, one in our own words, and one without a report of usage."""
    found = [one for one in ANSWERS if one["protocol"] == upstream and one["streaming"] is streaming]
    recorded = [replaying.response_bytes(one) for one in found if not one["expect"].get("error")]
    return [*recorded, *(_own(upstream, report, streaming=streaming) for report in (REPORT, None))]


def _own(upstream: str, report: UsageReport | None, *, streaming: bool) -> bytes:
    codec, context = CODECS[upstream], context_of({})
    if not streaming:
        parts = (Text("an answer"), ToolCall("c1", "f", "{}"))
        return codec.encode_reply(Reply((Choice(0, parts, FinishReason.TOOL_CALLS),), report), context)
    events: list[StreamEvent] = [Started("u", "m"), TextDelta("an answer"), Finished(FinishReason.STOP)]
    encoder = codec.stream_encoder(context)
    written = [encoder.encode(event) for event in (*events, *([UsageSeen(report)] if report else ()), Done())]
    return b"".join(written) + encoder.end()


def usages_in(client: str, documents: list[Any]) -> list[dict[str, Any]]:
    """The usage objects of an answer, where a client of that dialect looks for them."""
    name = "usageMetadata" if client == "gemini_generate" else "usage"
    found = []
    for document in documents:
        holders = [document, document.get("response"), document.get("message")] if isinstance(document, dict) else []
        found += [holder[name] for holder in holders if isinstance(holder, dict) and isinstance(holder.get(name), dict)]
    return found


@pytest.mark.parametrize(("upstream", "client"), PAIRS)
def test_a_whole_answer_says_what_it_costs(upstream: str, client: str) -> None:
    for answer in of(upstream, streaming=False):
        reply = CODECS[upstream].decode_reply(answer)
        body = CLIENT_CODECS[client].encode_reply(reply, context_of({"cost": COST}))
        told = [usage["cost"] for usage in usages_in(client, [json.loads(body)])]
        assert told == ([] if reply.usage is None and client in MAY_LACK_USAGE else [COST]), answer
        assert body.count(b'"cost"') == len(told)


@pytest.mark.parametrize(("upstream", "client"), PAIRS)
def test_a_stream_says_at_its_end_what_it_costs(upstream: str, client: str) -> None:
    for answer in of(upstream, streaming=True):
        passed, _ = replaying.decode_stream(CODECS[upstream], [answer])
        events = replaying.events_of(passed)
        extra: dict[str, Any] = {}
        encoder = CLIENT_CODECS[client].stream_encoder(context_of(extra))
        before = b"".join(encoder.encode(event) for event in events)
        extra["cost"] = COST  # known only when the provider has finished
        last = encoder.end()
        assert b'"cost"' not in before
        decoder = SseDecoder(2**30)
        written = [*decoder.feed(before + last), *decoder.end()]
        usages = usages_in(client, [json.loads(one.data) for one in written if (one.data or b"")[:1] == b"{"])
        if client not in MAY_LACK_USAGE or any(isinstance(event, UsageSeen) for event in events):
            assert usages[-1]["cost"] == COST, answer
            assert last.count(b'"cost"') == 1


@pytest.mark.parametrize("upstream", sorted(CODECS))
def test_who_wants_no_usage_in_a_stream_gets_none(upstream: str) -> None:
    passed, _ = replaying.decode_stream(CODECS[upstream], [_own(upstream, REPORT, streaming=True)])
    encoder = CLIENT_CODECS["openai_chat"].stream_encoder(context_of({"cost": COST}, include_usage=False))
    written = b"".join(encoder.encode(event) for event in replaying.events_of(passed)) + encoder.end()
    assert b'"cost"' not in written and b'"usage"' not in written
