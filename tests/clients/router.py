"""A Router One of our own: `manage.py up` with a home folder and a port that nobody else uses."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clients.thinking_models import NAME, write_catalogue
from tests.scenarios.processes import Process, Processes, wait_for

START_LIMIT_S = 300
STOP_LIMIT_S = 60
_URL = re.compile(r"Dashboard +http://([0-9.]+):(\d+)/")
# Settings of the caller's that would point at servers or accounts of theirs.
_NOT_OURS = ("DATABASE_URL", "REDIS_URL", "JOURNAL_URL", "PUBLIC_URL", "PORT", "SANDBOX_URL", "SANDBOX_ENABLED")


@dataclass(frozen=True)
class Router:
    host: str
    port: int
    key: str


@contextmanager
def router(folder: Path) -> Iterator[Router]:
    """Started, with the sandbox provider and a key; stopped at the end. Its output is in `folder`."""
    home = folder / "home"
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
    env = {name: value for name, value in kept.items() if not name.endswith("_API_KEY")}
    processes = Processes({**env, "ROUTERONE_HOME": str(home), "DRAIN_S": "5"}, folder)
    process = processes.spawn("router", ["manage.py", "up", "--port", "0"])
    try:
        host, port = _address(process)
        started = Router(host, port, json.loads((home / "demo.json").read_text())["key"])
        _load_thinking_models(processes, folder / "catalogue")
        wait_for(process, f"http://{host}:{port}/v1/models/{NAME}")  # a new catalogue is taken over some seconds later
        yield started
    finally:
        process.stop(STOP_LIMIT_S)


def _load_thinking_models(processes: Processes, folder: Path) -> None:
    write_catalogue(folder)
    loading = processes.spawn("load", ["manage.py", "load_catalogue", str(folder), "--quiet"])
    if loading.popen.wait() != 0:
        raise SystemExit(loading.output())


def _address(process: Process) -> tuple[str, int]:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        found = _URL.search(process.output())
        if found is not None:
            return found.group(1), int(found.group(2))
        if process.popen.poll() is not None:
            break
        time.sleep(0.2)
    raise SystemExit(f"Router One did not start:\n{process.output()[-4000:]}")
