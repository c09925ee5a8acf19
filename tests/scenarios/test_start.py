"""What a gateway refuses to start with, and that it says why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.gateway.own_valkey import OwnValkey
from tests.scenarios.processes import Process, Processes, free_port


@pytest.fixture
def valkey() -> Iterator[OwnValkey]:
    server = OwnValkey()
    yield server
    server.close()


def _ended(processes: Processes, **env: str) -> Process:
    arguments = ["-m", "uvicorn", "routerone.asgi:application", "--port", str(free_port()), "--log-level", "warning"]
    process = processes.spawn("gateway", arguments, **env)
    assert process.popen.wait(timeout=60) != 0
    return process


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
def test_a_journal_that_its_server_may_throw_away(processes: Processes, valkey: OwnValkey, policy: str) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        client.config_set("maxmemory-policy", policy)
    output = _ended(processes, JOURNAL_URL=valkey.url).output()
    assert f"maxmemory-policy {policy}" in output and "noeviction" in output


@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru"])
def test_a_journal_that_stays_is_fine(processes: Processes, valkey: OwnValkey, policy: str) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        client.config_set("maxmemory-policy", policy)
    processes.gateway(JOURNAL_URL=valkey.url).stop()


def test_a_trusted_proxy_that_is_no_network(processes: Processes) -> None:
    output = _ended(processes, TRUSTED_PROXIES="10.0.0.0/8,10.1.2.3/8").output()
    assert "TRUSTED_PROXIES: '10.1.2.3/8' is neither an address nor a network; 10.0.0.0/8 perhaps." in output
