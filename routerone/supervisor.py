"""Runs the parts of one clone in order, shows and restarts what crashes, and stops them in the reverse order.

Each part is a session of its own, so that Ctrl-C in the terminal reaches the supervisor alone; only a part's main
process is signalled (Celery's workers must finish their task, not die with it). Each dies with the supervisor, even
by kill -9 (Linux).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from routerone.embedded.process import ServerProblem, die_with_parent, stop_pid

Say = Callable[[str], None]
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 30.0
_STEADY_S = 60.0  # a part that ran this long starts again without delay


class Part(Protocol):
    """What the supervisor asks of a part."""

    name: str

    def start(self) -> None: ...
    def running(self) -> bool: ...
    def ended(self) -> str: ...
    def stop(self) -> None: ...
    def hurry(self) -> None: ...


class _Server(Protocol):
    process: subprocess.Popen[bytes] | None

    def start(self) -> None: ...
    def running(self) -> bool: ...
    def stop(self) -> None: ...


class EmbeddedServer:
    """PostgreSQL or Valkey as a part."""

    def __init__(self, name: str, server: _Server) -> None:
        self.name = name
        self._server = server

    def start(self) -> None:
        self._server.start()

    def running(self) -> bool:
        return self._server.running()

    def ended(self) -> str:
        return describe_end(self._server.process.returncode if self._server.process else None)

    def stop(self) -> None:
        self._server.stop()

    def hurry(self) -> None:
        """It is quick anyway, and its data is worth the time."""


@dataclass(slots=True)
class Command:
    """A program whose output is shown line by line under its name."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    say: Say
    stop_limit_s: float
    keep_open: tuple[int, ...] = ()  # file descriptors that the program inherits
    process: subprocess.Popen[bytes] | None = None
    _reader: threading.Thread | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            list(self.arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(self.environment),
            start_new_session=True,
            pass_fds=self.keep_open,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        self._reader = threading.Thread(target=self._show, args=(self.process,), daemon=True)
        self._reader.start()

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ended(self) -> str:
        return describe_end(self.process.returncode if self.process else None)

    def stop(self) -> None:
        if self.process is not None:
            stop_pid(self.process.pid, self.process, signal.SIGTERM, timeout_s=self.stop_limit_s)
        if self._reader is not None:
            self._reader.join(timeout=1.0)

    def hurry(self) -> None:
        """Uvicorn drops its connections on this signal, Celery its running tasks."""
        if self.process is not None and self.running():
            self.process.send_signal(signal.SIGINT)

    def _show(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.say(f"{self.name:<7} | {line.decode(errors='replace').rstrip()}")


def describe_end(code: int | None) -> str:
    if code is None:
        return "went away"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"


@dataclass(slots=True)
class _Watched:
    part: Part
    delay_s: float = _FIRST_DELAY_S
    started_at: float = field(default_factory=time.monotonic)
    again_at: float | None = None  # set while it is down


class Supervisor:
    """Use from the main thread only: the kernel ties a child's life to the thread that made it."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._watched: list[_Watched] = []
        self._stopping = threading.Event()
        self._being_stopped: Part | None = None

    def catch_signals(self) -> None:
        """SIGINT, SIGTERM or SIGHUP ask for an orderly stop; while a part takes its time, another one hurries it."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        if self._being_stopped is not None:
            self._being_stopped.hurry()
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def start(self, part: Part) -> None:
        """Start and watch. Raises what the part's start raises."""
        self._watched.append(_Watched(part))
        part.start()

    def wait_for(self, ready: Callable[[], bool], *, timeout_s: float) -> bool:
        """Poll, restarting what crashes meanwhile, until ready, told to stop, or out of time."""
        end = time.monotonic() + timeout_s
        while not self.stopping and time.monotonic() < end:
            if ready():
                return True
            self.tend()
            self._stopping.wait(0.1)
        return False

    def run(self) -> None:
        """Tend the parts until told to stop."""
        while not self._stopping.wait(0.25):
            self.tend()

    def tend(self) -> None:
        """Show what has crashed and start it again when its delay is over."""
        for watched in self._watched:
            if watched.again_at is None and not watched.part.running():
                self._note_crash(watched)
            elif watched.again_at is not None and time.monotonic() >= watched.again_at:
                self._start_again(watched)

    def stop(self) -> None:
        """In the reverse order of starting, each one fully before the next."""
        self._stopping.set()
        for watched in reversed(self._watched):
            if watched.part.running():
                began = time.monotonic()
                self._being_stopped = watched.part
                watched.part.stop()
                self._say(f"stopped {watched.part.name} ({time.monotonic() - began:.1f} s)")
        self._watched.clear()

    def _note_crash(self, watched: _Watched) -> None:
        if time.monotonic() - watched.started_at > _STEADY_S:
            watched.delay_s = _FIRST_DELAY_S
        watched.again_at = time.monotonic() + watched.delay_s
        self._say(f"{watched.part.name} {watched.part.ended()}; starting it again in {watched.delay_s:g} s")
        watched.delay_s = min(watched.delay_s * 2, _LONGEST_DELAY_S)

    def _start_again(self, watched: _Watched) -> None:
        watched.again_at = None
        watched.started_at = time.monotonic()
        try:
            watched.part.start()
        except (OSError, ServerProblem) as problem:
            self._say(f"{watched.part.name}: {problem}")


def python(*arguments: str) -> list[str]:
    """A command line for this very interpreter: no program of the virtual environment need be on PATH."""
    return [sys.executable, *arguments]


def child_environment(**extra: str) -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1", **extra}
