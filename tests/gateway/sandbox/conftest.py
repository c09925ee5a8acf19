"""The sandbox as its own process, as in production, and the official clients of both vendors."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.request import urlopen

import anthropic
import openai
import pytest

from tests.scenarios.processes import free_port


@pytest.fixture(scope="session")
def sandbox_url() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "gateway.sandbox.app:application", "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    process = subprocess.Popen([*command, "--log-level", "critical"], env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(400):
        assert process.poll() is None, "the sandbox ended at once"
        try:
            with urlopen(f"{url}/healthz"):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the sandbox did not start")


@pytest.fixture(scope="session")
def openai_client(sandbox_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{sandbox_url}/v1", api_key="none", max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def anthropic_client(sandbox_url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=sandbox_url, api_key="none", max_retries=0, timeout=30) as client:
        yield client
