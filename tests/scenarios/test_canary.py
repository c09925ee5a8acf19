"""No prompt, answer, tool argument or provider's words may be found anywhere after every path was driven."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path
from typing import Any

import httpx2
import redis as redis_client
from django.conf import settings

from tests.scenarios.conftest import Stack

MODELS = [
    "echo", "echo-anthropic", "tools", "reasoning", "flaky", "fail-500", "fail-429", "cut", "error-in-stream", "slow",
]  # fmt: skip


def test_the_canary_is_found_nowhere(stack: Stack) -> None:
    canary = f"canary{secrets.token_hex(8)}"
    customer = stack.customer()
    _drive_every_path(stack, customer.key, canary)
    stack.settle()
    assert stack.rows(
        "SELECT count(*) > 20 FROM observability_requestlog WHERE api_key_id = %s", customer.api_key_id
    ) == [(True,)]
    assert _in_database(stack, canary) == []
    assert _in_redis(canary) == []
    assert _in_files(stack, canary) == []
    assert _in_database(stack, customer.key) == [] and _in_files(stack, customer.key) == []


def _drive_every_path(stack: Stack, key: str, canary: str) -> None:
    url = f"{stack.url}/v1/chat/completions"
    headers = {"authorization": f"Bearer {key}"}
    tool = {"type": "function", "function": {"name": f"f_{canary}", "parameters": {"type": "object", "properties": {}}}}
    messages = [{"role": "system", "content": canary}, {"role": "user", "content": f"say {canary}"}]
    bodies: list[Any] = [
        {"model": f"sandbox/{name}", "messages": messages, "tools": [tool], "stream": stream, "user": canary}
        for name in MODELS
        for stream in (False, True)
    ]
    bodies += [
        {"model": canary, "messages": messages},
        {"model": "sandbox/echo", "messages": canary},
        {"model": "sandbox/echo", "messages": [{"role": canary, "content": canary}]},
        {"model": "sandbox/echo", canary: canary, "messages": [{"role": "user", "content": [{"type": canary}]}]},
    ]
    with httpx2.Client(timeout=30, headers=headers) as client:
        for body in bodies:
            with contextlib.suppress(httpx2.TransportError):
                client.post(url, json=body)
        client.post(url, content=f'{{"model": "{canary}'.encode())
        client.get(f"{stack.url}/v1/{canary}")
        client.get(f"{stack.url}/v1/models/{canary}")
        client.post(url, json=bodies[0], headers={"authorization": f"Bearer sk-ro-{canary}"})
        with client.stream("POST", url, json={**bodies[1], "model": "sandbox/slow"}) as answer:
            next(answer.iter_bytes(), b"")  # and leave


def _in_database(stack: Stack, needle: str) -> list[str]:
    tables = stack.rows("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
    found = []
    for (table,) in tables:
        if stack.rows(f"SELECT 1 FROM {table} t WHERE position(%s in t::text) > 0 LIMIT 1", needle):
            found.append(table)
    return found


def _in_redis(needle: str) -> list[bytes]:
    wanted = needle.encode()
    found = []
    with redis_client.Redis.from_url(settings.REDIS_URL) as store:
        for key in store.scan_iter(count=1000):
            if wanted in key or wanted in _dump(store, key):
                found.append(key)
    return found


def _dump(store: Any, key: bytes) -> bytes:
    readers = {
        b"string": store.get, b"hash": store.hgetall, b"set": store.smembers, b"stream": store.xrange,
        b"list": lambda k: store.lrange(k, 0, -1), b"zset": lambda k: store.zrange(k, 0, -1),
    }  # fmt: skip
    return repr(readers[store.type(key)](key)).encode()


def _in_files(stack: Stack, needle: str) -> list[str]:
    """Logs of every process, and whatever the product keeps in its home folder."""
    wanted = needle.encode()
    folders = [stack.processes.folder, Path(settings.HOME)]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file() and "pg18" not in file.parts]
    return [str(file) for file in files if wanted in file.read_bytes()]
