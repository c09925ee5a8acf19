"""The kinds of work that every target is given."""

from __future__ import annotations

import json
from dataclasses import dataclass

_PAD = "The quick brown fox jumps over the lazy dog. "


@dataclass(frozen=True, slots=True)
class Scenario:
    """`knobs` are the upstream's (see upstream.py). `chunks` is 0 for plain replies, `rate` 0 for a closed loop."""

    name: str
    title: str
    knobs: str = ""
    concurrency: int = 16
    chunks: int = 0
    prompt_bytes: int = 300
    rate: float = 0.0
    seconds: float = 4.0
    quick_seconds: float = 1.5


SCENARIOS = (
    Scenario("plain", "plain replies, 16 in flight, upstream without delay"),
    Scenario("stream200", "streams of 200 chunks without gaps, 16 in flight", "c200", chunks=200),
    Scenario(
        "paced",
        "streams of 60 chunks 20 ms apart, the first after 50 ms, 40 in flight",
        "l50-c60-g20",
        concurrency=40,
        chunks=60,
        seconds=6.0,
        quick_seconds=3.0,
    ),
    Scenario("prompt200k", "prompts of 200,000 bytes, 16 in flight", prompt_bytes=200_000),
    Scenario(
        "rate40", "40 requests a second whatever happens, upstream 20 ms", "l20", rate=40, seconds=10, quick_seconds=5
    ),
)
BY_NAME = {one.name: one for one in SCENARIOS}


def body(scenario: Scenario, model: str) -> bytes:
    """The same request for every target, but for the model's name."""
    text = f"#bench:{scenario.knobs}# "
    text += (_PAD * (scenario.prompt_bytes // len(_PAD) + 1))[: scenario.prompt_bytes - len(text)]
    request = {
        "model": model,
        "messages": [{"role": "system", "content": "You are terse."}, {"role": "user", "content": text}],
        "max_tokens": 400,
    }
    if scenario.chunks:
        request |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(request).encode()
