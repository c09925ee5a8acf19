"""Where the embedded servers keep their files. Needs neither Django nor a running server; creates only secrets.

One clone has one home folder (`.routerone` unless ROUTERONE_HOME says otherwise):

    secrets.json  demo.json     mode 600
    pg18/                       the PostgreSQL cluster, owned by the user that runs PostgreSQL
    pg-socket/  valkey/         mode 700, the UNIX sockets are in here
    logs/

Two things move out of it where they must: sockets, whose path may have 107 bytes at most, and the cluster of a
clone below a folder that the `nobody` user cannot enter (root's own home, for one).
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import pwd
import re
import secrets
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

SOCKET_PATH_LIMIT = 107  # bytes of sockaddr_un.sun_path on Linux, less the closing zero; macOS has 103
SHARED_STATE = Path("/var/lib/routerone")  # used by root alone
_SHORT = Path("/tmp")  # noqa: S108 - not $TMPDIR: every process must find the same folder
_PLAIN = re.compile(r"[A-Za-z0-9._/-]+")  # needs no quoting in a redis:// URL or a libpq string
_POSTGRES_SOCKET_NAME = ".s.PGSQL.5432"


@dataclass(frozen=True, slots=True)
class EmbeddedPaths:
    """All paths are absolute. Folders other than `home` may not exist yet."""

    home: Path
    clusters: Path  # holds pg18/ and the like
    postgres_socket: Path  # a folder
    valkey_data: Path
    valkey_socket: Path  # the socket itself
    logs: Path

    @property
    def demo(self) -> Path:
        return self.home / "demo.json"

    @property
    def lock(self) -> Path:
        return self.home / "up.lock"

    @property
    def beat_schedule(self) -> Path:
        return self.home / "beat-schedule"

    def everything(self) -> tuple[Path, ...]:
        """What `reset` deletes."""
        own_socket_folder = () if self.valkey_socket.is_relative_to(self.home) else (self.valkey_socket.parent,)
        return (self.home, self.clusters, self.postgres_socket, self.valkey_data, *own_socket_folder)


def embedded_paths(home: Path) -> EmbeddedPaths:
    """The same answer in every process of a clone, before and after the folders exist."""
    home = Path(os.path.abspath(home))
    clusters = _clusters(home)
    postgres_socket = clusters / "pg-socket"
    valkey = home / "valkey"
    return EmbeddedPaths(
        home=home,
        clusters=clusters,
        postgres_socket=postgres_socket if _fits(postgres_socket / _POSTGRES_SOCKET_NAME) else _short(home, "pg"),
        valkey_data=valkey,
        valkey_socket=valkey / "valkey.sock" if _fits(valkey / "valkey.sock") else _short(home, "vk") / "valkey.sock",
        logs=home / "logs",
    )


def postgres_user(paths: EmbeddedPaths) -> pwd.struct_passwd | None:
    """Whom PostgreSQL runs as: None for ourselves. PostgreSQL refuses root, so root lends it another user."""
    if os.geteuid() != 0:
        return None
    owner = _cluster_owner(paths.clusters)
    return pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")


def can_enter(folder: Path, uid: int, gid: int) -> bool:
    """Whether a user with no further groups may pass through `folder` and all above it.

    A folder that does not exist yet counts as one that we shall make passable.
    """
    for part in (folder, *folder.parents):
        try:
            found = part.stat()
        except FileNotFoundError:
            continue
        if not _permits(found, uid, gid, execute=0o1):
            return False
    return True


def can_read(path: Path, uid: int, gid: int) -> bool:
    """Whether that user may read `path` (and run it, if it is a program)."""
    found = path.stat()
    wanted = 0o5 if found.st_mode & 0o111 else 0o4
    return can_enter(path.parent, uid, gid) and _permits(found, uid, gid, execute=wanted)


def make_home(paths: EmbeddedPaths) -> None:
    """Create the home folder: for ourselves alone; by root passable but unreadable, as `nobody` has a cluster in it."""
    if paths.home.is_dir():
        return
    paths.home.mkdir(parents=True, exist_ok=True)
    paths.home.chmod(0o711 if os.geteuid() == 0 else 0o700)


def private_folder(folder: Path, owner: pwd.struct_passwd | None = None) -> Path:
    """Make sure `folder` is there, is ours or `owner`'s, and has mode 700. Never touches what is above it.

    Raises PermissionError for a folder that somebody else made, as may happen below /tmp.
    """
    uid = owner.pw_uid if owner else os.geteuid()
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {uid, os.geteuid()}:
            raise PermissionError(f"{folder} belongs to somebody else; remove it or set ROUTERONE_HOME") from None
    if owner:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    if stat.S_IMODE(folder.stat().st_mode) != 0o700:
        folder.chmod(0o700)
    return folder


def load_or_create_secrets(home: Path) -> dict[str, str]:
    """SECRET_KEY, API_KEY_PEPPER, CREDENTIAL_KEY (a Fernet key) and RECEIPT_SIGNING_KEY of this clone.

    Several processes may ask at once: the first to link its file in wins, all return that one's content. A file that an
    older version made is given what it lacks.
    """
    target = Path(os.path.abspath(home)) / "secrets.json"
    try:
        return _complete(target)
    except FileNotFoundError:
        make_home(embedded_paths(home))
    write_private(target, json.dumps(_new_secrets(), indent=1), replace=False)
    return _complete(target)


def _complete(target: Path) -> dict[str, str]:
    found, new = _read_secrets(target), _new_secrets()
    if new.keys() <= found.keys():
        return found
    with target.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever waited here reads what the first has written
        found = {**new, **_read_secrets(target)}
        write_private(target, json.dumps(found, indent=1))
    return found


def write_private(target: Path, text: str, *, replace: bool = True) -> None:
    """Write a whole file of mode 600, or nothing. With `replace` off an existing file stays as it is."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:  # mkstemp made it with mode 600
            file.write(text)
        if replace:
            Path(name).replace(target)
        else:
            _link_unless_there(name, target)
    finally:
        Path(name).unlink(missing_ok=True)


def _link_unless_there(name: str, target: Path) -> None:
    try:
        os.link(name, target)
    except FileExistsError:
        pass


def _new_secrets() -> dict[str, str]:
    return {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "API_KEY_PEPPER": secrets.token_urlsafe(32),
        "CREDENTIAL_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "RECEIPT_SIGNING_KEY": secrets.token_hex(32),
    }


def _read_secrets(target: Path) -> dict[str, str]:
    content: dict[str, str] = json.loads(target.read_text())
    return content


def _clusters(home: Path) -> Path:
    if os.geteuid() != 0 or _cluster_owner(home):
        return home
    nobody = pwd.getpwnam("nobody")
    if can_enter(home, nobody.pw_uid, nobody.pw_gid):
        return home
    return SHARED_STATE / _digest(home)


def _cluster_owner(clusters: Path) -> int:
    """The user whose cluster is already here, 0 for none: a user's clone stays that user's when root works in it."""
    for version in sorted(clusters.glob("pg[0-9]*/PG_VERSION")):
        found = version.stat()
        if found.st_uid and can_enter(version.parent, found.st_uid, found.st_gid):
            return found.st_uid
    return 0


def _permits(found: os.stat_result, uid: int, gid: int, *, execute: int) -> bool:
    shift = 6 if found.st_uid == uid else 3 if found.st_gid == gid else 0
    return (found.st_mode >> shift) & execute == execute


def _fits(socket: Path) -> bool:
    text = str(socket)
    return len(os.fsencode(text)) <= min(SOCKET_PATH_LIMIT, 103) and bool(_PLAIN.fullmatch(text))


def _short(home: Path, part: str) -> Path:
    """A folder per user, clone and server directly below /tmp; `private_folder` checks whose it is."""
    return _SHORT / f"routerone-{os.geteuid()}-{_digest(home)}-{part}"


def _digest(home: Path) -> str:
    return hashlib.blake2b(os.fsencode(home), digest_size=6).hexdigest()
