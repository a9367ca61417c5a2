"""Write docs/performance.md and its pictures from the measured JSON files: python benchmarks/page.py

The files are made by ``python benchmarks/page.py --measure``, which runs the suites on both CPU tiers.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance.md"
SUITES = ("kernels", "models")
# name of the file's ending -> (what stands on the page, FLOWTORCH_NATIVE, threads)
RUNS = {
    "": ("numpy, 1 thread", "0", 1),
    "-native": ("native, 1 thread", "require", 1),
    "-native-2": ("native, 2 threads", "require", 2),
}
COLOURS = ("#9aa5b1", "#2f6f9f", "#7fb3d5")

INTRODUCTION = """# Performance on the CPU

Each figure is flowtorch's time divided by that of PyTorch {torch} (eager, its own kernels) for the same call on the
same data, both in one process and taking turns, with the same number of threads: **below 1 flowtorch is faster**. The
results are compared before anything is timed. Other work ran on the machine, so times are processor times and
ratios those of low quantiles; figures with two threads need a quiet machine and stand here only when they were taken
on one.
Machine: {machine}.

The *numpy* tier is always there; the *native* tier is the C kernels, which are compiled once by the system's compiler
(`python -m flowtorch build-kernels`, or in the background of the first program). This page and its pictures are written
by `python benchmarks/page.py` from the JSON files in `benchmarks/results`; `python benchmarks/page.py --measure` makes
those files. [measuring.md](measuring.md) says how times are taken.
"""


def measure(suites: tuple[str, ...]) -> None:
    """Run the suites with every tier and number of threads."""
    for suite in suites:
        for ending, (_, native, threads) in RUNS.items():
            out = RESULTS / f"{suite}{ending}.json"
            script = str(ROOT / "benchmarks" / f"{suite}.py")
            command = [sys.executable, script, "--threads", str(threads), "--json", str(out)]
            env = dict(os.environ, FLOWTORCH_NATIVE=native, PYTHONPATH=str(ROOT))
            subprocess.run(command, env=env, check=True)


def load(suite: str) -> dict[str, dict[str, Any]]:
    """Return the reports of a suite that exist, by what stands on the page."""
    found = {}
    for ending, (label, _, _) in RUNS.items():
        path = RESULTS / f"{suite}{ending}.json"
        if path.exists():
            found[label] = json.loads(path.read_text())
    return found


def ratios(report: dict[str, Any]) -> dict[tuple[str, str], float]:
    """Return the ratio of every case that ran."""
    return {(r["group"], r["name"]): r["ratio"] for r in report["rows"] if r["status"] == "ok"}


def picture(title: str, bars: dict[str, list[float | None]]) -> str:
    """Return an SVG with the geometric mean of each group, one bar a run, on a logarithmic scale."""
    names = list(bars)
    height, left, width = 16, 290, 420
    lowest, highest = math.log(0.05), math.log(8)

    def x(value: float) -> float:
        return left + width * (min(max(math.log(value), lowest), highest) - lowest) / (highest - lowest)

    step = height * len(RUNS) + 12
    total = 40 + step * len(names) + 24
    text = 'font-family="sans-serif" font-size="12"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 60}" height="{total}">',
             '<rect width="100%" height="100%" fill="white"/>',
             f'<text x="8" y="20" {text} font-weight="bold">{title}</text>']
    for value in (0.1, 0.25, 0.5, 1, 2, 4):
        colour = "#c0392b" if value == 1 else "#dddddd"
        lines.append(f'<path d="M{x(value):.1f} 30V{total - 20}" stroke="{colour}"/>'
                     f'<text x="{x(value):.1f}" y="{total - 6}" {text} text-anchor="middle">{value}</text>')
    for k, name in enumerate(names):
        top = 36 + step * k
        lines.append(f'<text x="{left - 8}" y="{top + step / 2:.0f}" {text} text-anchor="end">{name}</text>')
        for j, value in enumerate(bars[name]):
            if value is not None:
                a, b = sorted((x(1), x(value)))
                y = top + j * height
                lines.append(f'<rect x="{a:.1f}" y="{y}" width="{max(b - a, 1):.1f}" height="{height - 2}" '
                             f'fill="{COLOURS[j]}"/>')
                lines.append(f'<text x="{left + width + 8}" y="{y + 11}" {text}>{value:.2f}</text>')
    return "\n".join([*lines, "</svg>", ""])


def section(suite: str, reports: dict[str, dict[str, Any]]) -> str:
    """Return the picture's link and the table of one suite, and write the picture."""
    by_run = {label: ratios(report) for label, report in reports.items()}
    cases = list(dict.fromkeys(case for found in by_run.values() for case in found))
    groups = list(dict.fromkeys(group for group, _ in cases))
    title = next(iter(reports.values()))["suite"]
    means: dict[str, list[float | None]] = {}
    for group in groups:
        means[group] = []
        for label in by_run:
            logs = [math.log(v) for (g, _), v in by_run[label].items() if g == group]
            means[group].append(math.exp(sum(logs) / len(logs)) if logs else None)
    drawn = picture(f"{title}: flowtorch / torch (1 is equal)", means)
    (PAGE.parent / "pictures" / f"performance-{suite}.svg").write_text(drawn)
    labels = list(by_run)
    lines = [f"## {title[:1].upper()}{title[1:]}", "", f"![Ratios by group](pictures/performance-{suite}.svg)", "",
             "| case | " + " | ".join(labels) + " |", "|---|" + "---:|" * len(labels)]
    for group in groups:
        shown = [f"**{v:.2f}**" if v is not None else "" for v in means[group]]
        lines.append(f"| **{group}** (geometric mean) | " + " | ".join(shown) + " |")
        for case in (c for c in cases if c[0] == group):
            values = [by_run[label].get(case) for label in labels]
            lines.append(f"| {case[1]} | " + " | ".join("" if v is None else f"{v:.2f}" for v in values) + " |")
    return "\n".join([*lines, ""])


def write() -> None:
    """Write the page and its pictures."""
    reports = {suite: load(suite) for suite in SUITES}
    first = next(iter(reports["kernels"].values()))
    head = INTRODUCTION.format(torch=first["versions"]["torch"], machine=first["machine"])
    PAGE.write_text("\n".join([head, *(section(suite, found) for suite, found in reports.items() if found)]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(tuple(sys.argv[2:]) or SUITES)
    write()
