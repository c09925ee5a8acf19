"""The clients themselves: npm packages in `.clients/`, which is not part of the repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".clients"
WANTED = Path(__file__).with_name("package.json")
NODE = 20


class NotInstalled(Exception):
    """The clients cannot be had; the text says why."""


def versions() -> dict[str, str]:
    """The exact version of each npm package."""
    dependencies: dict[str, str] = json.loads(WANTED.read_text())["dependencies"]
    return dependencies


def program(name: str) -> str:
    return str(FOLDER / "node_modules/.bin" / name)


def install() -> None:
    """Install what package.json names, unless it is there. Raises NotInstalled."""
    if all(_installed(package) == version for package, version in versions().items()):
        return
    _check_node()
    FOLDER.mkdir(exist_ok=True)
    shutil.copy(WANTED, FOLDER / WANTED.name)
    print(f"installing the clients into {FOLDER} (once, 1.1 GB)", flush=True)
    command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.run(command, cwd=FOLDER, check=False).returncode != 0:
        raise NotInstalled("npm could not install the clients; what it said is above.")


def _installed(package: str) -> str:
    try:
        manifest = json.loads((FOLDER / "node_modules" / package / "package.json").read_text())
    except (OSError, ValueError):
        return ""
    return str(manifest.get("version", ""))


def _check_node() -> None:
    need = f"The clients need Node.js {NODE} or later and npm"
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NotInstalled(f"{need}; not both were found in {os.environ.get('PATH', '')}.")
    found = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    if int(found.removeprefix("v").split(".")[0] or 0) < NODE:
        raise NotInstalled(f"{need}; this is Node.js {found}.")
