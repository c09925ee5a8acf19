"""A Valkey of one test's own, to be killed, stopped and started again."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import redis

from routerone.embedded.paths import embedded_paths
from routerone.embedded.valkey import ValkeyServer


class OwnValkey:
    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="r1-valkey-"))
        self._paths = embedded_paths(self._home)
        self._server = ValkeyServer(self._paths, durable=False)
        self.start()

    @property
    def url(self) -> str:
        return self._server.url

    def start(self) -> None:
        self._server.start()

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        assert self._server.process is not None
        self._server.process.wait()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def close(self) -> None:
        if self._server.running():
            self.thaw()
        self._server.stop()
        for folder in self._paths.everything():
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self._home, ignore_errors=True)

    def _signal(self, number: int) -> None:
        assert self._server.pid is not None
        os.kill(self._server.pid, number)
