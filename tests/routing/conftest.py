"""A small catalogue folder that tests write, change and load; Bob with his project, and Alice, who is somebody else."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.models import Project, User
from accounts.signup import create_organization

Folder = Callable[..., Path]

PROVIDERS: dict[str, Any] = {
    "providers": [
        {
            "slug": "acme",
            "name": "Acme",
            "base_urls": {"openai_chat": "https://api.acme.test/v1"},
            "auth": "bearer",
            "api_key_env": "ACME_TEST_KEY",
            "unknown_field": 1,
        },
        {
            "slug": "local",
            "name": "Local",
            "base_urls": {"openai_chat": "http://127.0.0.1:9/v1", "anthropic_messages": "http://127.0.0.1:9/v1"},
            "auth": "none",
        },
    ]
}
MODELS: dict[str, Any] = {
    "models": [
        {
            "slug": "acme/one",
            "name": "One",
            "author": "acme",
            "aliases": ["One-Latest"],
            "description": "A model.",
            "context_length": 100000,
            "max_output_tokens": 1000,
            "capabilities": {"tools": True},
            "quality": {"index": 50, "as_of": "2026-10-20"},
            "offerings": [
                {
                    "provider": "acme",
                    "upstream_id": "one",
                    "protocol": "openai_chat",
                    "price_cards": [{"rates": {"input": "2", "output": "8"}}],
                },
                {
                    "provider": "local",
                    "upstream_id": "one-local",
                    "protocol": "openai_chat",
                    "other_protocols": ["anthropic_messages"],
                    "price_cards": [
                        {"rates": {"input": "1", "output": "4", "cache_read": "0.10"}},
                        {"min_prompt_tokens": 200001, "rates": {"input": "2", "output": "6"}},
                    ],
                },
            ],
        },
        {
            "slug": "acme/two",
            "name": "Two",
            "author": "acme",
            "offerings": [
                {
                    "provider": "acme",
                    "upstream_id": "two",
                    "protocol": "openai_chat",
                    "price_cards": [{"rates": {"input": "3", "output": "9"}}],
                }
            ],
        },
    ]
}
LEGACY: dict[str, Any] = {"zero": {"successor": "acme/one", "withdrawn": "2026-01-02"}}


@pytest.fixture
def providers() -> dict[str, Any]:
    return copy.deepcopy(PROVIDERS)


@pytest.fixture
def models() -> dict[str, Any]:
    return copy.deepcopy(MODELS)


@pytest.fixture
def write(tmp_path: Path, providers: dict[str, Any], models: dict[str, Any]) -> Folder:
    """Writes the folder from `providers` and `models` as they are at the time of the call."""

    def write_folder() -> Path:
        (tmp_path / "providers.json").write_text(json.dumps(providers))
        (tmp_path / "models.json").write_text(json.dumps(models))
        (tmp_path / "legacy_names.json").write_text(json.dumps(LEGACY))
        return tmp_path

    return write_folder


@pytest.fixture
def project(db: None) -> Project:
    bob = User.objects.create_user("bob@example.com", "a long password 1")
    return create_organization(name="Bob", owner=bob)[1]


@pytest.fixture
def bob(client: Client, project: Project) -> Client:
    client.force_login(User.objects.get(email="bob@example.com"))
    return client


@pytest.fixture
def alice(db: None) -> Client:
    """Of another organization."""
    user = User.objects.create_user("alice@example.com", "a long password 1")
    create_organization(name="Alice", owner=user)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The projects whose keys were announced as changed."""
    heard: list[int] = []
    monkeypatch.setattr("routing.project_settings.announce_keys_of", lambda project: heard.append(project.pk))
    return heard
