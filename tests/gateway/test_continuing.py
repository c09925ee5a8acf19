"""When a broken stream may be continued."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from gateway.attempt import Opened
from gateway.continuing import can_go_on
from gateway.exchange import Exchange
from gateway.guard import Guard
from gateway.protocol.dialects import CODECS
from gateway.protocol.reply import TextDelta, ToolCallDelta
from gateway.relay import Relay, StreamBroken, stream_encoder
from gateway.request import ClientRequest
from tests.gateway.test_markup import arrived

WORD = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"Once "},"finish_reason":null}]}\n\n'


class Response:
    """Brings one word, then nothing more."""

    def __init__(self) -> None:
        self.words = [WORD]

    async def next_chunk(self) -> bytes:
        if self.words:
            return self.words.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def finish(self) -> None:
        pass


class Client:
    """Takes what comes, or stands still."""

    def __init__(self, *, still: bool) -> None:
        self.still = still
        self.got = b""

    async def write(self, data: bytes) -> None:
        if self.still:
            await asyncio.Event().wait()
        self.got += data


class Stopping:
    """A guard that finds the stream stalled."""

    chunks = 0
    finished = False

    def stopped(self) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()
        return "stalled"


def continuable() -> Exchange:
    exchange = arrived()
    exchange.continuable = True
    return exchange


async def stalled(client: Client) -> tuple[Exchange, Relay, StreamBroken]:
    exchange = continuable()
    relay = Relay(exchange, cast(ClientRequest, client), cast(Guard, Stopping()), stream_encoder(exchange))

    class Answer:
        decoder = CODECS["openai_chat"].stream_decoder()
        response = Response()
        held_back: tuple[Any, ...] = ()
        same_dialect = False

    task = asyncio.ensure_future(relay.stream(cast(Opened, Answer())))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(StreamBroken) as broken:
        await task
    return exchange, relay, broken.value


async def test_a_provider_that_stalls_is_followed_by_another() -> None:
    client = Client(still=False)
    exchange, relay, broken = await stalled(client)
    assert b"Once " in client.got
    assert can_go_on(exchange, relay, broken)


async def test_a_client_that_stands_still_does_not_make_us_ask_another_provider() -> None:
    assert not can_go_on(*await stalled(Client(still=True)))


def broken_relay(exchange: Exchange, *events: Any) -> Relay:
    relay = Relay(exchange, cast(ClientRequest, None), cast(Guard, None), stream_encoder(exchange))
    if relay.said is not None:
        relay.said.take(events)
    exchange.delivery.content = True
    return relay


@pytest.mark.parametrize(
    ("error_class", "goes_on"),
    [
        ("cut", True), ("stalled", True), ("malformed", True), ("server_error", True), ("overloaded", True),
        ("rate_limited", True), ("content_policy", False), ("context_length", False), ("bad_request", False),
        ("left", False), ("deadline", False), ("after_finish", False),
    ],
)  # fmt: skip
def test_only_a_fault_of_the_provider_is_continued(error_class: str, goes_on: bool) -> None:
    exchange = continuable()
    assert can_go_on(exchange, broken_relay(exchange, TextDelta("Once")), StreamBroken(error_class)) is goes_on


def test_not_behind_a_tool_call_nor_without_text_nor_for_a_client_that_left() -> None:
    exchange = continuable()
    broken = StreamBroken("cut")
    assert not can_go_on(exchange, broken_relay(exchange), broken)
    assert not can_go_on(exchange, broken_relay(exchange, TextDelta("Once"), ToolCallDelta(0)), broken)
    assert not can_go_on(arrived(), broken_relay(arrived(), TextDelta("Once")), broken)
    exchange.client_left = True
    assert not can_go_on(exchange, broken_relay(exchange, TextDelta("Once")), broken)


def test_not_where_nearly_nothing_is_left_of_the_output_limit() -> None:
    exchange = continuable()
    relay = broken_relay(exchange, TextDelta("Once"))
    exchange.delivery.text_tokens = 84.0
    assert can_go_on(exchange, relay, StreamBroken("cut"))  # of 100
    exchange.delivery.text_tokens = 85.0
    assert not can_go_on(exchange, relay, StreamBroken("cut"))
    exchange.output_cap = 1000
    assert can_go_on(exchange, relay, StreamBroken("cut"))
