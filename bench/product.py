"""Router One as production runs it: embedded PostgreSQL and Valkey, one gateway process, a worker and the clock.

Everything is made with the commands that operators use. The data lies in a temporary folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import redis

from bench.driver import Aim
from bench.processes import Children, DidNotStart, wait_for_url
from bench.targets import Site, Target
from bench.upstream import MODEL
from routerone.embedded.paths import EmbeddedPaths, embedded_paths
from routerone.embedded.postgres import PostgresServer
from routerone.embedded.process import ServerProblem
from routerone.embedded.valkey import ValkeyServer
from routerone.evaluation import GATEWAY, listen, uvicorn

_MODEL = f"bench/{MODEL}"
_SETTLE_LIMIT_S = 120.0
_JOURNAL_LIMIT_S = 15.0  # for what may stay in the journal after its rows are written
_LIMITS = {"--rpm": 50_000_000, "--tpm": 2_000_000_000, "--concurrency": 10_000}  # set, and never reached
_ROWS = (
    "SELECT (SELECT count(*) FROM billing_usagerecord WHERE part = 0), (SELECT count(*) FROM observability_requestlog)"
)


class Product(Target):
    """Ours. Stop it with `close`, after the children have been stopped."""

    def __init__(self, site: Site, tree: Path, profiler: list[str] | None = None) -> None:
        """`tree` is the checkout to measure. `profiler` goes before the gateway's own arguments."""
        self._tree = tree
        self._site = site
        self._profiler = profiler
        self._paths: EmbeddedPaths = embedded_paths(site.folder / "home")
        self._postgres = PostgresServer(self._paths)
        self._valkey = ValkeyServer(self._paths)
        self._watch: psycopg.Connection | None = None
        super().__init__("ours", Aim("", _MODEL, {}))

    def start(self) -> None:
        try:
            self._postgres.start()
            self._valkey.start()
        except ServerProblem as problem:
            raise DidNotStart(str(problem)) from problem
        self._environment = self._make_environment()
        self._manage("prepare")
        self._load_catalogue()
        key = self._make_customer()
        children = self._start_programs(self._site.children)
        self._watch = psycopg.connect(self._postgres.conninfo(), autocommit=True)
        self._watch.execute("SET max_parallel_workers_per_gather = 0")
        self._journal = redis.Redis.from_url(self._valkey.url)
        self._settled = self._rows()[0]
        assert self._postgres.pid is not None and self._valkey.pid is not None
        self.aim = Aim(f"{self._url}/v1/chat/completions", _MODEL, {"Authorization": f"Bearer {key}"})
        self.parts = {
            "gateway": children["gateway"],
            "redis": [self._valkey.pid],
            "postgres": [self._postgres.pid],
            "worker": children["worker"] + children["beat"],
        }
        self.uncounted = (self._watch.info.backend_pid,)  # it only counts rows for us

    def settle(self, answered: int) -> list[str]:
        """Until every answer has its usage record and its log row, and the journal is empty."""
        wanted = self._settled + answered
        if not _until(lambda: min(self._rows()) >= wanted, _SETTLE_LIMIT_S):
            self._settled = self._rows()[0]
            return [f"{wanted - self._settled} of {answered} answers have no usage record after {_SETTLE_LIMIT_S:g} s"]
        problems = []
        if not _until(lambda: self._journal_length() == 0, _JOURNAL_LIMIT_S):
            problems.append(f"{self._journal_length()} entries were left in the journal")
        self._settled = self._rows()[0]
        if self._settled > wanted:
            problems.append(f"{self._settled - wanted} usage records more than answers")
        return problems

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
        self._valkey.stop()
        self._postgres.stop()
        for path in self._paths.everything():
            shutil.rmtree(path, ignore_errors=True)

    def prove(self) -> str:
        """The last line of the product's own proof of its books."""
        return self._manage("prove_ledger").strip().splitlines()[-1]

    def _rows(self) -> tuple[int, int]:
        assert self._watch is not None
        found = self._watch.execute(_ROWS).fetchone()
        assert found is not None
        return found[0], found[1]

    def _journal_length(self) -> int:
        names = list(self._journal.scan_iter("r1:journal*", count=1000, _type="stream"))
        return sum(self._journal.xlen(name) for name in names)

    def _make_environment(self) -> dict[str, str]:
        dropped = ("DATABASE_URL", "REDIS_URL", "JOURNAL_URL", "PORT", "PYTHONDONTWRITEBYTECODE")
        kept = {k: v for k, v in os.environ.items() if k not in dropped and not k.endswith("_API_KEY")}
        self._listener = listen("127.0.0.1", 20100, tries=10_000)
        self._url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        return kept | {
            "ROUTERONE_HOME": str(self._paths.home),
            "SANDBOX_ENABLED": "0",
            "DJANGO_SETTINGS_MODULE": "routerone.settings",
            "PYTHONPATH": str(self._tree),
            "PUBLIC_URL": self._url,
            "LOG_JSON": "1",
            "BENCH_API_KEY": "sk-bench-upstream",
        }

    def _load_catalogue(self) -> None:
        folder = self._site.folder / "catalogue"
        folder.mkdir()
        provider = {
            "slug": "bench",
            "name": "Bench",
            "kind": "host",
            "region": "local",
            "currency": "USD",
            "base_urls": {"openai_chat": f"{self._site.upstream}/v1"},
            "auth": "bearer",
            "api_key_env": "BENCH_API_KEY",
        }
        rates = {"input": "0.15", "output": "0.60", "cache_read": "0.075"}
        offering = {"provider": "bench", "upstream_id": MODEL, "protocol": "openai_chat", "currency": "USD"}
        model = {
            "slug": _MODEL,
            "name": "Bench",
            "author": "bench",
            "description": "The upstream of the bench.",
            "status": "active",
            "context_length": 400000,
            "max_output_tokens": 16384,
            "input_modalities": ["text"],
            "output_modalities": ["text"],
            "capabilities": {"tools": True, "sampling_params": True},
            "offerings": [{**offering, "price_cards": [{"rates": rates}]}],
        }
        (folder / "providers.json").write_text(json.dumps({"meta": {"version": 1}, "providers": [provider]}))
        (folder / "models.json").write_text(json.dumps({"meta": {"version": 1}, "models": [model]}))
        self._manage("load_catalogue", str(folder), "--quiet")

    def _make_customer(self) -> str:
        said = self._manage("create_organization", "--email", "bench@example.com", "--credit-usd", "100000")
        project = said.split("project:")[1].split()[0]
        known = self._manage("create_key", "--help")
        limits = [part for flag, value in _LIMITS.items() if flag in known for part in (flag, str(value))]
        return self._manage("create_key", "--project", project, "--name", "bench", *limits).strip()

    def _start_programs(self, children: Children) -> dict[str, list[int]]:
        celery = [sys.executable, "-m", "celery", "--quiet", "-A", "routerone"]
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING")
        worker = [*celery, "worker", "--concurrency", "2", *quiet]
        beat = [*celery, "beat", "-s", self._paths.beat_schedule, "--pidfile=", "-l", "WARNING"]
        alone = (self._tree / "routerone" / "gateway_asgi.py").exists()  # an older checkout has only the other
        application = GATEWAY if alone else "routerone.asgi:application"
        server = uvicorn(application, self._listener.fileno(), 10)
        if self._profiler:
            server = [server[0], *self._profiler, *server[1:]]
        opened = (self._listener.fileno(),)
        started = {
            "worker": children.start("worker", worker, self._environment, self._tree),
            "beat": children.start("beat", beat, self._environment, self._tree),
            "gateway": children.start("gateway", server, self._environment, self._tree, keep_open=opened),
        }
        wait_for_url(started["gateway"], f"{self._url}/readyz", 60)
        self.gateway = started["gateway"]
        return {name: [child.pid] for name, child in started.items()}

    def _manage(self, *arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=self._tree, env=self._environment, capture_output=True, text=True, check=False, timeout=300
        )
        if done.returncode:
            raise DidNotStart(f"manage.py {arguments[0]} failed: {done.stderr.strip()[-400:]}")
        return done.stdout


def _until(true: Callable[[], bool], limit_s: float) -> bool:
    end = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
