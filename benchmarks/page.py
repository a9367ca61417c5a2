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


TRAFFIC = """## What bounds an optimiser

Over ten million parameters a step is as fast as memory: one pass in which every array is read once and written once.
Plain SGD reads a parameter and its gradient and writes the parameter, 120 MB a step; torch does the same, so there is
nothing to win. Adam moves 280 MB (four arrays read, three written). torch's default makes a pass over memory for each
operation of the formula, about 720 MB for Adam, and its fused step the same one pass as ours. Against that it helps
to ask for what is read a kilobyte later: four arrays to read and three to write are more than the processor foresees
by itself, and a step of Adam takes a tenth less. (With two or three arrays it takes a tenth more, so those are left
alone; writing past the caches takes a fifth more, as the lines were read anyway.) ASGD writes its average although
that is a copy of the parameters until step `t0`: 200 MB against the 320 MB of torch's separate passes. Rprop, RAdam
and Adadelta win most, having the longest formulas.
"""


LIMITS = """## What bounds the rest, and what was tried

**Functions of a million numbers** take as long as memory does: on the machine above memcpy takes 0.27 ns a number, a
sum, which only reads, 0.13, and the arithmetic of exp, in the cache, 0.15 to 0.17. A store that does not read the
line first took 0.29 ns in place of 0.39 at four megabytes, and 0.27 in place of 0.46 at sixteen: such results are
written past the caches, on Intel's servers, whose last cache takes writes no faster than memory. In a chain of such
operations the next one reads from memory instead of the cache: that costs 0.42 ns against 0.40 at four megabytes,
0.39 against 0.50 at eight, 0.37 against 0.52 at sixteen. Functions with vectors of their own store straight from the
registers and ask for the line that is read two kilobytes later: exp went from 0.28 ns a number to 0.23, below memcpy,
and tanh from 0.38 to 0.32. (Computing in blocks within the cache and copying those out cost the difference; so did
reading, as the arithmetic fills the processor's window and its own prefetching ends with every page. Going through an
array from its other end in every second operation, to meet what the cache still has, won a twentieth and was left
out.) All other results are computed in blocks of 512 bytes. Nothing waits for the stores where the rows of a
broadcast operand end: a fence after every row had made adding a row take almost twice as long. Comparisons give masks
of the processor's own kind, without which every choice between two values cost two instructions more; with that, and
no search for NaN where the sum has it anyway, softmax of short rows went from 0.84 of torch's time to 0.64. The
division of tanh is left to the divider, which bounds it at 0.3 ns. gelu reads the powers of the normal distribution
from a table of 32 intervals, to 1.5 units in the last place down to -5.5.

**Attention** had called BLAS from Python, in blocks of 128 rows. Now the blocks have 64 rows, and products come in
pieces of less than a million multiplications, for which OpenBLAS has kernels that copy nothing: 100 to 160 GFlop/s,
but 70 where the second factor is turned, so keys and values are turned once for each head. Smaller blocks also leave
out more of what causal attention does not see: five eighths of the products remain at 256 x 256, where it had been
three quarters. The weights are kept for the gradient, which saves the product that torch computes again. Forward and
backward together take 0.6 of torch's time; forward alone 0.9: by the profile two thirds of it are products, the rest
the softmax and the turning of keys.

**Convolution of small maps** (16 x 16 down to 2 x 2, as in ResNet-18 at 64 x 64): the direct kernel works on runs of
memory across the rows' ends, and on an 8 x 8 map a third of such a run is padding. Columns of all images together and
one product by BLAS take about half its time at 4 x 4 and a fifth at 2 x 2, forward and backward. What is left above 1
are maps of 8 x 8 with 128 channels (1.4): the product alone takes as long as torch does in all, whose layout needs no
columns. Batch normalisation had been three operations and their derivatives; as one kernel with the gradients of
scale and shift it takes 0.5 to 0.8 of torch's time.

**Products of matrices** are OpenBLAS's on our side and MKL's on torch's, 5 % apart at 512 x 512 and in linear layers.
They are most of a GPT's step, which so stays between 1.0 and 1.1 where the matrices are large.

**What is left above 1**: forward convolutions of 3 x 3 with many channels, of stride 2 and of 7 x 7 (1.0 to 1.4),
where torch's layout needs no columns; sort and topk (1.0 to 1.4), which are numpy's; randperm (1.4) and randn (1.0),
half of whose time is numpy's Mersenne Twister, a number at a time; casts to int32, which are memory's (1.0). With two
threads, copies, concatenation, indexing and sorting stay on one, as numpy has them.

**oneDNN** was tried for convolution and products in bfloat16, through its C++ interface, with the newest package that
there is (`onednn-cpu-gomp` 2023.2.0 of July 2023, Apache 2.0, 39 MB compressed; none has appeared since). Over the
convolutions of a step of ResNet-18 it takes, plain arrays in and out, 20.1 ms forward, 25.9 ms for the input's
gradient and 36.2 ms for the weight's, against 21.5, 23.9 and 25.7 of ours in the same quarter of an hour; in bfloat16
a product of 1024 x 1024 takes 23.8 ms against 16.2 (converted and left to BLAS). Recurrent layers were not measured.
A library of that size would have had to win by a fifth, so there is no such extra.
"""

NUMPY = """### Without a compiler

**Small calls** end at numpy's own: `np.add` of two 4 x 4 arrays takes 0.45 microseconds of the 0.9 that `a + b` takes
and of torch's 1.2; the other half makes the tensor (0.14: seven slots, where `__init__` would take 0.2), reads and
checks the operands and calls the closure; `out=` gains nothing. So arithmetic stays near 0.75, and 0.5 is reached only
where torch makes two calls of one (numbers, products). Views are 0.1 microseconds of numpy and 1.1 of tensors, their
bases and versions. Reductions begin at 1.0 in numpy, where torch takes 1.4 to 1.9 in all.

**Steps of small networks** lost most between the calls: backward ran every derivative as public operations on tensors.
Now gradients are bare arrays between the nodes of the commonest operations (`autograd/array_pass.py`), columns are
summed by a product with ones (a third of the time of numpy's sum for 32 x 16), and an optimiser's step is planned once.
Of the 115 microseconds of an MLP's step by SGD, 22 are numpy's calls; the others are 170 calls of Python functions, for
modules, nodes, leaves and parameters. 0.3 would leave 35 for these.

**exp and log** are computed in double precision, at 1.2 to 1.5 ns a number: 0.3 each for the casts, 0.7 for the
function. numpy's loops in single precision take 0.5 and err by 2.4 units (exp) and 3.8 (log), where torch errs by half
a unit, so they are left alone. Own polynomials do not pay: a pass over a block in the cache costs 0.14 to 0.2 ns a
number, and an exponential needs more than ten.
**gelu** needs the tail of the normal distribution with all its digits: ten passes in double precision (0.25 to 0.7 ns
each) and one product for both polynomials (0.8), about 7 ns. In single precision it was hardly faster and erred by
five units, by nine far out. Its slope comes from the result, `y / x`, at half the former time.

**Convolution** is made of products that BLAS does at 125 to 150 billion operations a second, torch's library at 150 to
165; to this come the copies. They are a tenth of the product for maps of 56 x 56 with 64 channels, and twice the
product for maps of 14 x 14 with eight, because numpy copies rows of 14 numbers at 0.5 ns a number. Tried and dropped:
lines copied once and columns from their runs (no faster than columns made at once, on sixteen shapes), strips of the
product that keep the sums in the cache (no difference that could be measured), one channel a group as multiplications
and additions of shifted images (three times as slow as the bands that are used).

**Attention**: 60 % of the time forward are products; of the softmax's 48 microseconds for 128 x 256 scores the
exponential and the division take 13 each. Scaling the queries in place of the scores made no difference that could be
measured.

**Adam** makes thirteen passes over blocks of 32,768 numbers in the cache, 3 ns a number in all, where torch's fused
step makes one over memory. Fewer passes need other roundings than torch's formula, which both tiers keep to the last
bit.

**cumsum** adds one number after the other in double precision; blocks of rows in the cache were no faster, transposed
blocks and triangular products slower.
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
    PAGE.write_text("\n".join([head, summary(reports), TRAFFIC, LIMITS, NUMPY, *sections]))


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--measure", nargs="*", metavar="SUITE", choices=[*SUITES, []], help="run these suites, or all")
    p.add_argument("--threads", type=int, default=2, help="runs with more threads are left out, and their files stay")
    args = p.parse_args()
    if args.measure is not None:
        measure(args.measure or list(SUITES), args.threads)
    write()
