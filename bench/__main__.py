"""Ours beside the upstream itself, nginx and other gateways, in one run.

make bench                                                       everything; a quarter of an hour
make bench ARGS="--quick --only ours,nginx --scenario plain"     a first look
make bench ARGS="--profile --scenario stream200"                 where the gateway's time goes
make bench ARGS="--write-docs"                                   the last result into docs/performance.md
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from bench import install, interpreter, profiling, report, rounds, soak
from bench.processes import Children, DidNotStart
from bench.product import Product
from bench.scenarios import BY_NAME, SCENARIOS, Scenario
from bench.targets import PEERS, Site, Target, direct, start_upstream

ROOT = Path(__file__).resolve().parent.parent
RESULT = install.FOLDER / "result.json"
_TARGETS = ("direct", "ours", *PEERS)


def main() -> None:
    options = _options()
    if options.write_docs:
        report.write_docs(json.loads(options.json.read_text()))
        print(f"wrote {report.DOCS.relative_to(ROOT)}")
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    install.FOLDER.mkdir(exist_ok=True)
    if not options.same_python and (quick := interpreter.quickest()) != Path(sys.executable):
        print(f"# {quick} runs Python clearly quicker than {sys.executable}", file=sys.stderr, flush=True)
        os.execv(quick, [str(quick), "-m", "bench", *sys.argv[1:], "--same-python"])  # ours, driver and upstream
    try:
        with _site() as site:
            if options.profile:
                _profile(site, options)
            else:
                _bench(site, options)
    except KeyboardInterrupt:
        sys.exit("stopped; everything that was started has ended")
    except DidNotStart as reason:
        sys.exit(str(reason))


def _bench(site: Site, options: argparse.Namespace) -> None:
    about = _about(options)
    results = rounds.Results()
    left_out: dict[str, str] = {}
    extra: dict[str, Any] = {}
    product = Product(site, options.tree) if "ours" in options.only else None
    try:
        targets = _start(site, options.only, product, left_out)
        if product in targets:
            assert product is not None
            rounds.drive_once(product)  # start-up work is over then
            extra["idle"] = rounds.idle(product, 5 if options.quick else 20)
        for scenario in _scenarios(options):
            seconds = options.seconds or (scenario.quick_seconds if options.quick else scenario.seconds)
            rounds.run(scenario, targets, results, rounds=options.rounds, seconds=seconds)
        if product in targets and "soak" in options.scenario:
            assert product is not None
            extra["soak"] = soak.run(product, results, options.soak or (10_000 if options.quick else 100_000))
    finally:
        site.children.stop_all_but("upstream")
        if product is not None:
            product.close()
    result = {"about": about, "left_out": left_out, "problems": results.problems, **extra}
    if "ours" in results.between:
        result["between"] = results.between["ours"].rates()
    result |= {"medians": results.medians(), "rounds": results.rounds}
    options.json.write_text(json.dumps(result, indent=1))
    print(report.whole(result))
    print(f"\nAll figures: {options.json}", file=sys.stderr)
    if "ours" in left_out:
        sys.exit(1)


def _profile(site: Site, options: argparse.Namespace) -> None:
    for scenario in _scenarios(options)[:1]:
        print(f"# {scenario.title}", file=sys.stderr)
        print(
            profiling.run(site, options.tree, scenario, options.seconds or 10, native=options.native, rows=options.rows)
        )


def _start(site: Site, wanted: Sequence[str], product: Product | None, left_out: dict[str, str]) -> list[Target]:
    targets = [direct(site)] if "direct" in wanted else []
    if product is not None:
        print("# starting ours", file=sys.stderr, flush=True)
        try:
            product.start()
            targets.append(product)
        except DidNotStart as reason:
            left_out["ours"] = str(reason)
    for name in [name for name in PEERS if name in wanted]:
        print(f"# starting {name} (installs it the first time)", file=sys.stderr, flush=True)
        try:
            targets.append(PEERS[name](site))
        except DidNotStart as reason:
            left_out[name] = str(reason)
    for name, why in left_out.items():
        print(f"# left out: {name}: {why}", file=sys.stderr, flush=True)
    return targets


@contextlib.contextmanager
def _site() -> Iterator[Site]:
    """A folder and an upstream; afterwards nothing of either is left."""
    folder = Path(tempfile.mkdtemp(prefix="r1bench-"))
    folder.chmod(0o711)  # root's PostgreSQL runs as somebody else and has to pass through
    children = Children(folder)
    try:
        yield Site(children, folder, start_upstream(children, sys.executable))
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it running
        children.stop_all()
        if os.environ.get("BENCH_KEEP"):
            print(f"# kept {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _scenarios(options: argparse.Namespace) -> list[Scenario]:
    return [BY_NAME[name] for name in options.scenario if name in BY_NAME]


def _about(options: argparse.Namespace) -> dict[str, Any]:
    given = " ".join(part for part in sys.argv[1:] if part not in ("--write-docs", "--same-python"))
    return {
        "command": f'make bench ARGS="{given}"' if given else "make bench",
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "rounds": options.rounds,
        "cpus": os.cpu_count(),
        "cpu": _cpu_name(),
        "python": f"{platform.python_version()} ({Path(sys.base_prefix)})",
        "load_before": os.getloadavg()[0],
    }


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = [one.name for one in SCENARIOS] + ["soak"]
    parser.add_argument("--only", type=_names(_TARGETS), default=list(_TARGETS), help=", ".join(_TARGETS))
    parser.add_argument("--scenario", type=_names(every), default=every, help=", ".join(every))
    parser.add_argument("--quick", action="store_true", help="short rounds: a first look, no verdict")
    parser.add_argument("--rounds", type=int, help="3, quick 2")
    parser.add_argument("--seconds", type=float, help="of load in each round, instead of the scenario's own")
    parser.add_argument("--soak", type=int, metavar="N", help="requests of the soak: 100,000, quick 10,000")
    parser.add_argument("--same-python", action="store_true", help="do not look for a quicker build of Python")
    parser.add_argument("--tree", type=Path, default=ROOT, help="another checkout of ours to measure")
    parser.add_argument("--json", type=Path, default=RESULT, help="where the result is written to and read from")
    parser.add_argument("--profile", action="store_true", help="profile the gateway under the first scenario instead")
    parser.add_argument("--native", action="store_true", help="profile: C functions too")
    parser.add_argument("--rows", type=int, default=40, help="profile: lines to show")
    parser.add_argument("--write-docs", action="store_true", help="put the last result into docs/performance.md")
    options = parser.parse_args()
    options.tree = options.tree.resolve()
    options.rounds = options.rounds or (2 if options.quick else 3)
    if options.only != list(_TARGETS) and "direct" not in options.only:
        options.only.insert(0, "direct")  # what is added is added to something
    return options


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
        return names

    return parse


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
