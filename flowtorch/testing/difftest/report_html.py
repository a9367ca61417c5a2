"""Reports for the browser: one file, nothing loaded from elsewhere, dark or light as the system is."""

from __future__ import annotations

import html
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .measure import EDGES, Measure
from .report_style import SCRIPT, STYLE
from .report_terminal import short, totals
from .rows import Row
from .verdict import GOOD, SEVERITY, VERDICTS, worst


def page(title: str, intro: str, content: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style><h1>{html.escape(title)}</h1><p>{html.escape(intro)}</p>"
        f"{content}<script>{SCRIPT}</script></html>\n"
    )


def mark(v: str) -> str:
    kind = "good" if v in ("exact", "within model") else "info" if v == "reference worse" else "warn"
    if v not in GOOD and v not in ("suspicious", "unsupported", "stride mismatch", "error mismatch"):
        kind = "bad"
    return f'<span class="v {kind}">{v}</span>'


def histogram(m: Measure) -> str:
    """The signed errors: below the exact value to the left, exact in the middle, sizes growing outwards."""
    counts = m.histogram.tolist()
    top = math.log1p(max(counts, default=0))
    if not top:
        return ""
    middle, bars = len(EDGES) - 1, []
    for k, n in enumerate(counts):
        if n:
            size = 24 * math.log1p(n) / top
            far = abs(k - middle)
            sign = "-" if k < middle else "+"
            low, high = (EDGES[far - 1], EDGES[far]) if far else (0, 0)
            label = "exact" if not far else f"{sign}{low:g}..{high:g} units"
            side = "l" if k < middle else "h"
            box = f'x="{k * 6}" y="{26 - size:.1f}" width="5" height="{size:.1f}"'
            bars.append(f'<rect class="{side}" {box}><title>{label}: {n}</title></rect>')
    return f'<svg width="{6 * len(counts)}" height="26" role="img" aria-label="errors in units">{"".join(bars)}</svg>'


def write_ops(path: Path, rows: Iterable[Row], title: str, seconds: float) -> None:
    """The report of ``difftest ops``: a line for every function, its bad rows inside."""
    rows = list(rows)
    by_op: dict[str, list[Row]] = defaultdict(list)
    for r in rows:
        by_op[r.op].append(r)
    ordered = sorted(by_op.items(), key=lambda item: -SEVERITY[worst(r.worst for r in item[1])])
    counts: dict[str, int] = defaultdict(int)
    lines = []
    for op, group in ordered:
        v = worst(r.worst for r in group)
        counts[v] += 1
        lines.append(_op_line(op, v, group))
    counts["explained"] = sum(any(r.explained for r in group) for group in by_op.values())
    shown = [v for v in (*reversed(VERDICTS), "explained") if counts[v]]
    buttons = "".join(f'<button data-v="{v}">{v} <b>{counts[v]}</b></button>' for v in shown)
    head = "".join(
        f'<th class="{c}">{t}</th>'
        for t, c in (("function", ""), ("worst verdict", ""), ("results", "n"), ("max ulp", "n"), ("p99.9", "n"),
                     ("reference's max ulp", "n"), ("errors, signed", ""), ("what differs", ""))
    )  # fmt: skip
    content = (
        f'<div class="bar"><input placeholder="function" aria-label="filter by name">{buttons}</div>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(title, f"{totals(rows)}; {seconds:.0f} s", content))


def merged(rows: Iterable[Row]) -> Measure:
    m = Measure()
    for r in rows:
        m.merge(r.measure)
    return m


def _op_line(op: str, v: str, group: list[Row]) -> str:
    m = merged(group)
    results = sum(sum(r.verdicts.values()) + sum(r.explained.values()) for r in group)
    bad = [r for r in group if r.worst not in ("exact", "within model")]
    explained = [r for r in group if r.explained]
    parts = [_numbers(group)]
    for r in sorted(bad, key=lambda r: -SEVERITY[r.worst])[:12]:
        text = "\n".join(f"{name}: {text}" for name, text in r.examples.items() if name in r.verdicts)
        parts.append(f"{mark(r.worst)} {r.variant} {r.dtype} {r.layout}<pre>{html.escape(text[:700])}</pre>")
    parts += _reasons(explained)
    if m.worst and m.max_units > 4:
        inputs = next((r.worst_inputs for r in group if r.measure.max_units == m.max_units), [])
        where = f" for inputs {', '.join(inputs)}" if inputs else ""
        got, exact = m.worst["got"], m.worst["exact"]
        parts.append(f"<pre>{html.escape(f'largest error: got {got}, exactly {exact}{where}')}</pre>")
    condition = max((r.condition for r in group), default=0.0)
    if condition:
        parts.append(f"<pre>median condition number over the sweep: {condition:.3g}</pre>")
    words = [f"{len(bad)} rows"] * bool(bad) + [f"{len(explained)} explained"] * bool(explained)
    more = f"<details><summary>{', '.join(words) or 'numbers'}</summary>{''.join(parts)}</details>"
    return (
        f'<tr data-v="{v}" data-e="{int(bool(explained))}" data-n="{html.escape(op.lower())}">'
        f"<td><code>{html.escape(op)}</code></td>"
        f'<td data-k="{SEVERITY[v]}">{mark(v)}</td><td class="n">{results}</td>'
        f'<td class="n" data-k="{m.max_units}">{short(m.max_units)}</td><td class="n" data-k="{m.quantiles()[2]}">'
        f'{short(m.quantiles()[2])}</td><td class="n" data-k="{m.reference_units}">{short(m.reference_units)}</td>'
        f"<td data-k='{m.count}'>{histogram(m)}</td><td data-k='{len(bad) + len(explained) / 1000}'>{more}</td></tr>"
    )


def _reasons(rows: list[Row]) -> Iterator[str]:
    """What the table of reasons explains, one reason after the other, with one example each."""
    known: dict[str, tuple[Row, str]] = {}
    for r in rows:
        for v, reason in r.explained:
            known.setdefault(reason, (r, v))
    for reason, (r, v) in known.items():
        example = r.examples.get(f"explained: {reason}", "")[:300]
        yield (
            f'<span class="v info">explained</span> {html.escape(reason)}'
            f"<pre>{v} in {r.variant} {r.dtype} {r.layout} {html.escape(example)}</pre>"
        )


NUMBERS = ("dtype", "elements", "p50", "p99", "p99.9", "max ulp", "absolute", "relative", "nan", "inf", "±0")


def _numbers(group: list[Row]) -> str:
    """A line for each dtype: quantiles of the error, the largest ones, and how often nan, inf and signs differ."""
    lines = []
    for dtype in dict.fromkeys(r.dtype for r in group):
        m = merged(r for r in group if r.dtype == dtype)
        if m.count:
            sizes = [short(x) for x in (*m.quantiles(), m.max_units)]
            cells = [dtype, f"{m.count:,}", *sizes, f"{m.max_absolute:.2g}", f"{m.max_relative:.2g}"]
            cells += [str(n or "") for n in (m.nans, m.infinities, m.zero_signs)]
            lines.append("<tr>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>")
    head = "".join(f"<td>{n}</td>" for n in NUMBERS)
    return f'<table class="numbers"><tr>{head}</tr>{"".join(lines)}</table>' if lines else ""


# ---------------------------------------------------------------- a program in lockstep


def write_run(path: Path, result: Any, title: str) -> None:
    """The report of ``difftest run``: the first divergence, how errors grow, every call that errs."""
    first = result.first
    text = "No call adds more than rounding explains." if first is None else first.describe()
    steps = [s for s in result.steps if s.total > 1 or s.diverges]
    lines = [_step_line(s) for s in steps[:2000]]
    head = "".join(f"<th>{t}</th>" for t in ("number", "phase", "call", "module", "line", "total", "added", "source"))
    content = (
        f'<div class="box"><b>First divergence</b><pre>{html.escape(text)}</pre></div>{growth(result.steps)}'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )
    intro = f"{len(result.steps)} calls compared; errors in units of what rounding explains"
    path.write_text(page(title, intro, content))


def _step_line(s: Any) -> str:
    e = s.event
    added = "" if s.added is None else short(s.added)
    cells = [s.number, e.phase, e.name, e.module, e.where, short(s.total), added, e.text]
    marked = ' class="v bad"' if s.diverges else ""
    return f'<tr data-v="" data-n="">{"".join(f"<td>{html.escape(str(c))}</td>" for c in cells[:2])}' + (
        f"<td><span{marked}>{html.escape(e.name)}</span></td>"
        + "".join(f"<td>{html.escape(str(c))}</td>" for c in cells[3:])
        + "</tr>"
    )


def growth(steps: list, width: int = 1000, height: int = 220) -> str:
    """Total and added error over the run, on a logarithmic scale."""
    if len(steps) < 2:
        return ""

    def level(x: Any) -> float:
        return min(max(math.log10(x), -3.0), 12.0) if x and x > 0 else -3.0

    def line(values: list[float], kind: str) -> str:
        points = " ".join(
            f"{40 + (width - 50) * k / (len(values) - 1):.1f},{height - 20 - (height - 30) * (v + 3) / 15:.1f}"
            for k, v in enumerate(values)
        )
        return f'<polyline class="{kind}" points="{points}"/>'

    marks = "".join(
        f'<text x="2" y="{height - 16 - (height - 30) * (p + 3) / 15:.1f}">1e{p}</text>' for p in range(-3, 13, 3)
    )
    curves = line([level(s.total) for s in steps], "total") + line([level(s.added) for s in steps], "added")
    return (
        f'<div class="box"><b>Errors over the run</b>: blue what a result is off by, orange what the call itself adds'
        f'<svg viewBox="0 0 {width} {height}" width="100%" role="img">{marks}{curves}</svg></div>'
    )
