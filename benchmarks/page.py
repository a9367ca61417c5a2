"""Write docs/performance.md and its pictures from the measured JSON files: python benchmarks/page.py

The files are made by ``python benchmarks/page.py --measure``, which runs the suites on both CPU tiers.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
LIMITS = ROOT / "benchmarks" / "performance_limits.md"  # the page's text between the summary and the tables
PAGE = ROOT / "docs" / "performance.md"
# name of the file's ending -> (what stands on the page, FLOWTORCH_NATIVE, threads)
RUNS = {
    "": ("numpy, 1 thread", "0", 1),
    "-native": ("native, 1 thread", "require", 1),
    "-2": ("numpy, 2 threads", "0", 2),
    "-native-2": ("native, 2 threads", "require", 2),
}
COLOURS = ("#9aa5b1", "#2f6f9f", "#d0d6dc", "#7fb3d5")

# suite -> the runs that it is measured with: threads are no matter for calls on sixteen numbers, nor for memory
SUITES = {
    "overhead": ("", "-native"),
    "kernels": ("", "-native", "-2", "-native-2"),
    "models": ("", "-native", "-2", "-native-2"),
    "optimizers": ("", "-native", "-native-2"),
    "peak": ("", "-native"),
}
ONE_THREAD = ("", "-native")

# what the summary says: a suite's cases (group/name), and the goals for both tiers
SUMMARY = (
    ("small operations, plain and recorded", "overhead", r"^(plain|recorded)[^/]*/(?!softmax|F\.(la|cr|ge))", 0.5, 0.3),
    ("small softmax, layer_norm, cross_entropy, gelu", "overhead", r"/(softmax|F\.(layer|cross|gelu))", 2.0, 0.4),
    ("step of an MLP, modules and optimiser, batch 32", "overhead", r"/MLP training step", 0.3, 0.2),
    ("large arithmetic, compare, where, cast, max, copy", "kernels",
     r"pointwise/(add|mul|div|sqrt|relu|greater|where|clamp)|casts and|reductions/(a?max|argmax)", 1.0, 0.8),
    ("large exp, log, tanh, erf, sigmoid, gelu, silu", "kernels",
     r"pointwise/(exp|log|tanh|erf|sigmoid|gelu|silu)", 2.5, 0.8),
    ("large softmax, norms and losses", "kernels", r"softmax, norms and losses/", 2.0, 0.8),
    ("sum, mean, var, cumsum, sort, topk, scatter, gather", "kernels",
     r"reductions/(sum|mean|var|cumsum|norm)|sorting/(sort|topk|gather|scatter|index_add|embedding)", 1.2, 0.9),
    ("matmul, bmm, linear", "kernels", r"matmul/", 1.0, 1.0),
    ("conv2d, forward and backward", "kernels", r"convolution, forward and backward/", 1.3, 1.0),
    ("attention, forward and backward", "kernels", r"attention/.*backward", 1.0, 0.8),
    ("training steps: GPT, char-LSTM, ResNet-18, ViT-tiny", "models", r"/(GPT|char-LSTM|ResNet|ViT)", 1.2, 0.95),
    ("Adam over ten million parameters, against torch fused", "optimizers", r"fused/Adam$", 1.5, 0.9),
    ("peak memory of training steps, above the import", "peak", r"above the import/", 1.0, 1.0),
)  # fmt: skip

INTRODUCTION = """# Performance on the CPU

Each figure is flowtorch's time divided by that of PyTorch {torch} (eager, its own kernels) for the same call on the
same data, both in one process and taking turns, with the same number of threads: **below 1 flowtorch is faster**. The
results are compared before anything is timed. With one thread, times are processor times; ratios are those of low
quantiles, and the middle half of the rounds' own ratios stands in brackets. Figures with two threads need a quiet
machine and stand here only when they were taken on one.
Machine: {machine}.

The *numpy* tier is always there; the *native* tier is the C kernels, which are compiled once by the system's compiler
(`python -m flowtorch build-kernels`, or in the background of the first program). This page and its pictures are written
by `python benchmarks/page.py` from the JSON files in `benchmarks/results`; `python benchmarks/page.py --measure` makes
those files. [measuring.md](measuring.md) says how times are taken.
"""


def measure(suites: list[str], most_threads: int) -> None:
    """Run the suites with every tier and number of threads."""
    for suite in suites:
        for ending in SUITES[suite]:
            _, native, threads = RUNS[ending]
            if threads > most_threads:
                continue
            out = RESULTS / f"{suite}{ending}.json"
            script = str(ROOT / "benchmarks" / f"{suite}.py")
            command = [sys.executable, script, "--threads", str(threads), "--json", str(out)]
            env = dict(os.environ, FLOWTORCH_NATIVE=native, PYTHONPATH=str(ROOT))
            subprocess.run(command, env=env, check=True)


def load(suite: str) -> dict[str, dict[str, Any]]:
    """Return the reports of a suite that exist, by what stands on the page."""
    found = {}
    for ending in SUITES[suite]:
        label = RUNS[ending][0]
        path = RESULTS / f"{suite}{ending}.json"
        if path.exists():
            found[label] = json.loads(path.read_text())
    return found


def ratios(report: dict[str, Any]) -> dict[tuple[str, str], float]:
    """Return the ratio of every case that ran."""
    return {(r["group"], r["name"]): r["ratio"] for r in report["rows"] if r["status"] == "ok"}


def summary(reports: dict[str, dict[str, Any]]) -> str:
    """Return the table of geometric means with their goals."""
    labels = [RUNS[ending][0] for ending in ONE_THREAD]
    lines = ["## In short", "", "| suite | " + " | ".join(f"{label} | goal" for label in labels) + " |",
             "|---|" + "---:|" * (2 * len(labels))]
    for title, suite, pattern, *goals in SUMMARY:
        cells = []
        for label, goal in zip(labels, goals, strict=True):
            found = ratios(reports[suite][label]) if label in reports[suite] else {}
            logs = [math.log(v) for (group, name), v in found.items() if re.search(pattern, f"{group}/{name}")]
            value = math.exp(sum(logs) / len(logs)) if logs else math.nan
            shown = "" if not logs else f"**{value:.2f}**" if value <= goal else f"{value:.2f}"
            cells += [shown, f"{goal}"]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", "Bold: the goal is reached.", ""])


def spreads(report: dict[str, Any]) -> dict[tuple[str, str], list[float] | None]:
    """Return the middle half of the rounds' own ratios of every case that ran."""
    return {(r["group"], r["name"]): r.get("ratio_middle_half") for r in report["rows"] if r["status"] == "ok"}


def shown(ratio: float | None, spread: list[float] | None) -> str:
    """Return a ratio with its middle half, where that is wider than a rounding."""
    if ratio is None:
        return ""
    narrow = spread is None or spread[1] - spread[0] < 0.015
    return f"{ratio:.2f}" if narrow else f"{ratio:.2f} ({spread[0]:.2f}..{spread[1]:.2f})"


def picture(title: str, bars: dict[str, list[float | None]]) -> str:
    """Return an SVG with the geometric mean of each group, one bar a run, on a logarithmic scale."""
    names = list(bars)
    height, left, width = 16, 290, 420
    lowest, highest = math.log(0.05), math.log(8)

    def x(value: float) -> float:
        return left + width * (min(max(math.log(value), lowest), highest) - lowest) / (highest - lowest)

    step = height * len(next(iter(bars.values()))) + 12
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
    labels, middle = list(by_run), {label: spreads(report) for label, report in reports.items()}
    lines = [f"## {title[:1].upper()}{title[1:]}", "", f"![Ratios by group](pictures/performance-{suite}.svg)", "",
             "| case | " + " | ".join(labels) + " |", "|---|" + "---:|" * len(labels)]
    for group in groups:
        figures = [f"**{v:.2f}**" if v is not None else "" for v in means[group]]
        lines.append(f"| **{group}** (geometric mean) | " + " | ".join(figures) + " |")
        for case in (c for c in cases if c[0] == group):
            values = [shown(by_run[label].get(case), middle[label].get(case)) for label in labels]
            lines.append(f"| {case[1]} | " + " | ".join(values) + " |")
    return "\n".join([*lines, ""])


def write() -> None:
    """Write the page and its pictures."""
    reports = {suite: load(suite) for suite in SUITES}
    first = next(iter(reports["kernels"].values()))
    head = INTRODUCTION.format(torch=first["versions"]["torch"], machine=first["machine"])
    sections = [section(suite, found) for suite, found in reports.items() if found]
    PAGE.write_text("\n".join([head, summary(reports), LIMITS.read_text(), *sections]))


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--measure", nargs="*", metavar="SUITE", choices=[*SUITES, []], help="run these suites, or all")
    p.add_argument("--threads", type=int, default=2, help="runs with more threads are left out, and their files stay")
    args = p.parse_args()
    if args.measure is not None:
        measure(args.measure or list(SUITES), args.threads)
    write()
