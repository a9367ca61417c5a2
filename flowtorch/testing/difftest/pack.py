"""``difftest export``: samples with expected and exact values in a folder that any backend replays with numpy alone.

The format stands in docs/difftest_ops.md; ``replay.py`` in the folder is the player, and needs nothing but numpy.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from ..errormodel import EPS, UNITS, allowance
from ..outcome import Result
from ..samples import Array, Named, Sample, load
from . import explained, pack_replay
from .implementations import make
from .ops_command import chosen
from .oracle import quantised
from .rows import Recorder, length_of
from .verdict import GOOD


def arguments(sub: Any) -> None:
    p = sub.add_parser("export", help="write samples and expected values for other backends")
    p.add_argument("folder", type=Path)
    p.add_argument("names", nargs="*")
    p.add_argument("-k", metavar="REGEX")
    p.add_argument("--reference", default="torch")
    p.add_argument("--dtypes", default="float32,float64,int64,bool")
    p.set_defaults(run=export)
    r = sub.add_parser("replay", help="hold an implementation against a pack")
    r.add_argument("folder", type=Path)
    r.add_argument("--candidate", default="flowtorch")
    r.set_defaults(run=replay)


class Writer:
    """The arrays of a pack, each stored once."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def array(self, values: np.ndarray, dtype: str) -> dict:
        stored = np.asarray(values, np.float32) if dtype in ("bfloat16", "float16") else np.asarray(values)
        name = f"a{len(self.arrays)}"
        self.arrays[name] = stored
        return {"array": name, "dtype": dtype}

    def value(self, v: Any) -> Any:
        if isinstance(v, Array):
            return self.array(quantised(v), v.dtype)
        if isinstance(v, Named):
            return {"dtype_named": v.name}
        if isinstance(v, (tuple, list)):
            return {"tuple" if isinstance(v, tuple) else "list": [self.value(x) for x in v]}
        if isinstance(v, slice):
            return {"slice": [v.start, v.stop, v.step]}
        if isinstance(v, complex):
            return {"complex": [v.real, v.imag]}
        if isinstance(v, float) and not np.isfinite(v):
            return {"float": str(v)}
        if v is None or isinstance(v, (bool, int, float, str)):
            return v
        raise TypeError(f"a pack cannot hold {type(v).__name__}")


def export(options: Any) -> int:
    options.names = options.names or []
    specs, writer = load(), Writer()
    entries: list[dict] = []
    table = explained.read() if options.reference.startswith("torch") else None
    recorder = Recorder("flowtorch", options.reference, explained=table)
    for name in [n for n in chosen(options) if n in specs]:
        spec = specs[name]
        theirs = recorder.reference.find(name)
        if theirs is None or spec.random or spec.undefined:
            continue
        for dtype in [d for d in options.dtypes.split(",") if d in spec.dtypes]:
            for sample in spec.samples(dtype):
                entry = _entry(recorder, spec, sample, theirs, writer)
                if entry is not None:
                    entries.append({"id": len(entries), "op": name, **entry})
    options.folder.mkdir(parents=True, exist_ok=True)
    head = {"format": 1, "reference": options.reference, "samples": entries}
    (options.folder / "pack.json").write_text(json.dumps(head))
    np.savez_compressed(options.folder / "arrays.npz", **writer.arrays)  # type: ignore[arg-type]
    shutil.copyfile(pack_replay.__file__, options.folder / "replay.py")
    print(f"{len(entries)} samples of {len({e['op'] for e in entries})} functions in {options.folder}")
    return 0


def _entry(recorder: Recorder, spec: Any, sample: Sample, theirs: Any, writer: Writer) -> dict | None:
    expected = recorder.reference.run(theirs, sample)
    if not recorder.reference.faithful and not _typed(expected, recorder, spec, sample):
        return None
    if isinstance(expected.error, NotImplementedError) or _explained(recorder, spec, sample, theirs):
        return None  # nothing that another backend should repeat
    try:
        call = {
            "args": [writer.value(a) for a in sample.args],
            "kwargs": {k: writer.value(v) for k, v in sample.kwargs.items()},
        }
    except TypeError:  # an argument that no JSON holds: the call is left out
        return None
    if expected.error is not None:
        return {**call, "raises": type(expected.error).__name__}
    tensors = [r for r in expected.results if isinstance(r, Result)]
    if not tensors:
        return None
    exact = recorder.exact(spec.name, spec, sample)
    known = exact() if exact is not None else None
    results = []
    for k, r in enumerate(expected.results):
        if not isinstance(r, Result):
            continue
        entry: dict[str, Any] = {"expected": writer.array(r.values, r.dtype)}
        if r.dtype in EPS:
            if known is None or known[0][k] is None:  # nobody says how far the reference is off
                truth, spread, factor = r.values, 0.0, max(1.0, spec.factor / UNITS)
            else:
                truth, spread, factor = known[0][k], known[1][k], 1.0
            if spec.factor > 1 and r.values.size:
                spread = spread + float(np.max(np.abs(truth[np.isfinite(truth)]), initial=0.0))
            entry["exact"] = writer.array(truth, "complex128" if truth.dtype.kind == "c" else "float64")
            limit = allowance(truth, r.dtype, length_of(spec, sample, expected), spread, factor)
            entry["allowed"] = writer.array(np.broadcast_to(limit, truth.shape), "float64")
        results.append(entry)
    return {**call, "results": results}


def _typed(expected: Any, recorder: Recorder, spec: Any, sample: Sample) -> bool:
    """Give what a reference without PyTorch's dtypes computed the dtypes that PyTorch's rules give it."""
    ours = recorder.candidate.find(spec.name)
    got = recorder.candidate.run(ours, sample) if ours is not None and expected.error is None else None
    if got is None or got.error is not None or len(got.results) != len(expected.results):
        return False
    for r, own in zip(expected.results, got.results, strict=True):
        if isinstance(r, Result) and isinstance(own, Result):
            r.dtype, r.values = own.dtype, np.asarray(r.values).astype(own.values.dtype)
    return True


def _explained(recorder: Recorder, spec: Any, sample: Sample, theirs: Any) -> bool:
    """Whether the reference is known to give something of its own, or nothing that is defined."""
    ours, table = recorder.candidate.find(spec.name), recorder.table
    if ours is None or table is None:
        return False
    got = recorder.candidate.run(ours, sample)
    findings = recorder.findings(spec.name, spec, sample, recorder.reference.run(theirs, sample), got)
    bad = [f for f in findings if f.verdict not in GOOD]
    return any(table.find(spec.name, "values", f.verdict, f"{sample}: {f.text}") for f in bad)


def replay(options: Any) -> int:
    """Play a pack on an implementation of ours."""
    side = make(options.candidate)
    pack = pack_replay.Pack(options.folder)

    def call(name: str, args: list, kwargs: dict) -> Any:
        found = side.find(name)
        if found is None:
            raise NotImplementedError(name)
        turn = pack_replay.mapped
        sample = Sample(tuple(turn(_argument, args)), turn(_argument, kwargs))
        result = side.run(found, sample)
        if result.error is not None:
            raise result.error
        return [r.values for r in result.results if isinstance(r, Result)]

    return pack_replay.play(pack, call, options.candidate)


def _argument(v: Any) -> Any:
    if isinstance(v, pack_replay.Typed):
        return Array(v.values, v.dtype)
    return Named(v.name) if isinstance(v, pack_replay.DType) else v
