"""Ask, and say what came of it in a form that can be compared."""

from __future__ import annotations

from typing import Any

from gateway.upstream.client import TransportFailure, UpstreamClient, UpstreamRequest

HEADERS = {"content-type": "application/json", "accept-encoding": "gzip, deflate", "authorization": "Bearer sk-test"}
BODY = b'{"model":"m"}'


def ask(url: str, **options: Any) -> UpstreamRequest:
    fields = {"headers": HEADERS, "body": BODY, "connect_timeout_s": 5.0, "read_timeout_s": 5.0, **options}
    return UpstreamRequest(url=url, **fields)


async def outcome(client: UpstreamClient, request: UpstreamRequest, *, pumped: bool = False) -> tuple[Any, ...]:
    """(status, body), ("send", failure) or (status, body so far, failure). The answer is closed."""
    try:
        response = await client.send(request)
    except TransportFailure as failed:
        return ("send", failed.failure)
    body = bytearray()
    try:
        if pumped:
            assert await response.pump(lambda chunk: not body.extend(chunk))
        else:
            async for chunk in response.chunks():
                body += chunk
    except TransportFailure as failed:
        return (response.status, bytes(body), failed.failure)
    finally:
        await response.close()
    return (response.status, bytes(body))
