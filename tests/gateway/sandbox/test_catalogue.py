"""What the catalogue says of the sandbox's models, by which requests are let through to them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

MODELS = json.loads((Path(__file__).parents[3] / "routing/data/sandbox/models.json").read_text())["models"]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["slug"])
def test_every_chat_model_takes_tools_because_coding_agents_always_send_some(model: dict[str, object]) -> None:
    capabilities = model["capabilities"]
    assert isinstance(capabilities, dict)
    assert capabilities["tools"] is (model["slug"] != "sandbox/embedding")
