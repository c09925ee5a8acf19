"""Every test of this folder runs over both transports, and over both kinds of event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvloop

from gateway.upstream.client import HttpxClient, UpstreamClient
from gateway.upstream.pooled import PooledClient

MakeClient = Callable[..., UpstreamClient]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=["pooled", "httpx"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def make_client(transport: str) -> AsyncIterator[MakeClient]:
    """Both transports by the same options; all are closed afterwards."""
    made: list[UpstreamClient] = []

    def make(**options: Any) -> UpstreamClient:
        client = PooledClient(tick_s=0.02, **options) if transport == "pooled" else HttpxClient(**options)
        made.append(client)
        return client

    yield make
    for client in made:
        await client.close()


@pytest.fixture
def client(make_client: MakeClient) -> UpstreamClient:
    return make_client()
