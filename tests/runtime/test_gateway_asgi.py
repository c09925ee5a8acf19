"""The gateway as a process of its own: lean, with the probes, without the pages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.conf import settings
from pytest_django.fixtures import Settings

from routerone.gateway_asgi import application

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ask() -> Iterator[Any]:
    async def ask(method: str, path: str, peer: str = "127.0.0.1", **headers: str) -> httpx2.Response:
        transport = httpx2.ASGITransport(application, client=(peer, 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.request(method, path, headers=headers)

    return ask


def test_nothing_of_the_pages_is_loaded() -> None:
    pages = ("unfold", "allauth", "channels", "django.contrib", "django.template", "django.forms", "django.db.models")
    code = "import sys, json, routerone.gateway_asgi; print(json.dumps(sorted(sys.modules)))"
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "routerone.settings", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    loaded = [name for name in json.loads(done.stdout) if name.startswith(pages)]
    assert loaded == []


async def test_probes_answer(ask: Any) -> None:
    alive, ready = await ask("GET", "/healthz"), await ask("GET", "/readyz")
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ok", "database": "ok", "valkey": "ok"})
    assert ready.headers["cache-control"] == "no-store"


async def test_readyz_names_the_part_that_is_down(ask: Any, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    answer = await ask("GET", "/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "database": "ok", "valkey": "unavailable"}


async def test_a_probe_is_only_read(ask: Any) -> None:
    assert (await ask("POST", "/healthz")).status_code == 405
    head = await ask("HEAD", "/healthz")
    assert (head.status_code, head.content) == (200, b"")


async def test_metrics_want_the_token(ask: Any, settings: Settings) -> None:
    settings.METRICS_TOKEN = "right"
    refused = await ask("GET", "/metrics")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    answer = await ask("GET", "/metrics", authorization="Bearer right")
    assert answer.status_code == 200
    assert b"routerone_requests_in_flight" in answer.content


async def test_metrics_are_closed_to_who_comes_through_a_proxy(ask: Any, settings: Settings) -> None:
    settings.EMBEDDED, settings.METRICS_TOKEN = True, ""
    assert (await ask("GET", "/metrics")).status_code == 200
    assert (await ask("GET", "/metrics", **{"x-forwarded-for": "10.0.0.8"})).status_code == 401
    assert (await ask("GET", "/metrics", "10.0.0.8")).status_code == 401


def test_the_pages_process_and_this_one_read_the_same_database() -> None:
    assert settings.DATABASES["default"]["NAME"] in settings.DATABASE_CONNINFO()
