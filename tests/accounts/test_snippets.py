"""The texts are what their tools read: each is parsed as its own language."""

from __future__ import annotations

import ast
import json
import shlex
import tomllib
from typing import Any

import pytest

from accounts.sample_models import SAMPLE_MODEL, SANDBOX_MODEL, sample_model
from accounts.snippets import Guide, guides

KEY = "sk-ro-" + "a" * 40
MODEL = "maker/model-1"


@pytest.fixture
def known(settings: Any) -> dict[str, Guide]:
    settings.PUBLIC_URL = "https://router.example"
    return {guide.name: guide for guide in guides(MODEL, KEY)}


def exported(text: str) -> dict[str, str]:
    words = (shlex.split(line) for line in text.splitlines())
    return dict(words[1].split("=", 1) for words in words if words[0] == "export")


def test_python_examples_are_python(known: dict[str, Guide]) -> None:
    texts = [block.text for guide in known.values() for block in guide.blocks if block.place == "Python"]
    assert len(texts) == 5
    for text in texts:
        said = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
        assert {MODEL, KEY} <= said
        assert {"https://router.example", "https://router.example/v1"} & said


def test_clients_that_add_the_version_get_a_base_url_without(known: dict[str, Guide]) -> None:
    for name in ("anthropic", "google-genai", "claude-code"):
        assert "router.example/v1" not in known[name].blocks[0].text, name
    for name in ("python", "node", "codex", "opencode", "langchain", "pydantic-ai"):
        assert "https://router.example/v1" in known[name].blocks[0].text, name


def test_claude_code_gets_its_variables_and_no_second_key(known: dict[str, Guide]) -> None:
    text = known["claude-code"].blocks[0].text
    assert text.startswith("unset ANTHROPIC_API_KEY\n") and text.endswith("\nclaude")
    values = exported(text)
    assert values.pop("ANTHROPIC_BASE_URL") == "https://router.example"
    assert values.pop("ANTHROPIC_AUTH_TOKEN") == KEY
    models = {f"ANTHROPIC_DEFAULT_{one}_MODEL" for one in ("OPUS", "SONNET", "HAIKU")}
    assert set(values) == {"ANTHROPIC_MODEL", *models}
    assert set(values.values()) == {MODEL}


def test_codex_gets_a_provider_of_its_own(known: dict[str, Guide]) -> None:
    config, terminal = known["codex"].blocks
    read = tomllib.loads(config.text)
    provider = read["model_providers"][read["model_provider"]]
    assert (read["model"], provider["base_url"], provider["wire_api"]) == (
        MODEL,
        "https://router.example/v1",
        "responses",
    )
    assert exported(terminal.text) == {provider["env_key"]: KEY}
    assert KEY not in config.text


def test_opencode_finds_model_and_key(known: dict[str, Guide]) -> None:
    config, terminal = known["opencode"].blocks
    read = json.loads(config.text)
    name, _, model = read["model"].partition("/")
    options = read["provider"][name]["options"]
    assert model in read["provider"][name]["models"]
    assert options["baseURL"] == "https://router.example/v1"
    (variable,) = exported(terminal.text)
    assert options["apiKey"] == f"{{env:{variable}}}"


def test_the_key_is_in_no_repr(known: dict[str, Guide]) -> None:
    assert KEY not in repr(known)


def test_the_sample_is_what_can_be_called_here(settings: Any) -> None:
    settings.SANDBOX_ENABLED = True
    assert sample_model() == SANDBOX_MODEL
    settings.SANDBOX_ENABLED = False
    assert sample_model() == SAMPLE_MODEL
