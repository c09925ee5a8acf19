"""The import contracts of pyproject.toml, each on a breach that is planted in a copy of the tree."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("accounts", "billing", "gateway", "observability", "routerone", "routing")
LINT = "from importlinter.cli import lint_imports_command as lint; lint()"
BREACHES = {
    "accounts/planted_upward.py": "import billing.events",
    "routing/planted_sideways.py": "import observability.records",
    "gateway/protocol/planted.py": "import asyncio",
    "billing/pricing/planted.py": "import time",
    "routing/policy/planted.py": "import django.utils.timezone",
    "gateway/views/planted.py": "import gateway.planted_between",
    "gateway/planted_between.py": "import routing.models",
    "gateway/sandbox/planted.py": "import accounts.key_format",
    "billing/planted_writer.py": "from billing.models.ledger import Entry",
    "billing/planted_one.py": "import billing.planted_two",
    "billing/planted_two.py": "import billing.planted_one",
}
SEEN = (
    "accounts.planted_upward -> billing.events",
    "routing.planted_sideways -> observability.records",
    "gateway.protocol.planted -> asyncio",
    "billing.pricing.planted -> time",
    "routing.policy.planted -> django",
    "gateway.planted_between -> routing.models",
    "gateway.sandbox.planted -> accounts.key_format",
    "billing.planted_writer -> billing.models.ledger",
    "planted_one",
)


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What lint-imports says about the tree with all breaches in it."""
    tree = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "pyproject.toml", tree)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__", "data", "locale"))
    for name, text in BREACHES.items():
        (tree / name).write_text(text + "\n")
    answer = subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    )
    assert answer.returncode != 0
    return answer.stdout


def contract_names() -> list[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [contract["name"] for contract in settings["tool"]["importlinter"]["contracts"]]


@pytest.mark.parametrize("name", contract_names())
def test_each_contract_is_broken_by_a_breach(verdict: str, name: str) -> None:
    assert f"{name} BROKEN" in re.sub(r"\s+", " ", verdict)


@pytest.mark.parametrize("line", SEEN)
def test_each_planted_import_is_named(verdict: str, line: str) -> None:
    assert line in verdict


# Settlement is plain SQL over the cursor that it is given; their other functions read through Django's.
GIVEN_A_CURSOR = {"billing/ledger.py", "billing/holds.py"}


def files_on_the_request_path() -> Iterator[Path]:
    """Every module of ours that serving a request imports, however indirectly."""
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)
    views = {module for module in graph.modules if module.startswith("gateway.views")}
    for module in sorted(set().union(*(graph.find_upstream_modules(m) | {m} for m in views | {"gateway.app"}))):
        path = ROOT / module.replace(".", "/")
        yield path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_the_request_path_does_not_import_the_orm() -> None:
    files = [path for path in files_on_the_request_path() if str(path.relative_to(ROOT)) not in GIVEN_A_CURSOR]
    assert len(files) > 10
    assert [name for path in files for name in imports_of(path.read_text()) if name.startswith("django.db")] == []


def test_an_import_of_the_orm_is_seen_wherever_it_stands() -> None:
    assert "django.db.connection" in imports_of("def f():\n    from django.db import connection")
    assert "django.db" in imports_of("import django.db")


def imports_of(source: str) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found
