"""`manage.py up` as a newcomer uses it, and as it must not end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from routerone.embedded.process import is_alive, wait_until

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120


class Running:
    """A supervisor with a home of its own and its output in a file."""

    def __init__(self, folder: Path) -> None:
        self.output_file = folder / "output"
        given = {name: value for name, value in os.environ.items() if not name.endswith(("_URL", "_API_KEY"))}
        self.environment = {**given, "ROUTERONE_HOME": str(folder / "home"), "DRAIN_S": "20"}
        self.process = self.launch(self.output_file)

    def launch(self, output: Path) -> subprocess.Popen[bytes]:
        with output.open("ab") as file:
            return subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), "up", "--port", "18000"],
                env=self.environment,
                cwd="/",
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        return self.output_file.read_text()

    def until(self, text: str) -> None:
        found = wait_until(lambda: text in self.output(), self.process, timeout_s=PATIENCE_S)
        assert found, self.output()

    def children(self) -> dict[str, int]:
        """Programs and servers by a word of their command line."""
        words = {"postgres": "/postgres -D", "valkey": "valkey-server", "web": "routerone.asgi", "beat": "beat -s"}
        words |= {"sandbox": "gateway.sandbox.app", "worker": "worker --concurrency"}
        lines = subprocess.run(
            ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.splitlines()
        return {
            name: int(line.split()[0])
            for line in lines
            for name, word in words.items()
            if word in line.split(None, 1)[1]
        }

    def printed(self, label: str) -> str:
        found = re.search(rf"^  {label} +(\S+)", self.output(), re.MULTILINE)
        assert found, self.output()
        return found.group(1)


@pytest.fixture
def up() -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="r1-up-") as name:
        Path(name).chmod(0o711)
        running = Running(Path(name))
        yield running
        children = list(running.children().values())
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGTERM)
            running.process.wait(60)
        wait_until(lambda: not any(map(is_alive, children)), None, timeout_s=30)


def ask(up: Running) -> str:
    """What the printed curl line does."""
    base = up.printed("Dashboard").removesuffix("/overview")
    body = json.dumps({"model": "sandbox/echo", "messages": [{"role": "user", "content": "Hello"}]}).encode()
    headers = {"Authorization": f"Bearer {up.printed('API key')}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{base}/v1/chat/completions", body, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["choices"][0]["message"]["content"])


def test_one_command_leads_to_an_answer_and_leaves_nothing_behind(up: Running) -> None:
    up.until("Ctrl-C stops")
    key = up.printed("API key")
    assert "Hello" in ask(up)
    children = up.children()
    assert set(children) == {"postgres", "valkey", "web", "beat", "sandbox", "worker"}

    second = up.launch(up.output_file.with_name("second"))
    assert second.wait(PATIENCE_S) == 1
    assert f"already runs from this folder (process {up.process.pid})" in up.output_file.with_name("second").read_text()

    up.process.kill()  # as hard as it gets: the kernel tells the children
    up.process.wait()
    assert wait_until(lambda: not any(map(is_alive, children.values())), None, timeout_s=60), children

    up.output_file.unlink()
    up.process = up.launch(up.output_file)
    up.until("Ctrl-C stops")
    assert up.printed("API key") == key  # the data was kept
    children = up.children()
    os.kill(children["web"], signal.SIGKILL)
    up.until("web was ended by SIGKILL; starting it again")
    assert "Hello" in ask(up)  # the connection waits for the new process

    os.kill(up.process.pid, signal.SIGINT)
    assert up.process.wait(PATIENCE_S) == 0
    stopped = re.findall(r"^stopped (\S+)", up.output(), re.MULTILINE)
    assert stopped == ["beat", "web", "worker", "sandbox", "Valkey", "PostgreSQL"]
    assert not any(map(is_alive, children.values()))
