"""Sandbox models that answer as a test wants: the sandbox's own, with options on the name that it is asked for.

The gateway knows models by their public names only, so each script needs a place in the catalogue.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.scenarios.processes import ROOT

SANDBOX = ROOT / "routing/data/sandbox"


def slug_of(script: str) -> str:
    """The public name of "sandbox/echo;words=60;gap_ms=20"; a name without options is itself."""
    return re.sub(r"[^a-z0-9/]+", "-", script)


def write_catalogue(folder: Path, scripts: Iterable[str]) -> Path:
    """The sandbox's catalogue with a model for each script; returns the folder, for `load_catalogue`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "providers.json").write_bytes((SANDBOX / "providers.json").read_bytes())
    catalogue = json.loads((SANDBOX / "models.json").read_text())
    models: dict[str, dict[str, Any]] = {model["slug"]: model for model in catalogue["models"]}
    for script in sorted(set(scripts)):
        base, _, options = script.partition(";")
        model = deepcopy(models[base])
        model["slug"], model["name"] = slug_of(script), script
        for offering in model["offerings"]:
            offering["upstream_id"] += f";{options}"
        catalogue["models"].append(model)
    (folder / "models.json").write_text(json.dumps(catalogue))
    return folder
