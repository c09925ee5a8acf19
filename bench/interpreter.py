"""The quickest Python of this machine, with the project's packages in it.

How CPython was built decides a quarter of what a gateway in Python costs: an interpreter built without optimisations,
as version managers do unless told otherwise, is slower than a distribution's or a container image's.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from bench.install import FOLDER, run
from bench.processes import DidNotStart

_CLEARLY = 0.9  # of the time that the present one takes
_LOCK = Path(__file__).resolve().parent.parent / "requirements.lock"
_WORK = """
import sys, time
if sys.version_info < (3, 11): sys.exit(1)
import ensurepip, venv
import asyncio, collections, datetime, json, re
Row = collections.namedtuple("Row", "name size when tags")
class One:
    __slots__ = ("kept", "rows")
    def __init__(self): self.kept = {}; self.rows = []
    @property
    def size(self): return len(self.kept)
    async def take(self, number, **more):
        text = '{"id": %d, "usage": {"in": 12, "out": 30}, "words": ["a", "b"]}' % number
        read = json.loads(text)
        usage = read.get("usage") or {}
        row = Row(f"gen-{number:x}", max(usage.values()), datetime.datetime.now(), tuple(read["words"]))
        self.kept[number & 255] = row._replace(size=self.size)
        if isinstance(row, tuple) and re.match(r"gen-[0-9a-f]+$", row.name):
            self.rows.append(row.name.partition("-")[2])
        return sorted((one for one in self.rows[-8:]), key=len)
async def work(count):
    one = One()
    for number in range(count):
        try: await one.take(number, more=1)
        except KeyError: pass
best = 9.0
for _ in range(7):
    began = time.process_time(); asyncio.run(work(3000)); best = min(best, time.process_time() - began)
print(best)
"""


def quickest() -> Path:
    """An interpreter with all of `requirements.lock`: the one that runs this, unless another is clearly quicker.

    The other is looked for under the usual names on PATH and in /usr/bin, and gets a virtual environment of its own.
    """
    here = _seconds(sys.executable)
    names = [f"python3.{minor}" for minor in (11, 12, 13, 14)] + ["python3"]
    paths = {found for name in names for found in (shutil.which(name), shutil.which(name, path="/usr/bin")) if found}
    timed = [(took, path) for path in sorted(paths) if (took := _seconds(path)) is not None]
    took, path = min(timed, default=(0.0, ""))
    if here is None or not path or took > here * _CLEARLY:
        return Path(sys.executable)
    try:
        return _with_packages(path)
    except DidNotStart:
        return Path(sys.executable)


def _seconds(python: str) -> float | None:
    """Of CPU for a fixed piece of work; None where it doesn't run, is too old, or can't have packages."""
    try:
        done = subprocess.run([python, "-c", _WORK], capture_output=True, text=True, check=False, timeout=60)
        return float(done.stdout) if done.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def _with_packages(python: str) -> Path:
    target = FOLDER / "python"
    interpreter, done = target / "bin" / "python", target / ".complete"
    wanted = hashlib.sha256(_LOCK.read_bytes() + python.encode()).hexdigest()
    if not done.exists() or done.read_text() != wanted:
        uv = (sys.executable, "-m", "uv")
        run([*uv, "venv", "-q", "--clear", "--python", python, target])
        into = ("--compile-bytecode", "--python", interpreter, "--require-hashes")
        run([*uv, "pip", "install", "-q", *into, "-r", _LOCK])
        done.write_text(wanted)
    return interpreter
