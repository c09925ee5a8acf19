"""Clients that keep a tally: what was answered completely and for how much, what broke, what was refused."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx2

from tests.scenarios.scripted import slug_of

# Answers of all kinds and lengths: at once, and streams of seconds.
SLOW = "sandbox/echo;first_ms=150;gap_ms=30;words=40"
LONG = "sandbox/echo;gap_ms=50;words=60"  # longer than the lease of a slice
SCRIPTS = (SLOW, LONG)
_USAGE = {"stream": True, "stream_options": {"include_usage": True}}
_KINDS: tuple[Mapping[str, Any], ...] = (
    {"model": "sandbox/echo", "stream": False},
    {"model": "sandbox/echo", **_USAGE},
    {"model": SLOW, **_USAGE},
    {"model": "sandbox/exact", "stream": False, "max_tokens": 20},
    {"model": "sandbox/echo-anthropic", **_USAGE},  # translated
)
_AFTER_TROUBLE_S = 0.05


@dataclass
class Tally:
    complete: dict[str, int] = field(default_factory=dict)  # id -> the cost in nano-USD that the caller was told
    broken: set[str] = field(default_factory=set)  # begun and not ended
    statuses: Counter[int] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)  # answers that nobody should ever get
    slowest_s: float = 0.0
    streams: int = 0  # complete ones that took their time


class Storm:
    """`clients` callers over all urls until `stop`, in a thread with a loop of its own."""

    def __init__(
        self, urls: Sequence[str], key: str, clients: int = 12, kinds: Sequence[Mapping[str, Any]] = _KINDS
    ) -> None:
        self.tally = Tally()
        self._urls = urls
        self._key = key
        self._clients = clients
        self._kinds = kinds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Storm:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> Tally:
        self._stopping.set()
        self._thread.join(90)
        assert not self._thread.is_alive()
        return self.tally

    def blow(self, seconds: float) -> None:
        time.sleep(seconds)

    async def _run(self) -> None:
        limits = httpx2.Limits(max_connections=self._clients)
        async with httpx2.AsyncClient(timeout=40, limits=limits) as client:
            await asyncio.gather(*(self._caller(client, number) for number in range(self._clients)))

    async def _caller(self, client: httpx2.AsyncClient, number: int) -> None:
        count = number
        while not self._stopping.is_set():
            count += 1
            kind = self._kinds[count % len(self._kinds)]
            if not await self._ask(client, self._urls[count % len(self._urls)], kind):
                await asyncio.sleep(_AFTER_TROUBLE_S)

    async def _ask(self, client: httpx2.AsyncClient, url: str, kind: Mapping[str, Any]) -> bool:
        request_id, text, tally, began = "", "", self.tally, time.monotonic()
        body = {"messages": [{"role": "user", "content": "count with me to ten"}], **kind}
        body["model"] = slug_of(str(kind["model"]))
        headers = {"authorization": f"Bearer {self._key}"}
        try:
            async with client.stream("POST", f"{url}/v1/chat/completions", headers=headers, json=body) as answer:
                request_id = answer.headers.get("x-request-id", "")
                text = (await answer.aread()).decode()
        except httpx2.TransportError:
            if request_id:
                tally.broken.add(request_id)
            return False
        finally:
            tally.slowest_s = max(tally.slowest_s, time.monotonic() - began)
        tally.statuses[answer.status_code] += 1
        if answer.status_code != 200:
            if answer.status_code != 503 or not answer.headers.get("retry-after", "").isdigit():
                tally.odd.append(f"{answer.status_code} {answer.headers.get('retry-after')} {text[:300]}")
            return False
        if not kind["stream"]:
            tally.complete[request_id] = _nanos(Decimal(answer.headers["x-router-cost"]))
        elif text.rstrip().endswith("[DONE]"):
            tally.complete[request_id] = _cost_at_the_end_of(text)
            tally.streams += kind["model"] in SCRIPTS
        else:
            tally.broken.add(request_id)
        return True


def _cost_at_the_end_of(stream: str) -> int:
    chunks = [json.loads(line[6:], parse_float=Decimal) for line in stream.splitlines() if line.startswith("data: {")]
    (usage,) = [chunk["usage"] for chunk in chunks[-2:] if chunk.get("usage")]
    return _nanos(Decimal(usage["cost"]))


def _nanos(usd: Decimal) -> int:
    return int(usd * 10**9)
