"""Peers and tools by package name, each in a folder of its own below `.bench`, once.

Nothing here is needed to run the product. What cannot be had is left out of the table with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.processes import DidNotStart

FOLDER = Path(__file__).resolve().parent.parent / ".bench"
_LIMIT_S = 900


def python_packages(name: str, *packages: str, version: str = "") -> Path:
    """The interpreter of a virtual environment with these, of a certain Python where `version` says so.

    Compiled at once: peers are measured in them.
    """
    target = FOLDER / name
    interpreter = target / "bin" / "python"
    done = target / ".complete"
    if not done.exists():
        uv = (sys.executable, "-m", "uv")
        python = _python(version) if version else sys.executable
        try:
            run([*uv, "venv", "-q", "--clear", "--python", python, target])
        except DidNotStart as reason:
            raise DidNotStart(f"needs Python {version}: {reason}" if version else str(reason)) from reason
        run([*uv, "pip", "install", "-q", "--compile-bytecode", "--python", interpreter, *packages])
        done.touch()
    return interpreter


def _python(version: str) -> str:
    """One that runs (pyenv puts programs on PATH that do not), else what uv may find or fetch."""
    found = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = [*([found] if found else []), *map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python")))]
    for one in candidates:
        if subprocess.run([one, "-c", "0"], capture_output=True, check=False).returncode == 0:
            return one
    return version


def node_package(name: str, package: str) -> Path:
    """The folder of the package, without running its install scripts."""
    target = FOLDER / name
    done = target / ".complete"
    if not shutil.which("node") or not shutil.which("npm"):
        raise DidNotStart("needs Node.js")
    if not done.exists():
        target.mkdir(parents=True, exist_ok=True)
        run(["npm", "install", "--prefix", target, "--no-audit", "--no-fund", "--ignore-scripts", package])
        done.touch()
    return target / "node_modules" / package.rsplit("@", 1)[0]


def nginx() -> Path:
    """The system's own, else Debian's package unpacked into `.bench`, which needs no rights."""
    if found := shutil.which("nginx"):
        return Path(found)
    target = FOLDER / "nginx"
    program = target / "usr" / "sbin" / "nginx"
    if not program.exists():
        if not shutil.which("apt-get"):
            raise DidNotStart("no nginx here")
        target.mkdir(parents=True, exist_ok=True)
        run(["apt-get", "-q", "download", "nginx"], cwd=target)
        run(["dpkg", "-x", next(target.glob("nginx_*.deb")), target])
    return program


def run(command: Sequence[str | Path], cwd: Path | None = None) -> None:
    words = [str(part) for part in command]
    try:
        done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DidNotStart(f"cannot be installed: {error}") from error
    if done.returncode:
        last = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()][-1:]
        raise DidNotStart(f"cannot be installed: {''.join(last)[:200]}")
