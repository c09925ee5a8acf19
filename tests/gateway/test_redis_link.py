"""The shared connection to Redis, against a real Valkey that is paused, stopped, killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.redis_link import RedisAway, RedisLink, RedisRefused, Script
from tests.gateway.own_valkey import OwnValkey

TIMEOUT_S = 0.4


@pytest.fixture(scope="module")
def server() -> Iterator[OwnValkey]:
    own = OwnValkey()
    yield own
    own.close()


@pytest.fixture
async def link(server: OwnValkey) -> AsyncIterator[RedisLink]:
    link = RedisLink(server.url, timeout_s=TIMEOUT_S)
    await link.start()
    await until(lambda: link.is_up)
    await link.call("FLUSHALL")
    yield link
    await link.stop()


async def until(holds: Callable[[], bool], within_s: float = 5.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def test_answers_go_to_their_askers(link: RedisLink) -> None:
    async def ask(number: int) -> bytes:
        return bytes(await link.call("ECHO", number))

    answers = await asyncio.gather(*[ask(number) for number in range(500)])
    assert answers == [str(number).encode() for number in range(500)]


async def test_commands_of_one_turn_leave_in_one_write(link: RedisLink) -> None:
    before = await link.call("INFO", "stats")
    await asyncio.gather(*[link.call("INCR", "n") for _ in range(100)])
    after = await link.call("INFO", "stats")
    reads = [int(text.split(b"total_reads_processed:")[1].split()[0]) for text in (before, after)]
    assert reads[1] - reads[0] <= 4


async def test_an_error_is_an_exception_and_the_next_answer_is_right(link: RedisLink) -> None:
    await link.call("SET", "text", "x")
    wrong, right = link.call("INCR", "text"), link.call("GET", "text")
    with pytest.raises(RedisRefused, match="not an integer") as refused:
        await wrong
    assert refused.value.code == "ERR"
    assert await right == b"x"


async def test_many_commands_have_one_answer_each_refusals_among_them(link: RedisLink) -> None:
    answers = await link.call_many([("SET", "a", 1), ("LPUSH", "a", 1), ("GET", "a")])
    assert answers[0] == b"OK" and answers[2] == b"1"
    assert isinstance(answers[1], RedisRefused) and answers[1].code == "WRONGTYPE"
    assert await link.call_many([]) == []


async def test_large_and_odd_values_come_back(link: RedisLink) -> None:
    value = bytes(range(256)) * 4096
    await link.call("SET", "big", value)
    assert await link.call("GET", "big") == value
    assert await link.call("GET", "nothing") is None
    assert await link.call("LRANGE", "nothing", 0, -1) == []


async def test_a_cancelled_asker_does_not_shift_the_answers(link: RedisLink) -> None:
    task = asyncio.ensure_future(link.call("ECHO", "left"))
    await asyncio.sleep(0)
    task.cancel()
    assert await link.call("ECHO", "stayed") == b"stayed"


async def test_without_an_answer_in_time_everybody_hears_it_and_the_connection_is_new(link: RedisLink) -> None:
    number = await link.call("CLIENT", "ID")
    started = time.monotonic()
    with pytest.raises(RedisAway):
        await link.call("BLPOP", "nothing", 5)
    assert TIMEOUT_S <= time.monotonic() - started < 2 * TIMEOUT_S
    await until(lambda: link.is_up)
    assert await link.call("ECHO", "again") == b"again"
    assert await link.call("CLIENT", "ID") != number


async def test_a_paused_server_fails_calls_in_time_and_is_found_again(link: RedisLink, server: OwnValkey) -> None:
    with server.client() as other:
        other.client_pause(1200)
        asked = [link.call("INCR", "n") for _ in range(50)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(answer, RedisAway) for answer in answers)
        with pytest.raises(RedisAway):
            link.call("PING")
        await until(lambda: link.is_up)
        assert await link.call("ECHO", "x") == b"x"


async def test_a_stopped_server_costs_one_time_out_and_then_nothing(link: RedisLink, server: OwnValkey) -> None:
    server.freeze()
    try:
        with pytest.raises(RedisAway):
            await link.call("PING")
        started = time.monotonic()
        for _ in range(100):  # the kernel still takes connections for the stopped process
            with pytest.raises(RedisAway):
                link.call("PING")
            await asyncio.sleep(0.005)
        assert time.monotonic() - started < 1.0
    finally:
        server.thaw()
    await until(lambda: link.is_up)
    assert await link.call("PING") == b"PONG"


async def test_a_server_killed_in_mid_call_fails_it_at_once_and_comes_back(link: RedisLink, server: OwnValkey) -> None:
    made: list[float] = []
    link.on_reconnect(lambda: made.append(time.monotonic()))
    running = asyncio.ensure_future(link.call("BLPOP", "nothing", 5))
    await asyncio.sleep(0.05)
    server.kill()
    started = time.monotonic()
    with pytest.raises(RedisAway):
        await running
    assert time.monotonic() - started < 0.2
    with pytest.raises(RedisAway):
        link.call("PING")
    server.start()
    await until(lambda: link.is_up)
    assert len(made) == 1
    assert await link.call("PING") == b"PONG"


async def test_too_many_commands_in_flight_are_refused_before_they_are_sent(server: OwnValkey) -> None:
    link = RedisLink(server.url, in_flight_max=10)
    await link.start()
    asked = [link.call("PING") for _ in range(10)]
    with pytest.raises(RedisAway, match="too many"):
        link.call("PING")
    with pytest.raises(RedisAway, match="too many"):
        link.call_many([("PING",)])
    assert await asyncio.gather(*asked) == [b"PONG"] * 10
    assert await link.call("PING") == b"PONG"
    await link.stop()


async def test_a_script_survives_that_the_server_forgets_it(link: RedisLink) -> None:
    double, triple = Script("return ARGV[1] * 2"), Script("return ARGV[1] * 3")
    link.add_script(double)
    link.add_script(triple)
    assert await link.call("EVALSHA", triple.sha, 0, 7) == 21
    await link.call("SCRIPT", "FLUSH")
    assert await link.run(double, 0, 21) == 42
    assert await link.call("EVALSHA", triple.sha, 0, 7) == 21  # loaded again beside the one that was missed
    with pytest.raises(RedisRefused):
        await link.run(Script("return redis.call('NO SUCH')"), 0)


async def test_stopping_waits_for_the_answers(server: OwnValkey) -> None:
    link = RedisLink(server.url)
    await link.start()
    asked = [link.call("INCR", "stopped") for _ in range(20)]
    await link.stop()
    assert sorted(await asyncio.gather(*asked))[-1] == 20
    with pytest.raises(RedisAway):
        link.call("PING")


async def test_a_link_to_nowhere_starts_and_says_so() -> None:
    link = RedisLink("redis://127.0.0.1:1/0", timeout_s=0.2)
    await link.start()
    assert not link.is_up
    with pytest.raises(RedisAway):
        await link.call("PING")
    with pytest.raises(RedisAway):
        await link.run(Script("return 1"), 0)
    await link.stop()


async def test_user_password_and_database_of_the_address_are_used(server: OwnValkey) -> None:
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "carol", "on", ">pa:ss", "~*", "+@all")
        url = server.url.replace("unix://", "unix://carol:pa%3Ass@").replace("db=0", "db=3")
        link = RedisLink(url)
        await link.start()
        assert await link.call("ACL", "WHOAMI") == b"carol"
        await link.call("SET", "here", 1)
        assert b"db=3" in await link.call("CLIENT", "INFO")
        await link.stop()
        wrong = RedisLink(server.url.replace("unix://", "unix://carol:wrong@"), timeout_s=0.2)
        await wrong.start()
        assert not wrong.is_up
        await wrong.stop()


async def test_tls_is_spoken_and_the_certificate_checked(server: OwnValkey, tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    path = server.url.removeprefix("unix://").partition("?")[0]

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(path)
        await asyncio.gather(pipe(reader, far_writer), pipe(far_reader, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as front:
        url = f"rediss://localhost:{front.sockets[0].getsockname()[1]}/0"
        link = RedisLink(f"{url}?ssl_ca_certs={certificate}")
        await link.start()
        assert await link.call("PING") == b"PONG"
        await link.stop()
        for options, is_up in (("", False), ("?ssl_cert_reqs=none", True)):
            other = RedisLink(url + options)
            await other.start()
            assert other.is_up is is_up
            await other.stop()


def self_signed(folder: Path) -> Path:
    """A certificate for localhost with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "localhost.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, *plain) + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def test_a_peer_that_does_not_speak_the_protocol_is_dropped() -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await writer.drain()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as peer:
        link = RedisLink(f"redis://127.0.0.1:{peer.sockets[0].getsockname()[1]}", timeout_s=0.3)
        await link.start()
        assert not link.is_up
        await link.stop()


async def test_a_process_that_stood_still_reads_its_answers_before_it_judges(server: OwnValkey) -> None:
    """Under uvloop, where timers run before sockets are read."""

    async def stand_still() -> bytes:
        link = RedisLink(server.url, timeout_s=TIMEOUT_S)
        await link.start()
        with server.client() as other:
            other.client_pause(200)
        asked = link.call("PING")
        await asyncio.sleep(0.15)
        time.sleep(3 * TIMEOUT_S)  # the answer comes meanwhile
        answer = bytes(await asked)
        await link.stop()
        return answer

    assert await asyncio.to_thread(uvloop.run, stand_still()) == b"PONG"
