from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from routerone.embedded import lock, postgres
from routerone.embedded.paths import EmbeddedPaths, embedded_paths
from routerone.embedded.postgres import PostgresServer
from routerone.embedded.process import ServerProblem, is_alive, wait_until
from routerone.embedded.valkey import ValkeyServer, find_program

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def own_paths() -> Iterator[EmbeddedPaths]:
    """Of a clone of its own, below a folder that PostgreSQL's user can enter; pytest's own folders are private."""
    with tempfile.TemporaryDirectory(prefix="r1-") as folder:
        if os.geteuid() == 0:
            Path(folder).chmod(0o711)
        yield embedded_paths(Path(folder) / "home")


def test_what_was_committed_survives_kill_9_of_the_whole_supervisor(own_paths: EmbeddedPaths) -> None:
    program = """
import sys, os, signal, psycopg
from pathlib import Path
from routerone.embedded.paths import embedded_paths
from routerone.embedded.postgres import PostgresServer
from routerone.embedded.valkey import ValkeyServer
paths = embedded_paths(Path(sys.argv[1]))
postgres, valkey = PostgresServer(paths), ValkeyServer(paths)
postgres.start(); valkey.start()
with psycopg.connect(postgres.conninfo()) as connection:
    connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
print(postgres.pid, valkey.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    child = subprocess.run(
        [sys.executable, "-c", program, str(own_paths.home)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    pids = [int(pid) for pid in child.stdout.split()]
    assert child.returncode == -signal.SIGKILL and len(pids) == 2, child.stderr
    assert wait_until(lambda: not any(map(is_alive, pids)), None, timeout_s=20)

    again = PostgresServer(own_paths)
    again.start()
    try:
        with psycopg.connect(again.conninfo()) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    finally:
        again.stop()
    assert not again.running()


def test_a_server_that_still_runs_is_adopted(own_paths: EmbeddedPaths) -> None:
    first = PostgresServer(own_paths, durable=False)
    first.start()
    second = PostgresServer(own_paths, durable=False)
    second.start()
    assert second.pid == first.pid and second.running()
    assert first.process is not None
    os.kill(first.process.pid, signal.SIGINT)
    first.process.wait(20)
    assert not second.running()


def test_a_process_that_has_the_old_number_does_not_stop_the_start(own_paths: EmbeddedPaths) -> None:
    server = PostgresServer(own_paths, durable=False)
    server.start()
    pid_file = next(own_paths.clusters.glob("pg*")) / "postmaster.pid"
    text = pid_file.read_text()
    server.stop()
    pid_file.write_text(text.replace(text.split("\n", 1)[0], str(os.getpid()), 1))
    pid_file.chmod(0o644)
    server.start()
    server.stop()


def test_another_major_version_is_refused_with_the_line_to_run(own_paths: EmbeddedPaths) -> None:
    (own_paths.clusters / "pg9").mkdir(parents=True)
    (own_paths.clusters / "pg9" / "PG_VERSION").write_text("9\n")
    with pytest.raises(ServerProblem, match="pg_dump"):
        PostgresServer(own_paths).start()


def test_without_the_wheel_the_message_names_the_two_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_program_folders", lambda: iter(()))
    with pytest.raises(ServerProblem, match=r"DATABASE_URL(?s:.)*REDIS_URL"):
        postgres.find_programs()


def test_nobody_else_can_enter_the_socket_folders(own_paths: EmbeddedPaths) -> None:
    server, store = PostgresServer(own_paths, durable=False), ValkeyServer(own_paths, durable=False)
    server.start()
    store.start()
    try:
        for folder in (own_paths.postgres_socket, own_paths.valkey_socket.parent):
            assert folder.stat().st_mode & 0o077 == 0
        with psycopg.connect(server.conninfo()) as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    finally:
        store.stop()
        server.stop()


def test_valkey_keeps_what_was_written_when_it_is_stopped(own_paths: EmbeddedPaths) -> None:
    import redis

    store = ValkeyServer(own_paths)
    for expected in (None, b"kept"):
        store.start()
        client = redis.Redis.from_url(store.url)
        assert client.get("key") == expected
        client.set("key", "kept")
        client.close()
        store.stop()


def test_valkey_is_given_no_provider_keys(own_paths: EmbeddedPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-provider")
    store = ValkeyServer(own_paths, durable=False)
    store.start()
    try:
        assert b"sk-of-a-provider" not in Path(f"/proc/{store.pid}/environ").read_bytes()
    finally:
        store.stop()


def test_one_clone_is_held_by_one_supervisor(tmp_path: Path) -> None:
    with lock.held(tmp_path / "lock"):
        assert lock.is_held(tmp_path / "lock")
        with pytest.raises(ServerProblem, match=str(os.getpid())), lock.held(tmp_path / "lock", patience_s=0):
            pass
    assert not lock.is_held(tmp_path / "lock")


def test_the_valkey_program_is_found() -> None:
    assert os.access(find_program(), os.X_OK)
