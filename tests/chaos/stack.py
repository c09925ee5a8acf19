"""A whole product with servers of its own, so that a test may kill any part of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis

from routerone.embedded.paths import embedded_paths
from routerone.embedded.postgres import PostgresServer
from routerone.embedded.valkey import ValkeyServer
from tests.scenarios.processes import ROOT, Process, Processes

# Short ones, so that what takes minutes in production is seen in seconds here.
_QUICK = {"MAX_REQUEST_S": "25", "HOLD_MARGIN_S": "3", "SLICE_LEASE_S": "6", "SWEEP_MARGIN_S": "2"}


@dataclass(frozen=True)
class Customer:
    organization_id: int
    key: str


class ChaosStack:
    """PostgreSQL, Valkey, sandbox, gateways and workers in a folder of their own."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="r1-chaos-"))
        self.home.chmod(0o755)
        self.paths = embedded_paths(self.home)
        self.postgres = PostgresServer(self.paths)
        self.valkey = ValkeyServer(self.paths)
        self.postgres.start()
        self.valkey.start()
        logs = self.home / "chaos-logs"
        logs.mkdir()
        env = {
            **{name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")},
            **_QUICK,
            "DJANGO_SETTINGS_MODULE": "routerone.settings",
            "ROUTERONE_HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            "LOG_JSON": "1",
        }
        env.pop("ROUTERONE_PG_NAME", None)
        self.processes = Processes(env, logs)
        sandbox = self.processes.uvicorn("sandbox", "gateway.sandbox.app:application", "/healthz")
        env["SANDBOX_URL"] = sandbox.url
        self.manage("migrate", "--verbosity", "0")
        self.manage("load_catalogue", str(ROOT / "routing/data/sandbox"))

    def close(self) -> None:
        self.processes.stop_all()
        self.valkey.stop()
        self.postgres.stop()
        for folder in self.paths.everything():
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.processes.env,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    def customer(self, credit_usd: str) -> Customer:
        told = self.manage(
            "create_organization", "--email", f"{time.monotonic_ns()}@example.com", "--credit-usd", credit_usd
        )
        ids = dict(line.split(": ") for line in told.splitlines() if ": " in line)
        key = self.manage("create_key", "--project", ids["project"], "--name", "chaos", "--rpm", "1000000").strip()
        return Customer(int(ids["organization"]), key)

    def gateway(self, **env: str) -> Process:
        return self.processes.gateway(**env)

    def worker(self) -> Process:
        return self.processes.worker()

    # --- Faults ----------------------------------------------------------------------------------------------------
    def kill_valkey(self) -> None:
        assert self.valkey.pid is not None
        os.kill(self.valkey.pid, signal.SIGKILL)
        if self.valkey.process is not None:
            self.valkey.process.wait()
        self.valkey.process = None

    def kill_postgres(self) -> None:
        """As a crash: the server recovers from its log afterwards."""
        assert self.postgres.pid is not None
        os.kill(self.postgres.pid, signal.SIGQUIT)
        if self.postgres.process is not None:
            self.postgres.process.wait()
        self.postgres.process = None

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.valkey.url)

    @contextmanager
    def frozen(self, process: Process) -> Any:
        os.killpg(process.popen.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(process.popen.pid, signal.SIGCONT)

    # --- Facts -----------------------------------------------------------------------------------------------------
    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.postgres.conninfo(), autocommit=True) as connection:
            return connection.execute(sql, parameters).fetchall()  # type: ignore[arg-type]

    def charged(self, customer: Customer) -> dict[str, int]:
        """Charge by the id that the caller saw."""
        rows = self.rows(
            "SELECT 'gen-' || replace(request_id::text, '-', ''), charge_nanos FROM billing_usagerecord"
            " WHERE organization_id = %s",
            customer.organization_id,
        )
        charges: dict[str, int] = {}
        for request_id, nanos in rows:
            assert request_id not in charges, "charged twice"
            charges[request_id] = nanos
        return charges

    def held(self, customer: Customer) -> int:
        (row,) = self.rows(
            "SELECT held_nanos FROM billing_ledgeraccount WHERE organization_id = %s AND kind = 'wallet'",
            customer.organization_id,
        )
        return int(row[0])

    def until(self, wanted: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while not wanted():
            assert time.monotonic() < deadline, f"it did not come true in time: {what}"
            time.sleep(0.2)

    def prove(self) -> None:
        """The whole ledger holds; raises with what does not."""
        self.manage("prove_ledger")
