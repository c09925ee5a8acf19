"""Tables from a result, for the terminal and for the page of figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench import goals
from bench.figures import Figures, added, ratio, spread
from bench.scenarios import BY_NAME

DOCS = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
_BEGIN, _END = "<!-- figures: written by `make bench`, do not edit -->", "<!-- end of figures -->"
_ORDER = ("direct", "nginx", "ours", "smg", "ferrogw", "portkey", "litellm")
_PARTS = ("gateway", "redis", "postgres", "worker")


def whole(result: Mapping[str, Any]) -> str:
    medians = result["medians"]
    parts = [_about(result)]
    for name in medians:
        if name in BY_NAME:
            parts.append(
                f"### {BY_NAME[name].title[0].upper()}{BY_NAME[name].title[1:]} (`{name}`)\n\n" + one(result, name)
            )
    if any("ours" in targets for targets in medians.values()):
        parts.append("### Where ours goes\n\n" + split(result))
    if "soak" in result:
        parts.append("### Soak\n\n" + _soak(result))
    parts.append("### Goals\n\n" + verdicts(result))
    parts.append("### What was left out, and what went wrong\n\n" + remarks(result))
    return "\n\n".join(parts)


def one(result: Mapping[str, Any], scenario: str) -> str:
    """A row per target. CPU is in seconds for 1,000 requests; the ratios are the target's figure over ours."""
    targets: Mapping[str, Figures] = result["medians"][scenario]
    direct, ours = targets.get("direct"), targets.get("ours", {})
    streamed = bool(BY_NAME[scenario].chunks)
    heads = [
        "requests/s",
        "CPU s/1,000",
        "max ÷ min",
        "CPU ÷ ours",
        "requests/s ÷ ours",
        "added p50 ms",
        "added p99 ms",
    ]
    heads += ["added first token p50 ms", "chunks/s"] if streamed else []
    heads += ["memory MB", "PSS MB", "failed"]
    rows = []
    for name in _sorted(targets):
        mine = targets[name]
        other = direct if name != "direct" else None
        row = [number(mine.get("rps")), number(mine.get("cpu_1k")), number(_spread(result, scenario, name))]
        row += [
            number(ratio(_get(mine, "cpu_1k"), _get(ours, "cpu_1k"))),
            number(ratio(_get(mine, "rps"), _get(ours, "rps"))),
        ]
        row += [number(added(mine, other, "p50_ms")), number(added(mine, other, "p99_ms"))]
        row += [number(added(mine, other, "ttft50_ms")), number(mine.get("chunks_s"))] if streamed else []
        row += [number(mine.get("rss_mb")), number(mine.get("pss_mb")), f"{_failures(result, scenario, name)}"]
        rows.append([name, *row])
    return table(["target", *heads], rows)


def split(result: Mapping[str, Any]) -> str:
    """CPU seconds for 1,000 requests by part, and what of it the parts would have taken with nothing to do."""
    idle: Figures = result.get("idle", {})
    rows = []
    for scenario, targets in result["medians"].items():
        if mine := targets.get("ours"):
            per_window = sum(idle.values()) * _get(mine, "window_s")
            share = per_window / _get(mine, "requests") * 1000 if _get(mine, "requests") else math.nan
            parts = [number(mine.get(f"{part}_1k")) for part in _PARTS]
            rows.append([scenario, *parts, number(mine.get("cpu_1k")), number(share), number(mine.get("settle_s"))])
    heads = ["scenario", *_PARTS, "all", "of which idle", "settled after s"]
    return (
        table(heads, rows)
        + f"\n\nCPU-milliseconds a second with nothing to do, measured beforehand: {_rates(idle)}. "
        + f"While other targets were measured: {_rates(result.get('between', {}))}."
    )


def verdicts(result: Mapping[str, Any]) -> str:
    rows, missing = [], []
    for verdict in goals.judge(result["medians"]):
        goal = verdict.goal
        if math.isnan(verdict.value):
            missing.append(goal.text)
            continue
        sign = "≥" if goal.at_least else "≤"
        beyond = f"{sign} {goal.beyond:g}{goal.unit}" if goal.beyond is not None else ""
        rows.append([goal.text, f"{sign} {goal.must:g}{goal.unit}", beyond, number(verdict.value), verdict.word])
    parts = [table(["goal", "must", "beyond", "measured", ""], rows)] if rows else []
    parts += [f"Not measured in this run: {'; '.join(missing)}."] if missing else []
    return "\n\n".join(parts)


def remarks(result: Mapping[str, Any]) -> str:
    lines = [f"- {name}: {reason}" for name, reason in result.get("left_out", {}).items()]
    for where, problems in result.get("problems", {}).items():
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        lines.append(f"- {where}: {'; '.join(problems[:3])}{more}")
    return "\n".join(lines) or "Nothing."


def write_docs(result: Mapping[str, Any], page: Path = DOCS) -> None:
    """Put the figures between the page's two marks; the words around them stay."""
    text = page.read_text("utf-8")
    before, rest = text.split(_BEGIN, 1)
    after = rest.split(_END, 1)[1]
    page.write_text(f"{before}{_BEGIN}\n\n{whole(result)}\n\n{_END}{after}", "utf-8")


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def number(value: float | None) -> str:
    """Three figures that count."""
    if value is None or math.isnan(value):
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(digits, 3)}f}"


def _about(result: Mapping[str, Any]) -> str:
    about = result["about"]
    return (
        f"`{about['command']}` on {about['date']}: {about['rounds']} rounds, {about['cpus']} CPUs ({about['cpu']}), "
        f"Python {about['python']}, load average {about['load_before']:.1f} before. Medians of the rounds."
    )


def _soak(result: Mapping[str, Any]) -> str:
    soak = result["soak"]
    samples = ", ".join(f"{one:g}" for one in soak["rss_mb"])
    return f"{soak['requests']:,} requests; memory of the gateway process in MB: {samples}. The proof: {soak['proof']}."


def _rates(rates: Figures) -> str:
    return ", ".join(f"{part} {number(value * 1000)}" for part, value in rates.items()) or "not measured"


def _spread(result: Mapping[str, Any], scenario: str, target: str) -> float:
    return spread(result["rounds"].get(scenario, {}).get(target, []), "cpu_1k")


def _failures(result: Mapping[str, Any], scenario: str, target: str) -> int:
    return int(sum(one.get("failed", 0) for one in result["rounds"].get(scenario, {}).get(target, [])))


def _get(mine: Figures, name: str) -> float:
    return mine.get(name, math.nan)


def _sorted(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
