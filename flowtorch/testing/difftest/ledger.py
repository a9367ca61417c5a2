"""The ledger: what differs, and how large errors are, as a file to commit; and the gate that lets it only get better.

``{"format": 2, "candidate", "reference", "totals": {verdict: calls}, "explained": {reason: calls}, "ops": {name:
{"bad": {"variant/verdict": rows}, "explained": {variant: rows with what the table of reasons explains}, "units":
{dtype: largest error in units in the last place}}}}``. Functions without anything to say are left out.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from .rows import Row
from .verdict import GOOD

FORMAT = 2
# A largest error may move by so much before it counts: other processors round sums in another order.
SLACK = 1.5


def ledger(rows: Iterable[Row], candidate: str, reference: str) -> dict[str, Any]:
    """The rows as a ledger."""
    totals: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    ops: dict[str, dict[str, Any]] = {}
    for row in rows:
        totals.update(row.verdicts)
        entry = ops.setdefault(row.op, {"bad": Counter(), "explained": Counter(), "units": {}})
        for v in row.verdicts:
            if v not in GOOD:
                entry["bad"][f"{row.variant}/{v}"] += 1
        entry["explained"][row.variant] += bool(row.explained)
        for (_, reason), count in row.explained.items():
            reasons[reason] += count
        if row.variant in ("values", "sweep", "layouts") and row.measure.count:
            size = math.ceil(row.measure.max_units * 10) / 10
            entry["units"][row.dtype] = max(size, entry["units"].get(row.dtype, 0.0))
    kept = {
        name: {
            "bad": dict(sorted(e["bad"].items())),
            "explained": {v: n for v, n in sorted(e["explained"].items()) if n},
            "units": {d: u for d, u in sorted(e["units"].items()) if u},
        }
        for name, e in sorted(ops.items())
    }
    return {
        "format": FORMAT,
        "candidate": candidate,
        "reference": reference,
        "totals": dict(sorted(totals.items())),
        "explained": dict(sorted(reasons.items())),
        "ops": {name: {k: v for k, v in e.items() if v} for name, e in kept.items() if any(e.values())},
    }


def write(path: Path, book: dict[str, Any]) -> None:
    """One function a line, so that a change of one shows as one."""
    head = {k: v for k, v in book.items() if k != "ops"}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in book["ops"].items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(head)[:-1] + ', "ops": {\n' + lines + "\n}}\n")


def read(path: Path) -> dict[str, Any]:
    book = json.loads(path.read_text())
    if book.get("format") != FORMAT:
        raise ValueError(f"{path}: not a ledger of format {FORMAT}: write it anew with --ledger")
    return book


def regressions(new: dict[str, Any], old: dict[str, Any], names: Iterable[str], variants: Iterable[str]) -> list[str]:
    """What is worse than the old ledger allows, among the functions and variants that ran."""
    ran, found = set(variants), []
    for name in names:
        before, now = old["ops"].get(name, {}), new["ops"].get(name, {})
        for kind, words in (("bad", ""), ("explained", "explained ")):  # a reason may not grow unseen either
            for what, count in now.get(kind, {}).items():
                allowed = before.get(kind, {}).get(what, 0)
                if what.split("/")[0] in ran and count > allowed:
                    found.append(f"{name}: {words}{what} in {count} rows, the ledger allows {allowed}")
        for dtype, size in now.get("units", {}).items():
            allowed = max(before.get("units", {}).get(dtype, 0.0) * SLACK, before.get("units", {}).get(dtype, 0.0) + 4)
            if size > allowed and not any(w.endswith("/wrong") for w in before.get("bad", {})):
                found.append(f"{name}: {dtype} errs by {size:g} units, the ledger allows {allowed:g}")
    return found


def bad_rows(rows: Iterable[Row]) -> list[Row]:
    return [r for r in rows if r.worst not in GOOD]


def junit(path: Path, rows: Iterable[Row], failures: list[str], seconds: float) -> None:
    """A JUnit file: a test per function and variant; what the gate refuses fails, what it knows is a skip."""
    refused = {f.split(":")[0] for f in failures}
    cases: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        cases.setdefault((row.op, row.variant), []).append(row)
    lines, failed, skipped = [], 0, 0
    for (op, variant), group in sorted(cases.items()):
        bad = bad_rows(group)
        body = ""
        if bad:
            found = [(r, v, t) for r in bad for v, t in r.examples.items() if v not in GOOD]
            text = "\n".join(f"{r.dtype} {r.layout} {v}: {t}" for r, v, t in found)
            if op in refused:
                failed += 1
                body = f"<failure message={quoteattr(bad[0].worst)}>{escape(text)}</failure>"
            else:
                skipped += 1
                body = f"<skipped message={quoteattr('in the ledger: ' + bad[0].worst)}/>"
        lines.append(f"<testcase classname={quoteattr('difftest.' + variant)} name={quoteattr(op)}>{body}</testcase>")
    counts = f'tests="{len(lines)}" failures="{failed}" skipped="{skipped}"'
    head = f'<testsuite name="difftest" {counts} time="{seconds:.1f}">'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('<?xml version="1.0"?>\n' + head + "\n" + "\n".join(lines) + "\n</testsuite>\n")
