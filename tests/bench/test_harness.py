"""The bench's upstream and driver against each other: a good reply counts, a bad one does not."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench import profiling, upstream
from bench.driver import Aim, Drive
from bench.processes import Children, cpu_s, memory_mb
from bench.scenarios import Scenario


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(upstream.Upstream, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def aim(port: int) -> Aim:
    return Aim(f"http://127.0.0.1:{port}/v1/chat/completions", upstream.MODEL, {})


async def test_plain_replies_count(port: int) -> None:
    tally = await Drive(aim(port), Scenario("s", "", concurrency=3)).run(5, limit=20)
    assert len(tally.latencies) == 20
    assert not tally.failures


async def test_streams_are_counted_chunk_by_chunk(port: int) -> None:
    tally = await Drive(aim(port), Scenario("s", "", "c50", concurrency=2, chunks=50)).run(5, limit=4)
    assert tally.events == 4 * (1 + 50 + 1 + 1 + 1)  # opening, words, finish, usage, end
    assert not tally.failures


async def test_a_stream_with_too_few_chunks_is_a_failure(port: int) -> None:
    tally = await Drive(aim(port), Scenario("s", "", "c40", concurrency=1, chunks=50)).run(5, limit=2)
    assert tally.failures == {"chunks missing": 2}
    assert not tally.latencies


async def test_the_upstream_waits_as_long_as_the_text_says(port: int) -> None:
    tally = await Drive(aim(port), Scenario("s", "", "l30-c3-g20", concurrency=1, chunks=3)).run(5, limit=1)
    assert 0.030 <= tally.first_tokens[0] < 0.2
    assert 0.090 <= tally.latencies[0] < 0.4


async def test_an_open_loop_sends_what_is_due_whatever_comes_back(port: int) -> None:
    tally = await Drive(aim(port), Scenario("s", "", "l200", rate=50)).run(0.4)
    assert len(tally.latencies) == 20


async def test_a_closed_port_is_a_failure() -> None:
    tally = await Drive(aim(9), Scenario("s", "", concurrency=1)).run(5, limit=1)
    assert tally.failures == {"no connection": 1}


def test_a_request_in_pieces_is_read_once_it_is_complete() -> None:
    whole = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nrest"
    cuts = [cut for cut in range(len(whole)) if upstream.take_request(whole[:cut]) is not None]
    assert cuts == list(range(len(whole) - 4, len(whole)))
    assert upstream.take_request(whole) == (whole.split(b"\r\n\r\n")[0].lower(), b"abcde", b"rest")


def test_cpu_of_a_child_counts_and_is_not_lost_when_it_ends(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    children = Children(tmp_path)
    script = '"$0" -c "$1"; touch "$2"; sleep 60'
    child = children.start("sh", ["sh", "-c", script, sys.executable, burn, tmp_path / "done"], os.environ)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "done").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        spent, memory = cpu_s([child.pid]), memory_mb([child.pid])
    finally:
        children.stop_all()
    assert spent >= 0.19
    assert memory[0] >= memory[1] > 0
    assert child.popen.returncode is not None


def test_samples_are_summed_by_function() -> None:
    stacks = ["main (a.py:1);work (b.py:5) 3", "main (a.py:2);work (b.py:9) 1", "main (a.py:3) 1"]
    lines = profiling.sampled_table(stacks, 5).splitlines()
    assert lines[2].split() == ["80.0", "80.0", "work", "(b.py)"]
    assert lines[3].split() == ["20.0", "100.0", "main", "(a.py)"]
