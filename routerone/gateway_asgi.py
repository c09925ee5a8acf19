"""The gateway alone, for processes of its own: the API paths and the probes, and nothing of the pages.

Django lends its settings and its logging. No app is loaded, which saves a third of the memory.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "routerone.settings")

from django.conf import settings

from observability import logging

logging.configure(logging.Config(level=settings.LOG_LEVEL, json=settings.LOGGING["json"]))

import orjson  # noqa: E402

from gateway.app import Gateway  # noqa: E402  # logging must be set up first
from observability import metrics, probes  # noqa: E402
from routerone.memory import settling  # noqa: E402

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_JSON = "application/json"
_gateway = Gateway()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI entry point of a gateway process. A path that is none of the API's gets the API's 404."""
    if scope["type"] == "http":
        probe = _PROBES.get(scope["path"])
        if probe is None:
            await _gateway(scope, receive, send)
        else:
            await _answer(probe, scope, send)
    elif scope["type"] == "lifespan":
        await _gateway.lifespan(scope, receive, settling(send))
    else:
        await _gateway.refuse_websocket(scope, receive, send)


async def _answer(probe: _Probe, scope: Scope, send: Send) -> None:
    is_question = scope["method"] in {"GET", "HEAD"}
    status, kind, body = await asyncio.to_thread(probe, scope) if is_question else (405, _JSON, b"{}")
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


_Probe = Callable[[Scope], tuple[int, str, bytes]]


def _healthz(_scope: Scope) -> tuple[int, str, bytes]:
    return 200, _JSON, b'{"status":"ok"}'


def _readyz(_scope: Scope) -> tuple[int, str, bytes]:
    ready, words = probes.readiness()
    return 200 if ready else 503, _JSON, orjson.dumps(words)


def _metrics(scope: Scope) -> tuple[int, str, bytes]:
    headers = dict(scope["headers"])
    authorization = headers.get(b"authorization", b"").decode("latin-1")
    peer = (scope.get("client") or ("", 0))[0]
    if not probes.may_read_metrics(authorization, peer, forwarded=b"x-forwarded-for" in headers):
        return 401, _JSON, b"{}"
    return 200, metrics.CONTENT_TYPE, probes.metrics_text()


_PROBES: dict[str, _Probe] = {"/healthz": _healthz, "/readyz": _readyz, "/metrics": _metrics}
