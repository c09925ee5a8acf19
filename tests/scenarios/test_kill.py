"""kill -9 of the gateway and of the worker while requests run."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass

import httpx2

from tests.scenarios.conftest import Customer, Stack
from tests.scenarios.processes import Process

# Every third request is a slow one: three seconds of silence, then one word every 100 ms for some seconds more.
# So the kill meets requests in all their states, however fast the machine is.
LONG_TEXT = " ".join("count" for _ in range(100))


@dataclass
class _Progress:
    done: int = 0
    slow_begun: int = 0


async def _request(
    client: httpx2.AsyncClient, url: str, customer: Customer, slow: bool, progress: _Progress
) -> tuple[str, str]:
    """How it went, and its id: complete (the terminal event arrived) or broken."""
    request_id = ""
    body = {
        "model": "sandbox/slow" if slow else "sandbox/echo",
        "messages": [{"role": "user", "content": LONG_TEXT if slow else "count with me"}],
        "stream": True,
    }
    try:
        async with client.stream(
            "POST", f"{url}/v1/chat/completions", headers={"authorization": f"Bearer {customer.key}"}, json=body
        ) as answer:
            request_id = answer.headers.get("x-request-id", "")
            progress.slow_begun += slow
            async for line in answer.aiter_lines():
                if line == "data: [DONE]":
                    progress.done += 1
                    return "complete", request_id
    except httpx2.TransportError:
        pass
    return "broken", request_id


async def _storm(victims: list[Process], url: str, customer: Customer) -> list[tuple[str, str]]:
    limits = httpx2.Limits(max_connections=250)
    async with httpx2.AsyncClient(timeout=60, limits=limits) as client:
        progress = _Progress()
        running = [
            asyncio.create_task(_request(client, url, customer, number % 3 == 0, progress)) for number in range(200)
        ]
        while progress.done < 40 or not progress.slow_begun:
            await asyncio.sleep(0.02)
        for victim in victims:
            victim.kill()
        return await asyncio.gather(*running)


def test_kill_9_of_gateway_and_worker_loses_and_doubles_nothing(stack: Stack) -> None:
    customer = stack.customer()
    gateway, worker = stack.processes.gateway(SANDBOX_URL=stack.sandbox.url), stack.processes.worker()
    outcomes = asyncio.run(_storm([gateway, worker], gateway.url, customer))
    counts = Counter(outcome for outcome, _ in outcomes)
    assert counts["complete"] >= 40 and counts["broken"] > 0
    second = stack.processes.worker()  # another worker takes over what the first left
    try:
        stack.until(lambda: not _journal_length(), timeout_s=40)
    finally:
        second.stop()
    rows = stack.rows(
        "SELECT 'gen-' || replace(request_id::text, '-', ''), charge_nanos, policy FROM billing_usagerecord"
        " WHERE api_key_id = %s",
        customer.api_key_id,
    )
    charged = Counter(request_id for request_id, nanos, _ in rows if nanos > 0)
    completed = {request_id for outcome, request_id in outcomes if outcome == "complete"}
    assert max(charged.values()) == 1
    assert completed <= set(charged), "a completed answer was not charged"
    stack.assert_ledger_holds()


def _journal_length() -> int:
    """Entries that nobody has settled yet: what is settled is trimmed."""
    from django.conf import settings

    from gateway.journal_event import stream_name
    from gateway.tasks import journal_redis

    with journal_redis() as redis:
        return sum(int(redis.xlen(stream_name(shard))) for shard in range(settings.JOURNAL_SHARDS))  # type: ignore[arg-type]
