from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from routerone.embedded.process import is_alive, wait_until
from routerone.evaluation import listen, url_of
from routerone.supervisor import Command, Supervisor, describe_end

ROOT = Path(__file__).resolve().parents[2]
PATIENT = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('up', flush=True)\n"
WAIT = PATIENT + "while True: time.sleep(0.05)"


def command(name: str, program: str, said: list[str]) -> Command:
    return Command(name, [sys.executable, "-c", program], dict(os.environ), said.append, stop_limit_s=10)


def test_parts_stop_in_the_reverse_order_of_their_start() -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    for name in ("first", "second", "third"):
        supervisor.start(command(name, WAIT, said))
    supervisor.wait_for(lambda: sum(line.endswith("| up") for line in said) == 3, timeout_s=20)
    supervisor.stop()
    stopped = [line.split()[1] for line in said if line.startswith("stopped")]
    assert stopped == ["third", "second", "first"]


def test_a_crash_is_shown_and_the_part_started_again() -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    part = command("web", WAIT, said)
    supervisor.start(part)
    assert part.process is not None
    old = part.process.pid
    os.kill(old, signal.SIGKILL)
    assert supervisor.wait_for(lambda: part.process is not None and part.process.pid != old, timeout_s=20)
    assert any("web was ended by SIGKILL; starting it again in 0.5 s" in line for line in said)
    supervisor.stop()
    assert not part.running()


def test_a_part_that_keeps_crashing_is_started_ever_more_rarely() -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    supervisor.start(command("web", "raise SystemExit(3)", said))
    crashes = [line for line in said if "again in" in line]
    assert supervisor.wait_for(lambda: sum("again in" in line for line in said) == 3, timeout_s=20), crashes
    supervisor.stop()
    assert [line.split("again in ")[1] for line in said if "again in" in line] == ["0.5 s", "1 s", "2 s"]


def test_children_end_with_a_supervisor_that_is_killed() -> None:
    program = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from routerone.supervisor import Command, Supervisor
supervisor = Supervisor(lambda line: None)
part = Command("x", [sys.executable, "-c", {WAIT!r}], dict(os.environ), lambda line: None, stop_limit_s=5)
supervisor.start(part)
print(part.process.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    pid = int(child.stdout)
    assert wait_until(lambda: not is_alive(pid), None, timeout_s=20)


def test_a_second_signal_hurries_the_part_that_is_being_stopped() -> None:
    stubborn = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True)\nwhile True: time.sleep(1)"
    )
    program = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from routerone.supervisor import Command, Supervisor
supervisor = Supervisor(lambda line: print(line, flush=True))
supervisor.catch_signals()
supervisor.start(Command("x", [sys.executable, "-c", {stubborn!r}], dict(os.environ), supervisor._say, stop_limit_s=60))
supervisor.run()
print("stopping", flush=True)
supervisor.stop()
"""
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline().endswith("up\n")
    child.send_signal(signal.SIGTERM)
    assert child.stdout.readline() == "stopping\n"
    time.sleep(0.2)  # until it waits for the part; a signal before would only repeat the first
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=30) == 0


def test_the_next_free_port_is_taken_where_the_first_is_not_free() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with listen("127.0.0.1", port, tries=50) as other:
            assert other.getsockname()[1] > port
            assert url_of(other) == f"http://127.0.0.1:{other.getsockname()[1]}"


def test_no_free_port_is_said_clearly() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(OSError, match="PORT"):
        listen("127.0.0.1", taken.getsockname()[1])


def test_a_listener_on_all_addresses_is_reached_on_loopback() -> None:
    with listen("0.0.0.0", 0) as everywhere:
        assert url_of(everywhere).startswith("http://127.0.0.1:")
        socket.create_connection(("127.0.0.1", everywhere.getsockname()[1])).close()


@pytest.mark.parametrize(
    ("code", "text"), [(0, "ended with code 0"), (-9, "was ended by SIGKILL"), (None, "went away")]
)
def test_the_end_of_a_part_is_told_in_words(code: int | None, text: str) -> None:
    assert describe_end(code) == text
