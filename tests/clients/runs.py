"""One run of one agent: started, watched, and everything that is wrong with it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.clients.agents import Agent, Command, Order
from tests.clients.router import Router
from tests.clients.thinking_models import NAME as THINKING
from tests.clients.witness import Witness

TIME_LIMIT_S = 90
FILE, TEXT = "note.txt", "Buy some milk"
GREETING, TOLD = "Hello from the sandbox.", "The tool answered:"


@dataclass(frozen=True)
class Scenario:
    """`turns` is how often the model has to be asked for it."""

    name: str
    model: str
    answer: str
    turns: int = 1
    events: bool = False
    writes: bool = False


SCENARIOS: Sequence[Scenario] = (
    Scenario("plain", "sandbox/echo", GREETING),
    Scenario("stream", "sandbox/echo", GREETING, events=True),
    Scenario("tools", "sandbox/tools", TOLD, turns=2, events=True, writes=True),
    Scenario("thinks", THINKING, TOLD, turns=2, events=True, writes=True),
)


@dataclass(frozen=True)
class Result:
    problems: tuple[str, ...]
    requests: int
    expected: int
    seconds: float


async def run(agent: Agent, scenario: Scenario, suffix: str, router: Router, folder: Path) -> Result:
    """Run it in `folder`, where all that was said stays behind."""
    home, work = folder / "home", folder / "work"
    for place in (home, work, folder / "tmp"):
        place.mkdir(parents=True)
    began = time.monotonic()
    async with Witness(router.host, router.port) as witness:
        order = Order(witness.url, router.key, scenario.model + suffix, _prompt(scenario, work), home, work)
        command = agent.prepare(_with_events(order, scenario))
        code = await _execute(command, order, witness, folder)
        seconds = time.monotonic() - began
    witness.write_down(folder)
    expected = scenario.turns + agent.side_calls
    problems = [
        *([f"exit code {code}" if code is not None else f"not done after {TIME_LIMIT_S} s"] if code != 0 else []),
        *_traffic_problems(witness, agent, expected),
        *_answer_problems(scenario, folder, work),
    ]
    return Result(tuple(problems), len(witness.exchanges), expected, seconds)


def _prompt(scenario: Scenario, work: Path) -> str:
    if scenario.writes:
        return f"Write down what I have to buy.\nsandbox: write {work / FILE} {TEXT}\nThank you."
    return "Say hello."


def _with_events(order: Order, scenario: Scenario) -> Order:
    return Order(order.url, order.key, order.model, order.prompt, order.home, order.work, scenario.events)


async def _execute(command: Command, order: Order, witness: Witness, folder: Path) -> int | None:
    """The exit code; None if it had to be ended."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(order.home),
        "TMPDIR": str(folder / "tmp"),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        # A host that a client has no business with is refused there, and counted.
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), witness.url),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
        **command.env,
    }
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            *command.arguments,
            cwd=order.work,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            return await asyncio.wait_for(process.wait(), TIME_LIMIT_S)
        except TimeoutError:
            return None
        finally:
            _end(process)
            await process.wait()


def _end(process: asyncio.subprocess.Process) -> None:
    """It and all that it started: their process group is its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _traffic_problems(witness: Witness, agent: Agent, expected: int) -> list[str]:
    seen = witness.exchanges
    problems = []
    if len(seen) != expected:
        problems.append(f"{len(seen)} requests instead of {expected}: " + ", ".join(one.line for one in seen))
    wrong = [one for one in seen if urlsplit(one.path).path != agent.path or one.status != 200 or not one.streamed]
    for one in wrong[:1]:  # those after it are mostly the same again
        problems.append(f"{len(wrong)} answers are no stream; {one.line}: {_body(bytes(one.response))[:300]}")
    problems += [f"another host was asked: {stranger}" for stranger in witness.strangers]
    return problems


def _body(response: bytes) -> str:
    return response.partition(b"\r\n\r\n")[2].decode("utf-8", "replace").strip()


def _answer_problems(scenario: Scenario, folder: Path, work: Path) -> list[str]:
    output = (folder / "stdout").read_text("utf-8", "replace")
    said = " ".join(_texts(output)) if scenario.events else output
    problems = []
    if scenario.answer not in said:
        tail = (output + (folder / "stderr").read_text("utf-8", "replace")).strip()[-300:]
        problems.append(f"the answer has no {scenario.answer!r}; it ends with {tail!r}")
    if scenario.writes:
        file = work / FILE
        written = file.read_text("utf-8", "replace") if file.exists() else None
        if written is None or written.strip() != TEXT:
            problems.append(f"{FILE} holds {written!r}" if written is not None else f"{FILE} was not written")
    return problems


def _texts(lines: str) -> list[str]:
    """All strings under `text` or `result` in lines of JSON: where the three agents put what the model said."""
    found: list[str] = []
    for line in lines.splitlines():
        try:
            _collect(json.loads(line), found)
        except ValueError:
            found.append("")
    return found


def _collect(value: Any, found: list[str]) -> None:
    if isinstance(value, list):
        for one in value:
            _collect(one, found)
    if isinstance(value, dict):
        found += [value[name] for name in ("text", "result") if isinstance(value.get(name), str)]
        for one in value.values():
            _collect(one, found)
