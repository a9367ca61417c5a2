"""What a run says on the terminal: a table of what differs, and the totals. rich draws it where it is installed."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

from .rows import Row
from .verdict import GOOD, SEVERITY, VERDICTS

HEAD = ("function", "variant", "dtype", "layout", "verdict", "calls", "p50", "p99.9", "max ulp", "worst example")


def line_of(row: Row) -> tuple[str, ...]:
    p50, _, p999 = row.measure.quantiles()
    example = next((row.examples[v] for v in reversed(VERDICTS) if v in row.examples), "")
    calls = str(sum(row.verdicts.values()))
    return (
        row.op, row.variant, row.dtype, row.layout, row.worst, calls, short(p50), short(p999),
        short(row.measure.max_units), example,
    )  # fmt: skip


def short(x: float) -> str:
    return "" if not x else f"{x:.2f}" if x < 1000 else f"{x:.2g}"


def ordered(rows: Iterable[Row]) -> list[Row]:
    """The worst first."""
    return sorted(rows, key=lambda r: (-SEVERITY[r.worst], -r.measure.max_units, r.key))


def table(rows: Iterable[Row], limit: int = 40, width: int = 160) -> None:
    """Print the rows with a verdict that is not good, and those where the reference is worse."""
    shown = [r for r in ordered(rows) if r.worst not in GOOD or r.worst == "reference worse"]
    cells = [line_of(r) for r in shown[:limit]]
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        plain(cells, width)
    else:
        drawn = Table(*HEAD)
        for row in cells:
            drawn.add_row(*row)
        Console(width=None if sys.stdout.isatty() else width).print(drawn)
    if len(shown) > limit:
        print(f"... and {len(shown) - limit} more rows: --html has all of them")


def plain(cells: list[tuple[str, ...]], width: int) -> None:
    if not cells:
        return
    widths = [max(len(r[k]) for r in [HEAD, *cells]) for k in range(len(HEAD) - 1)]
    for row in [HEAD, *cells]:
        line = "  ".join(c.ljust(w) if k < 5 else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths, strict=False)))
        print(f"{line}  {row[-1]}"[:width])


def totals(rows: Iterable[Row]) -> str:
    counts: Counter[str] = Counter()
    ops = set()
    for row in rows:
        counts.update(row.verdicts)
        counts["explained"] += sum(row.explained.values())
        ops.add(row.op)
    parts = ", ".join(f"{counts[v]:,} {v}" for v in (*VERDICTS, "explained") if counts[v])
    return f"{len(ops)} functions, {sum(counts.values()):,} results: {parts}"


class Progress:
    """One line that moves, on a terminal only."""

    def __init__(self, total: int, out: Any = None) -> None:
        self.total, self.done, self.out = total, 0, out or sys.stderr
        self.shown = self.out.isatty()

    def step(self, count: int, name: str = "") -> None:
        self.done += count
        if self.shown:
            filled = 30 * self.done // max(self.total, 1)
            self.out.write(f"\r[{'#' * filled}{'.' * (30 - filled)}] {self.done}/{self.total} {name:30.30}")
            self.out.flush()

    def close(self) -> None:
        if self.shown:
            self.out.write("\r" + " " * 80 + "\r")
