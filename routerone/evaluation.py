"""The whole product on one machine: which parts there are, in which order they start, and what is printed."""

from __future__ import annotations

import json
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from django.conf import settings

from routerone.embedded.paths import EmbeddedPaths
from routerone.embedded.postgres import PostgresServer
from routerone.embedded.process import ServerProblem
from routerone.embedded.valkey import ValkeyServer
from routerone.supervisor import Command, EmbeddedServer, Supervisor, child_environment, python

START_LIMIT_S = 120.0
PREPARE_LIMIT_S = 900.0
_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - only compared
_QUIET = "ignore:You're running the worker with superuser privileges"  # an evaluation in a container usually does

GREETING = """
  Dashboard   {url}/overview
  Admin       {url}/admin/   (the same log-in)
  E-mail      {email}
  Password    {password}
  API key     {key}   (demo organization)

  Try it:

  curl {url}/v1/chat/completions \\
    -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
    -d '{{"model": "sandbox/echo", "messages": [{{"role": "user", "content": "Hello"}}]}}'

  Ctrl-C stops everything; the data stays.
"""


class Evaluation:
    """One run, from nothing started to all stopped."""

    def __init__(self, paths: EmbeddedPaths, host: str, first_port: int, write: Callable[[str], object]) -> None:
        self._paths = paths
        self._write = write
        self._began = time.monotonic()
        self._supervisor = Supervisor(self._say)
        self._listener = listen(host, first_port, tries=100)
        self._sandbox_listener = listen("127.0.0.1", 0)
        self._local_url = url_of(self._listener)
        self._url = os.environ.get("PUBLIC_URL", self._local_url).rstrip("/")
        self._environment = self._children_environment()

    def run(self) -> None:
        """Start all, print how to use it, tend it until a signal, stop all. Leaves nothing running."""
        self._supervisor.catch_signals()
        self._say(f"Router One in {settings.BASE_DIR} (the first start takes a little longer)")
        try:
            if self._start():
                self._greet()
                self._supervisor.run()
        finally:
            self._say("stopping; running answers may finish (Ctrl-C again: at once)")
            self._listener.close()  # new connections are refused from now on
            self._supervisor.stop()
            self._say("all stopped. `make up` goes on with the same data, `make reset` forgets it.")

    def _start(self) -> bool:
        """False if told to stop meanwhile."""
        steps = (self._start_servers, self._prepare_database, self._start_programs, self._wait_ready)
        return all(not self._supervisor.stopping and step() for step in steps)

    def _start_servers(self) -> bool:
        if settings.EMBEDDED:
            self._supervisor.start(EmbeddedServer("PostgreSQL", PostgresServer(self._paths)))
            self._step("PostgreSQL is running")
        if not os.environ.get("REDIS_URL"):
            self._supervisor.start(EmbeddedServer("Valkey", ValkeyServer(self._paths)))
            self._step("Valkey is running")
        return True

    def _prepare_database(self) -> bool:
        """In a child: this process keeps no database connection."""
        arguments = python(str(settings.BASE_DIR / "manage.py"), "prepare")
        program = Command("prepare", arguments, self._environment, self._say, stop_limit_s=10)
        program.start()
        self._supervisor.wait_for(lambda: not program.running(), timeout_s=PREPARE_LIMIT_S)
        program.stop()
        if self._supervisor.stopping:
            return False
        if program.process is None or program.process.returncode != 0:
            raise ServerProblem(f"`manage.py prepare` {program.ended()}; what it said is above.")
        return True

    def _start_programs(self) -> bool:
        """The order is the reverse of stopping: beat, web (drains), worker (finishes its task), sandbox."""
        drain_s = settings.DRAIN_S
        celery = python("-m", "celery", "--quiet", "-A", "routerone")
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING")
        worker = [*celery, "worker", "--concurrency", "2", *quiet]
        beat = [*celery, "beat", "-s", str(self._paths.beat_schedule), "--pidfile=", "-l", "WARNING"]
        if settings.SANDBOX_ENABLED:
            self._serve("sandbox", "gateway.sandbox.app:application", self._sandbox_listener, drain_s=5)
        self._supervisor.start(self._command("worker", worker, stop_limit_s=60))
        self._serve("web", "routerone.asgi:application", self._listener, drain_s=drain_s)
        self._supervisor.start(self._command("beat", beat, stop_limit_s=10))
        return True

    def _serve(self, name: str, application: str, listener: socket.socket, *, drain_s: float) -> None:
        arguments = uvicorn(application, listener.fileno(), drain_s)
        command = self._command(name, arguments, stop_limit_s=drain_s + 10)
        command.keep_open = (listener.fileno(),)
        self._supervisor.start(command)

    def _command(self, name: str, arguments: list[str], *, stop_limit_s: float) -> Command:
        return Command(name, arguments, self._environment, self._say, stop_limit_s)

    def _wait_ready(self) -> bool:
        ready = self._supervisor.wait_for(lambda: answers(f"{self._local_url}/readyz"), timeout_s=START_LIMIT_S)
        if not ready and not self._supervisor.stopping:
            raise ServerProblem(f"{self._local_url}/readyz did not answer 200 within {START_LIMIT_S:.0f} s.")
        return ready

    def _children_environment(self) -> dict[str, str]:
        port = str(self._listener.getsockname()[1])
        extra = {"PUBLIC_URL": self._url, "PORT": port, "ROUTERONE_HOME": str(self._paths.home)}
        if settings.SANDBOX_ENABLED:
            extra["SANDBOX_URL"] = settings.SANDBOX_URL or url_of(self._sandbox_listener)
        path = os.pathsep.join(filter(None, (str(settings.BASE_DIR), os.environ.get("PYTHONPATH"))))
        extra["PYTHONWARNINGS"] = os.environ.get("PYTHONWARNINGS", _QUIET)
        return child_environment(PYTHONPATH=path, DJANGO_SETTINGS_MODULE="routerone.settings", **extra)

    def _greet(self) -> None:
        self._step("ready")
        if settings.SANDBOX_ENABLED and self._paths.demo.exists():
            demo = json.loads(self._paths.demo.read_text())
            password = demo["password"] or "(the one you have chosen)"
            self._say(GREETING.format(url=self._url, email=demo["email"], password=password, key=demo["key"]))
        else:
            self._say(f"\n  Pages   {self._url}\n")

    def _step(self, done: str) -> None:
        self._say(f"[{time.monotonic() - self._began:5.1f} s] {done}")

    def _say(self, line: str) -> None:
        self._write(line)


PROTOCOL = "routerone.http_protocol:LeanProtocol"
GATEWAY = "routerone.gateway_asgi:application"


def uvicorn(application: str, descriptor: int, drain_s: float) -> list[str]:
    """The command line of a server on an open listening socket."""
    return python(
        *("-m", "uvicorn", application, "--fd", str(descriptor), "--loop", "uvloop", "--http", PROTOCOL),
        *("--no-access-log", "--log-level", "warning", "--no-server-header"),
        # The gateway reads these headers itself, and believes only TRUSTED_PROXIES.
        *(("--no-proxy-headers",) if application == GATEWAY else ()),
        # Clients keep idle connections for some seconds, many of them for five as uvicorn does, and a request that
        # crosses our close would fail. So ours is much later.
        *("--timeout-keep-alive", "75", "--timeout-graceful-shutdown", str(int(drain_s))),
    )


def listen(host: str, first: int, *, tries: int = 1) -> socket.socket:
    """Listen on the first free port from `first` on, 0 for any. Raises OSError if there is none.

    Opened here and handed down, so that two clones starting at once cannot choose the same port, and connections
    made while the server restarts wait instead of failing.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(first, first + tries):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit it. The server takes the handed-down socket for a UNIX one and does not set it,
        # and then the last piece of an answer waits some 40 ms for the client's acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            listener.bind((host, port))
            listener.listen(2048)
        except OSError:
            listener.close()
            continue
        return listener
    raise OSError(f"Nothing free on {host} from port {first} to {first + tries - 1}; choose another with PORT=…")


def url_of(listener: socket.socket) -> str:
    """How this machine reaches the listener."""
    host, port = listener.getsockname()[:2]
    host = "127.0.0.1" if host in _EVERYWHERE else host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def answers(url: str) -> bool:
    """Whether the address answers 200."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy in the environment is not for us
    request = urllib.request.Request(url, headers={"X-Forwarded-Proto": "https"})  # noqa: S310 - our own address
    try:
        with opener.open(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
