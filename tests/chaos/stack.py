"""A whole product with servers of its own, so that a test may kill any part of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis

from routerone.embedded.paths import embedded_paths
from routerone.embedded.postgres import PostgresServer
from routerone.embedded.valkey import ValkeyServer
from routerone.evaluation import PROTOCOL
from tests.chaos.storm import SCRIPTS
from tests.scenarios.processes import ROOT, Process, Processes, free_port, wait_for
from tests.scenarios.scripted import write_catalogue

LEASE_S = 2
MAX_REQUEST_S = 20
MARGIN_S = 3
# Short ones, so that what takes minutes in production is seen in seconds here.
_QUICK = {
    "MAX_REQUEST_S": str(MAX_REQUEST_S),
    "HOLD_MARGIN_S": str(MARGIN_S),
    "SLICE_LEASE_S": str(LEASE_S),
    "SWEEP_MARGIN_S": "2",
    "JOURNAL_STALLED_S": "2",
    "GATEWAY_DB_POOL_MAX": "4",
}
_CUSTOMERS = 16
_CREDIT_USD = "5"


@dataclass(frozen=True)
class Customer:
    organization_id: int
    key: str


class ChaosStack:
    """PostgreSQL, Valkey, the sandbox, and gateways and a worker that tests share until they kill them."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="r1-chaos-"))
        self.home.chmod(0o755)
        self.paths = embedded_paths(self.home)
        self.postgres = PostgresServer(self.paths)  # with fsync: it is killed
        self.valkey = ValkeyServer(self.paths)
        logs = self.home / "chaos-logs"
        logs.mkdir()
        env = {
            **{name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")},
            **_QUICK,
            "DJANGO_SETTINGS_MODULE": "routerone.settings",
            "ROUTERONE_HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            "LOG_JSON": "1",
            "TRIAL_CREDIT_USD": "0",
        }
        for name in ("ROUTERONE_PG_NAME", "DATABASE_URL", "REDIS_URL", "JOURNAL_URL"):
            env.pop(name, None)
        self.processes = Processes(env, logs)
        self._gateways: list[Process] = []
        self._worker: Process | None = None
        try:
            self.valkey.start()
            self.postgres.start()
            sandbox = self.processes.uvicorn("sandbox", "gateway.sandbox.app:application", "/healthz")
            env["SANDBOX_URL"] = sandbox.url
            self._customers = self._prepared()
        except BaseException:
            self.close()
            raise

    def _prepared(self) -> list[Customer]:
        folder = write_catalogue(self.home / "catalogue", SCRIPTS)
        told = self._run("-m", "tests.chaos.prepare", str(folder), str(_CUSTOMERS), _CREDIT_USD)
        return [Customer(*row) for row in json.loads(told.splitlines()[-1])]

    def close(self) -> None:
        for process in self.processes.running:
            process.kill()
        self.valkey.stop()
        self.postgres.stop()
        for folder in self.paths.everything():
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.processes.env,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout

    def customer(self) -> Customer:
        return self._customers.pop()

    # --- Processes -------------------------------------------------------------------------------------------------
    def ready(self, gateways: int = 2, *, worker: bool = True) -> list[Process]:
        """So many gateways that answer; starts at once what an earlier test has killed."""
        self._gateways = [process for process in self._gateways if process.popen.poll() is None]
        while len(self._gateways) < gateways:
            self._gateways.append(self._begin_gateway())
        if worker and (self._worker is None or self._worker.popen.poll() is not None):
            self._worker = self.worker()
        for process in self._gateways:
            wait_for(process, f"{process.url}/readyz")
        return self._gateways[:gateways]

    def the_worker(self) -> Process:
        assert self._worker is not None
        return self._worker

    def worker(self) -> Process:
        """One more. Each has a clock of its own; what two clocks start twice does no harm."""
        beat = self.home / f"beat-{len(self.processes.running)}"
        arguments = ["-m", "celery", "-A", "routerone", "worker", "--beat", "--concurrency", "1", "-l", "WARNING"]
        return self.processes.spawn("worker", [*arguments, "-s", str(beat)])

    def _begin_gateway(self) -> Process:
        port = free_port()
        arguments = [
            *("-m", "uvicorn", "routerone.gateway_asgi:application", "--port", str(port), "--loop", "uvloop"),
            *("--http", PROTOCOL, "--log-level", "warning"),
            *("--timeout-keep-alive", "75", "--timeout-graceful-shutdown", "10"),
        ]
        process = self.processes.spawn("gateway", arguments)
        process.url = f"http://127.0.0.1:{port}"
        return process

    # --- Faults ----------------------------------------------------------------------------------------------------
    def kill_valkey(self) -> None:
        assert self.valkey.process is not None
        os.kill(self.valkey.process.pid, signal.SIGKILL)
        self.valkey.process.wait()
        self.valkey.process = None

    def kill_postgres(self) -> None:
        """As a crash: the server recovers from its log afterwards."""
        assert self.postgres.process is not None
        os.kill(self.postgres.process.pid, signal.SIGQUIT)
        self.postgres.process.wait()
        self.postgres.process = None

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.valkey.url)

    @contextmanager
    def frozen(self, process: Process) -> Iterator[None]:
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
        assert len(rows) == len({request_id for request_id, _ in rows}), "charged twice"
        return dict(rows)

    def debited(self, customer: Customer) -> int:
        """What usage took from the wallet in all."""
        ((nanos,),) = self.rows(
            "SELECT -coalesce(sum(e.amount_nanos), 0)::bigint FROM billing_entry e"
            " JOIN billing_ledgeraccount a ON a.id = e.account_id JOIN billing_transfer t ON t.id = e.transfer_id"
            " WHERE a.kind = 'wallet' AND a.organization_id = %s AND t.kind = 'usage'",
            customer.organization_id,
        )
        return int(nanos)

    def held(self, customer: Customer) -> int:
        ((nanos,),) = self.rows(
            "SELECT held_nanos FROM billing_ledgeraccount WHERE organization_id = %s AND kind = 'wallet'",
            customer.organization_id,
        )
        return int(nanos)

    def until(self, wanted: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while not wanted():
            assert time.monotonic() < deadline, f"it did not come true in time: {what}"
            time.sleep(0.1)

    def prove(self) -> None:
        """The whole ledger holds; raises with what does not."""
        self._run("manage.py", "prove_ledger")
