"""The failure database: a folder with one small file for every failing call, replayed before anything else.

``NAME-HASH.json`` holds the call, ``NAME-HASH.py`` beside it the script that shows it. What no longer fails is removed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..samples import Sample
from . import encoding
from .reproducer import script
from .rows import Recorder, Row
from .shrink import shrink
from .verdict import GOOD, worst


class Database:
    """Failing calls in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, op: str, variant: str, name: str, sample: Sample, verdict: str, text: str) -> Path:
        """Store one call and its script; the same call only once."""
        entry = {"op": op, "variant": variant, "name": name, "verdict": verdict, "text": text}
        entry["sample"] = encoding.encode(sample)
        digest = hashlib.sha256(json.dumps([op, variant, name, entry["sample"]]).encode()).hexdigest()[:10]
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{re.sub(r'[^A-Za-z0-9_.]', '_', op)}-{digest}.json"
        path.write_text(json.dumps(entry, indent=1) + "\n")
        what = f"{verdict}: {text}"[:110]
        path.with_suffix(".py").write_text(script(name, sample, what=what, gradients="gradients" in variant))
        return path

    def entries(self) -> Iterator[tuple[Path, dict[str, Any], Sample]]:
        for path in sorted(self.folder.glob("*.json")) if self.folder.is_dir() else ():
            entry = json.loads(path.read_text())
            yield path, entry, encoding.decode(entry["sample"])

    def replay(self, recorder: Recorder, specs: dict, names: set[str] | None = None) -> tuple[int, list[str]]:
        """(how many were replayed, lines about those that fail still); the others are removed."""
        count, lines = 0, []
        for path, entry, sample in self.entries():
            if entry["op"] not in specs or (names is not None and entry["op"] not in names):
                continue
            count += 1
            found = verdict_of(recorder, specs[entry["op"]], entry["variant"], entry["name"], sample)
            if found in GOOD:
                path.unlink()
                path.with_suffix(".py").unlink(missing_ok=True)
            else:
                lines.append(f"{entry['op']} {sample}: {found} (python {path.with_suffix('.py')})")
        return count, lines


def verdict_of(recorder: Recorder, spec: Any, variant: str, name: str, sample: Sample) -> str:
    """The verdict on one call, leaving no trace in the recorder's rows."""
    import operator

    rows, recorder.rows, before = recorder.rows, {}, recorder.variant
    recorder.variant = variant
    try:
        what: Any = name
        if name.startswith("operator."):
            what = (getattr(operator, name[9:]),) * 2
        if variant == "sweep" and recorder.numbers is not None:
            list(sweep_one(recorder, spec, sample))
        elif "gradients" in variant:
            list(recorder.compare_gradients(spec, sample, variant.startswith("double"), ""))
        else:
            list(recorder.compare(what, spec, sample, ""))
        return worst(v for row in recorder.rows.values() for v in row.verdicts)
    finally:
        recorder.rows, recorder.variant = rows, before


def sweep_one(recorder: Recorder, spec: Any, sample: Sample) -> Iterator[str]:
    """One call of a function of numbers, both sides against mpmath."""
    from .verdict import values

    ours, theirs = recorder.functions(spec.name)
    e, g = (s.run(f, sample).results[0].values for s, f in ((recorder.reference, theirs), (recorder.candidate, ours)))
    a = sample.arrays()[0]
    exact, spread = recorder.numbers.exact(spec.name, a.values)  # type: ignore[union-attr]
    found = values(e, g, a.dtype, lambda: (exact, spread), always=True)
    yield from recorder.put(spec, spec.name, sample, [found])


def keep(database: Database, recorder: Recorder, specs: dict, rows: list[Row], limit: int = 30) -> list[Path]:
    """Shrink the worst call of each bad row, and store it."""
    stored = []
    for row in [r for r in rows if r.worst not in GOOD and r.sample is not None][:limit]:
        fails = _same_failure(recorder, specs[row.op], row)
        sample = row.sample
        assert sample is not None
        if fails(sample):
            sample = shrink(sample, fails)
        text = row.examples.get(row.worst, "")
        stored.append(database.add(row.op, row.variant, row.name, sample, row.worst, text))
    return stored


def _same_failure(recorder: Recorder, spec: Any, row: Row) -> Callable[[Sample], bool]:
    return lambda sample: verdict_of(recorder, spec, row.variant, row.name, sample) == row.worst
