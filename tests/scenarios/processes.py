"""The product's real processes for a test: started, asked, killed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from routerone.evaluation import PROTOCOL

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """Below the ports that the kernel gives to outgoing connections, which would take it before it is listened to."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass
class Process:
    """A child in a session of its own, with its output in a file."""

    popen: subprocess.Popen[bytes]
    log: Path
    url: str = ""

    def kill(self) -> None:
        """As kill -9 of the whole group would."""
        if self.popen.poll() is None:
            os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()

    def stop(self, timeout_s: float = 20) -> None:
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()

    def output(self) -> str:
        return self.log.read_text("utf-8", "replace")


@dataclass
class Processes:
    """Starts processes with one environment; stops all at the end."""

    env: dict[str, str]
    folder: Path
    running: list[Process] = field(default_factory=list)

    def spawn(self, name: str, arguments: list[str], **extra_env: str) -> Process:
        log = self.folder / f"{name}-{len(self.running)}.log"
        with log.open("wb") as out:
            popen = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={**self.env, **extra_env},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = Process(popen, log)
        self.running.append(process)
        return process

    def uvicorn(self, name: str, application: str, ready: str, **extra_env: str) -> Process:
        port = free_port()
        process = self.spawn(
            name,
            [
                *("-m", "uvicorn", application, "--port", str(port), "--loop", "uvloop", "--http", PROTOCOL),
                *("--log-level", "warning", "--timeout-keep-alive", "75", "--timeout-graceful-shutdown", "10"),
            ],
            **extra_env,
        )
        process.url = f"http://127.0.0.1:{port}"
        wait_for(process, process.url + ready)
        return process

    def gateway(self, **extra_env: str) -> Process:
        return self.uvicorn("gateway", "routerone.asgi:application", "/readyz", **extra_env)

    def worker(self) -> Process:
        arguments = ["-m", "celery", "-A", "routerone", "worker", "--beat", "--concurrency", "1", "-l", "WARNING"]
        return self.spawn("worker", [*arguments, "-s", str(self.folder / "beat")])

    def stop_all(self) -> None:
        for process in reversed(self.running):
            process.stop()


def wait_for(process: Process, url: str, timeout_s: float = 60) -> None:
    """Until `url` answers 200. Fails with the process's own output."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.popen.poll() is not None:
            raise AssertionError(f"the process ended:\n{process.output()[-4000:]}")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"{url} did not answer:\n{process.output()[-4000:]}")
