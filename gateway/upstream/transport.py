"""The choice of transport, by the setting UPSTREAM_TRANSPORT."""

from __future__ import annotations

from gateway.upstream.client import HttpxClient, UpstreamClient
from gateway.upstream.pooled import PooledClient


def make_client(name: str) -> UpstreamClient:
    """`pooled`, or `httpx` for the slower reference. Raises ValueError for another name or a proxy it can't use."""
    if name == "pooled":
        return PooledClient()
    if name == "httpx":
        return HttpxClient()
    raise ValueError(f"UPSTREAM_TRANSPORT is pooled or httpx, not {name!r}.")
