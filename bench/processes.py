"""Children of the bench: started in sessions of their own, watched through /proc, stopped whatever happens.

CPU is user and system time of a process and of those of its children that it has waited for, so that the sum over a
tree loses nothing when a child ends between two readings. Linux only.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from routerone.embedded.process import die_with_parent

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Below the range that outgoing connections take their ports from: one of them may hold a port that a server wants.
_PORTS = range(20000, 32000)


class DidNotStart(Exception):
    """A target cannot be measured; the text is its one line of reason."""


@dataclass
class Child:
    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 10.0) -> None:
        """Ask the process, and after `timeout_s` end its whole session."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)
            try:
                self.popen.wait(timeout_s)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.wait()

    def last_words(self) -> str:
        lines = [line for line in self.log.read_text("utf-8", "replace").splitlines() if line.strip()]
        return " | ".join(lines[-2:])[-300:] or f"exit code {self.popen.poll()}"


@dataclass
class Children:
    folder: Path
    running: list[Child] = field(default_factory=list)

    def start(
        self,
        name: str,
        arguments: Sequence[object],
        env: Mapping[str, str],
        cwd: Path | None = None,
        keep_open: tuple[int, ...] = (),
    ) -> Child:
        log = self.folder / f"{name}.log"
        with log.open("ab") as out:
            popen = subprocess.Popen(
                [str(part) for part in arguments],
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=keep_open,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )
        child = Child(name, popen, log)
        self.running.append(child)
        return child

    def stop(self, child: Child, number: signal.Signals = signal.SIGTERM) -> None:
        child.stop(number)
        self.running.remove(child)

    def stop_all(self) -> None:
        self.stop_all_but()

    def stop_all_but(self, *names: str) -> None:
        ending = [child for child in reversed(self.running) if child.name not in names]
        for child in ending:
            if child.popen.poll() is None:
                child.popen.terminate()
        for child in ending:
            child.stop()
            self.running.remove(child)


def wait_for_port(child: Child, port: int, timeout_s: float) -> None:
    _wait(child, lambda: _connects(port), timeout_s)


def wait_for_url(child: Child, url: str, timeout_s: float) -> None:
    _wait(child, lambda: _answers(url), timeout_s)


def _wait(child: Child, ready: Callable[[], bool], timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while not ready():
        if child.popen.poll() is not None:
            raise DidNotStart(f"{child.name} ended: {child.last_words()}")
        if time.monotonic() > end:
            raise DidNotStart(f"{child.name} did not answer within {timeout_s:.0f} s: {child.last_words()}")
        time.sleep(0.1)


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def tree(roots: Iterable[int]) -> list[int]:
    """The processes and all below them."""
    below: defaultdict[int, list[int]] = defaultdict(list)
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            below[int(fields[1])].append(int(entry))
    found: list[int] = []
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.append(pid)
            waiting += below[pid]
    return found


def cpu_s(roots: Iterable[int], without: Collection[int] = ()) -> float:
    """CPU seconds of the trees so far; the kernel counts in steps of 10 ms per process."""
    ticks = 0
    for pid in tree(roots):
        if pid not in without and (fields := _stat(pid)):
            ticks += sum(int(part) for part in fields[11:15])
    return ticks / _TICK


def memory_mb(roots: Iterable[int]) -> tuple[float, float]:
    """Resident and proportional memory of the trees, in megabytes of 10^6 bytes."""
    resident = proportional = 0
    for pid in tree(roots):
        if fields := _stat(pid):
            resident += int(fields[21]) * _PAGE
            proportional += _proportional(pid)
    return resident / 1e6, proportional / 1e6


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return []


def _proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
