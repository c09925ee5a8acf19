"""Where the gateway process spends its time under the load of one scenario.

py-spy samples it from outside, which costs it little; where that cannot be had, the interpreter's own profiler runs
inside and makes everything slower, calls above all.
"""

from __future__ import annotations

import io
import pstats
import signal
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from bench import install
from bench.driver import drive
from bench.processes import DidNotStart
from bench.product import Product
from bench.scenarios import Scenario
from bench.targets import Site

_PER_SECOND = 250


def run(site: Site, tree: Path, scenario: Scenario, seconds: float, *, native: bool, rows: int) -> str:
    try:
        python = install.python_packages("tools", "py-spy")
        return _sampled(site, tree, scenario, seconds, python.parent / "py-spy", native, rows)
    except DidNotStart as reason:
        print(f"py-spy: {reason}; the interpreter's own profiler instead")
        return _traced(site, tree, scenario, seconds, rows)


def _sampled(site: Site, tree: Path, scenario: Scenario, seconds: float, program: Path, native: bool, rows: int) -> str:
    product = Product(site, tree)
    try:
        product.start()
        drive(product.aim, scenario, 2.0)
        output = site.folder / "samples.txt"
        options = ["-d", f"{seconds:.0f}", "-r", str(_PER_SECOND), "-f", "raw", *(["--native"] if native else [])]
        command = [str(program), "record", "-p", str(product.gateway.pid), "-o", str(output), *options]
        sampler = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        drive(product.aim, scenario, seconds + 2)
        _, said = sampler.communicate(timeout=60)
        if not output.exists():
            raise DidNotStart(said.decode(errors="replace").strip()[-200:])
        return sampled_table(output.read_text().splitlines(), rows)
    finally:
        site.children.stop_all_but("upstream")
        product.close()


def _traced(site: Site, tree: Path, scenario: Scenario, seconds: float, rows: int) -> str:
    output = site.folder / "profile.pstats"
    product = Product(site, tree, profiler=["-m", "cProfile", "-o", str(output)])
    try:
        product.start()
        drive(product.aim, scenario, seconds)
        site.children.stop(product.gateway, signal.SIGINT)  # on SIGTERM uvicorn ends too hard for the profiler to write
        text = io.StringIO()
        pstats.Stats(str(output), stream=text).sort_stats("tottime").print_stats(rows)
        return text.getvalue()
    finally:
        site.children.stop_all_but("upstream")
        product.close()


def sampled_table(stacks: Iterable[str], rows: int) -> str:
    """Shares by function, its own and with what it called, from lines `frame;frame;… count`."""
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for line in stacks:
        frames, _, count = line.rpartition(" ")
        names = [_function(frame) for frame in frames.split(";")]
        own[names[-1]] += int(count)
        within.update(dict.fromkeys(names, int(count)))
    total = sum(own.values()) or 1
    lines = [f"{total} samples", f"{'own %':>6} {'with %':>6}  function"]
    lines += [f"{own[n] * 100 / total:6.1f} {within[n] * 100 / total:6.1f}  {n}" for n, _ in own.most_common(rows)]
    lines += ["", "with what they called:"]
    lines += [f"{own[n] * 100 / total:6.1f} {within[n] * 100 / total:6.1f}  {n}" for n, _ in within.most_common(rows)]
    return "\n".join(lines)


def _function(frame: str) -> str:
    """Without the line number, which would split one function into many."""
    name, _, rest = frame.partition(" (")
    return f"{name} ({rest.partition(':')[0].rstrip(')')})" if rest else name
