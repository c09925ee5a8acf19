"""One dispatcher: the gateway's API paths go to its own ASGI application, everything else to Django and Channels.

For one process that does both; `gateway_asgi.py` is for processes that serve the API alone.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "routerone.settings")

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

from routerone.memory import settling

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_django = get_asgi_application()

from gateway.app import Gateway  # noqa: E402  # Django must be set up first

_gateway = Gateway()
_web = ProtocolTypeRouter({"http": _django, "websocket": AuthMiddlewareStack(URLRouter([]))})


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI entry point of every server process."""
    if scope["type"] == "lifespan":
        await _gateway.lifespan(scope, receive, settling(send))
    elif scope["type"] == "http" and _gateway.serves(scope):
        await _gateway(scope, receive, send)
    elif scope["type"] == "websocket" and _gateway.serves(scope):
        await _gateway.refuse_websocket(scope, receive, send)
    else:
        await _web(scope, receive, send)
