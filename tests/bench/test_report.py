"""How figures are written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import report


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (12345.6, "12,346"),
        (45.67, "45.7"),
        (0.01234, "0.012"),
        (1.0, "1.00"),
        (0, "0"),
    ],
)
def test_three_figures_that_count(value: float | None, text: str) -> None:
    assert report.number(value) == text


def result() -> dict[str, Any]:
    def one(cpu: float, p50: float) -> dict[str, float]:
        return {"requests": 1000.0, "failed": 1.0, "rps": 100.0, "cpu_1k": cpu, "p50_ms": p50, "p99_ms": p50 * 2}

    direct, ours, nginx = one(float("nan"), 1.0), one(0.2, 2.0) | {"gateway_1k": 0.1, "window_s": 10.0}, one(0.02, 1.5)
    about = {
        "command": "make bench",
        "date": "today",
        "rounds": 1,
        "cpus": 2,
        "cpu": "x",
        "python": "3",
        "load_before": 0,
    }
    targets = {"ours": ours, "nginx": nginx, "direct": direct}
    return {
        "about": about,
        "idle": {"worker": 0.001},
        "left_out": {"smg": "no wheel"},
        "problems": {"plain, ours": ["a", "b", "c", "d"]},
        "medians": {"plain": targets},
        "rounds": {"plain": {name: [figures] for name, figures in targets.items()}},
    }


def test_a_row_has_ratios_to_ours_and_what_is_added_to_the_direct_way() -> None:
    rows = report.one(result(), "plain").splitlines()
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| direct", "| nginx", "| ours"]
    assert rows[3] == "| nginx | 100 | 0.020 | 1.00 | 0.100 | 1.00 | 0.500 | 1.00 | – | – | 1 |"


def test_idle_time_is_a_part_of_what_ours_took() -> None:
    row = report.split(result()).splitlines()[2]
    assert row.split(" | ")[-2] == "0.010"  # 1 ms a second over 10 s, for 1,000 requests


def test_what_was_left_out_is_said() -> None:
    assert report.remarks(result()) == "- smg: no wheel\n- plain, ours: a; b; c (and 1 more)"


def test_the_page_keeps_the_words_around_the_figures(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report._BEGIN}\nold\n{report._END}\nafter\n")
    for _ in range(2):
        report.write_docs(result(), page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert text.count("### Goals") == 1
