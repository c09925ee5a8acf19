"""Clients that keep a tally: what was answered completely, what broke, what was refused."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx2

# Answers of all kinds and lengths: at once, slow, streams of several seconds.
_KINDS = (
    {"model": "sandbox/echo", "stream": False},
    {"model": "sandbox/echo", "stream": True},
    {"model": "sandbox/echo;first_ms=200;gap_ms=40;words=40", "stream": True},
    {"model": "sandbox/exact", "stream": False, "max_tokens": 20},
)


@dataclass
class Tally:
    complete: set[str] = field(default_factory=set)  # the terminal event or the whole body arrived
    broken: set[str] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)


class Storm:
    """`clients` callers over all urls until `stop`, in a thread with a loop of its own."""

    def __init__(self, urls: Sequence[str], key: str, clients: int = 16) -> None:
        self.tally = Tally()
        self._urls = urls
        self._key = key
        self._clients = clients
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
            await self._ask(client, self._urls[count % len(self._urls)], _KINDS[count % len(_KINDS)])

    async def _ask(self, client: httpx2.AsyncClient, url: str, kind: dict[str, object]) -> None:
        request_id = ""
        body = {"messages": [{"role": "user", "content": "count with me to ten"}], **kind}
        headers = {"authorization": f"Bearer {self._key}"}
        try:
            async with client.stream("POST", f"{url}/v1/chat/completions", headers=headers, json=body) as answer:
                request_id = answer.headers.get("x-request-id", "")
                text = (await answer.aread()).decode()
        except httpx2.TransportError:
            if request_id:
                self.tally.broken.add(request_id)
            await asyncio.sleep(0.1)
            return
        self.tally.statuses[answer.status_code] += 1
        if answer.status_code != 200:
            await asyncio.sleep(0.1)
        elif not kind["stream"] or text.rstrip().endswith("[DONE]"):
            self.tally.complete.add(request_id)
        else:
            self.tally.broken.add(request_id)
