"""One supervisor per clone: a lock that the kernel drops with the process that holds it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from routerone.embedded.process import ServerProblem


@contextmanager
def held(path: Path, *, patience_s: float = 3.0) -> Iterator[None]:
    """Hold the clone. Raises ServerProblem if another process has it and keeps it for `patience_s`."""
    with path.open("a+") as file:
        path.chmod(0o600)
        if not _take(file, patience_s):
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise ServerProblem(
                f"Router One already runs from this folder (process {holder}). "
                f"Stop it with Ctrl-C in its terminal, or: kill {holder}"
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def is_held(path: Path) -> bool:
    """Whether a supervisor of this clone runs now."""
    if not path.exists():
        return False
    with path.open("a") as file:
        return not _take(file, 0.0)


def _take(file: IO[str], patience_s: float) -> bool:
    end = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.1)
