"""Start a child that dies with us, and stop it by the signal it likes. Linux only for the dying; elsewhere adopted."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Required, TypedDict

_PR_SET_PDEATHSIG = 1
_LOG_LIMIT = 10 * 1024 * 1024
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class ServerProblem(Exception):
    """An embedded server cannot run. The text tells a newcomer what to do."""


def die_with_parent(number: signal.Signals) -> Callable[[], None]:
    """A `preexec_fn`: the kernel sends `number` to the child when the thread that made it ends, even by kill -9.

    To be made in the parent. Runs after a change of user, which would clear the setting.
    """
    parent = os.getpid()

    def arm() -> None:
        if _libc is None:
            return
        _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)

    return arm


def minimal_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a database server needs to know; above all no provider keys."""
    kept = {name: os.environ[name] for name in ("PATH", "TZDIR", "LD_LIBRARY_PATH") if name in os.environ}
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", **kept, **(extra or {})}


def open_log(path: Path) -> IO[bytes]:
    """Append to a log of at most ten megabytes and one old copy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_LIMIT:
        path.replace(path.with_suffix(".old.log"))
    return path.open("ab")


def last_lines(path: Path, count: int = 12) -> str:
    if not path.exists():
        return ""
    return "\n".join(path.read_text(errors="replace").splitlines()[-count:])


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes] | None, *, timeout_s: float) -> bool:
    """Poll until `ready()`, the time is up, or `process` has ended."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if ready():
            return True
        if process is not None and process.poll() is not None:
            return False
        time.sleep(0.02)
    return False


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def program_of(pid: int) -> str | None:
    """The program's name, None where the system does not tell."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None


def stop_pid(pid: int, process: subprocess.Popen[bytes] | None, number: signal.Signals, *, timeout_s: float) -> None:
    """Signal, wait, and only after `timeout_s` kill."""

    def gone() -> bool:
        return process.poll() is not None if process is not None else not is_alive(pid)

    for attempt in (number, signal.SIGKILL):
        if gone():
            return
        try:
            os.kill(pid, attempt)
        except ProcessLookupError:
            return
        wait_until(gone, None, timeout_s=timeout_s)


def run_quietly(command: Sequence[str | Path], *, user: tuple[int, int] | None, log: IO[bytes]) -> int:
    """Run to the end with output into `log`; `user` is (uid, gid)."""
    return subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=minimal_environment(),
        check=False,
        **switch_user(user),
    ).returncode


class UserSwitch(TypedDict, total=False):
    """Arguments of Popen."""

    cwd: Required[str]
    user: int
    group: int
    extra_groups: list[int]


def switch_user(user: tuple[int, int] | None) -> UserSwitch:
    """Arguments of Popen that change to (uid, gid), leave all further groups and stand in a folder it can read."""
    if user is None:
        return {"cwd": "/"}
    return {"user": user[0], "group": user[1], "extra_groups": [], "cwd": "/"}
