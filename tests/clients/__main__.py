"""Real coding agents against a running Router One, for each dialect that a provider may speak.

    make clients ARGS="--only claude,codex --upstream chat,gemini"

Exit code 1 if anything is not as it should be.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.clients.agents import AGENTS, Agent
from tests.clients.install import NotInstalled, install, versions
from tests.clients.router import Router, router
from tests.clients.runs import SCENARIOS, Result, run

# The end of the sandbox model's name, by the dialect that its provider speaks.
UPSTREAMS: Mapping[str, str] = {"chat": "", "messages": "-anthropic", "responses": "-responses", "gemini": "-gemini"}
_ROW = "{:20} {:9} {:10} {:7} {:7} {:7} {:7} {:>10} {:>8}"


def chosen_agents(wanted: Sequence[str]) -> list[Agent]:
    """By name, or by the part before the slash."""
    return [agent for agent in AGENTS if agent.name in wanted or agent.name.split("/")[0] in wanted]


async def run_all(agents: Sequence[Agent], upstreams: Sequence[str], started: Router, folder: Path) -> list[str]:
    """Print a row per agent and upstream. Returns what went wrong, a line each."""
    print(_ROW.format("client", "version", "upstream", *(s.name for s in SCENARIOS), "requests", "seconds"))
    wrong: list[str] = []
    for agent in agents:
        for upstream in upstreams:
            results: dict[str, Result] = {}
            for scenario in SCENARIOS:
                place = folder / f"{agent.name.replace('/', '-')}-{upstream}-{scenario.name}"
                result = await run(agent, scenario, UPSTREAMS[upstream], started, place)
                results[scenario.name] = result
                wrong += [f"{place.name}: {problem}" for problem in result.problems]
            print(_row(agent, upstream, list(results.values())), flush=True)
    return wrong


def _row(agent: Agent, upstream: str, results: Sequence[Result]) -> str:
    verdicts = ["FAIL" if result.problems else "ok" for result in results]
    requests = sum(result.requests for result in results)
    expected = sum(result.expected for result in results)
    counted = str(requests) if requests == expected else f"{requests} not {expected}"
    seconds = f"{sum(result.seconds for result in results):.1f}"
    return _ROW.format(agent.name, versions()[agent.package], upstream, *verdicts, counted, seconds)


def read_arguments() -> argparse.Namespace:
    def several(text: str) -> list[str]:
        return [word.strip() for word in text.split(",") if word.strip()]

    parser = argparse.ArgumentParser(prog="make clients", description=__doc__)
    parser.add_argument("--only", type=several, default=[agent.name for agent in AGENTS], help="clients, with commas")
    parser.add_argument("--upstream", type=several, default=list(UPSTREAMS), help=f"of {', '.join(UPSTREAMS)}")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all requests and answers")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.only if not chosen_agents([name])]
    unknown += [name for name in arguments.upstream if name not in UPSTREAMS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    return arguments


def main() -> int:
    arguments = read_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    try:
        install()
    except NotInstalled as problem:
        print(problem, file=sys.stderr)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="routerone-clients-"))
    with router(folder) as started:
        wrong = asyncio.run(run_all(chosen_agents(arguments.only), arguments.upstream, started, folder))
    if wrong:
        print("\n" + "\n".join(wrong))
    if wrong or arguments.keep:
        print(f"\nrequests, answers and output of each run are in {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if wrong else 0


sys.exit(main())
