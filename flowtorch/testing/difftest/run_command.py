"""``difftest run``: a program on flowtorch and on something else, in lockstep. ``difftest record`` keeps one side."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .process import ROOT

MODULE = __name__


def arguments(sub: Any) -> None:
    p = sub.add_parser("run", help="run a program on two sides and name the first call that differs")
    p.add_argument("script", nargs="?", help="a script that says 'import torch'; its arguments follow")
    p.add_argument("args", nargs=argparse.REMAINDER)
    p.add_argument("--against", default="torch", help="torch, numpy, oracle, or a folder written by record")
    p.add_argument(
        "--preload", default="", metavar="FILE", help="a Python file to run first, in the candidate's process"
    )
    p.add_argument("--pack", type=Path, help="replay a pack instead of a script")
    p.add_argument("--candidate", default="flowtorch", help="who replays the pack")
    p.add_argument("--record", type=Path, help="keep the candidate's recording in this folder")
    p.add_argument("--json", type=Path, help="write the analysis here")
    p.add_argument("--html", type=Path, help="write a report for the browser")
    p.add_argument("--database", type=Path, help="folder of failures, replayed first; the call at fault is added")
    limits(p)
    p.set_defaults(run=main)
    r = sub.add_parser("record", help="run a program and keep what its calls took and gave")
    r.add_argument("script")
    r.add_argument("args", nargs=argparse.REMAINDER)
    r.add_argument("--on", default="torch", choices=["torch", "flowtorch"])
    r.add_argument("-o", "--output", type=Path, required=True)
    limits(r)
    r.set_defaults(run=record)


def limits(p: Any) -> None:
    p.add_argument("--limit", type=int, default=50_000, help="calls to record; then the program is stopped")
    p.add_argument("--memory", type=int, default=500, metavar="MB", help="values to record; likewise (default: 500)")


def record(options: Any) -> int:
    return run_there(options.on, options.output, options)


def run_there(library: str, folder: Path, options: Any, **environment: str) -> int:
    """Record the script in a process of its own; its exit status."""
    if library == "torch" and importlib.util.find_spec("torch") is None:
        raise ImportError("torch is not installed here: --against oracle, numpy, or a recording made where it is")
    ends = str(options.limit), str(options.memory)
    return python(library, str(folder), *ends, options.script, *options.args, **environment)


def python(*argv: str, module: str = "flowtorch.testing.difftest.program", **environment: str) -> int:
    """Run a module of ours in a Python of its own; its exit status."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-m", module, *argv], env={**os.environ, "PYTHONPATH": path, **environment}
    ).returncode


def main(options: Any) -> int:
    if options.pack is not None:
        from .pack import replay

        options.folder = options.pack
        return replay(options)
    if options.script is None:
        raise ValueError("name a script to run, or a pack (--pack FOLDER)")
    if not Path(options.script).exists():
        raise ValueError(f"no such file: {options.script} (options stand before the script)")
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.against
        if options.against in ("torch", "numpy"):
            folder = str(Path(scratch, "reference"))
            library = "torch" if options.against == "torch" else "flowtorch"
            plain = {"FLOWTORCH_NATIVE": "0", "FLOWTORCH_FAST_PATH": "0"} if options.against == "numpy" else {}
            if run_there(library, Path(folder), options, **plain):
                print(f"difftest: the program failed on {options.against}", file=sys.stderr)
                return 3
        elif options.against != "oracle" and not Path(folder, "events.json").exists():
            raise ValueError(f"--against: {folder} is neither torch, numpy, oracle nor a recording")
        names = ("preload", "record", "json", "html", "limit", "memory", "database")
        asked = {k: str(getattr(options, k) or "") for k in names}
        asked["against"] = options.against
        return python(json.dumps({"reference": folder, **asked}), options.script, *options.args, module=MODULE)


def candidate(argv: list[str]) -> int:
    """Record the program on flowtorch, then hold it against the reference."""
    import torch  # flowtorch: see below

    from . import narrowing
    from .lockstep import Lockstep, shadow
    from .program import run_program
    from .step_script import of_optimizer
    from .trace import Trace

    asked, script, *rest = json.loads(argv[0]), *argv[1:]
    database = Path(asked["database"]) if asked["database"] else None
    ours = run_program("flowtorch", script, rest, asked["preload"], int(asked["limit"]), int(asked["memory"]))
    if asked["record"]:
        ours.save(Path(asked["record"]))
    theirs = shadow(ours, torch) if asked["reference"] == "oracle" else Trace.load(Path(asked["reference"]))
    result = Lockstep(ours, theirs, torch)
    again = narrowing.reference_for(asked["against"], torch) if database or result.first is not None else None
    if database is not None and again is not None:
        replay(database, torch, again)
    report(result)
    small: Any = None
    if result.first is not None:
        small = of_optimizer(result, result.first) or (again and narrowing.of_step(result, result.first, again))
    if small is not None:
        show(small, database)
    if asked["json"]:
        found = {**as_json(result), "script": small and small.script}
        Path(asked["json"]).write_text(json.dumps(found, indent=1))
    if asked["html"]:
        from .report_html import write_run

        write_run(Path(asked["html"]), result, f"{script} against {theirs.library}")
    return 1 if result.first is not None or ours.failure else 0


def replay(folder: Path, library: Any, reference: Any) -> None:
    """What failed before, first."""
    from .failures import Database
    from .implementations import Library
    from .narrowing import ENOUGH, judged

    for path, entry, sample in Database(folder).entries():
        sides = Library(library, "flowtorch"), reference
        bad = [f for f in judged(entry["name"], entry["variant"], sample, *sides) if f.verdict not in ENOUGH]
        print(f"failed before: {entry['name']} {sample}: {bad[0].verdict if bad else 'mended'}")
        if not bad:
            path.unlink()
            path.with_suffix(".py").unlink(missing_ok=True)


def show(small: Any, database: Path | None) -> None:
    """The call at fault by itself."""
    print(f"\nthe call alone, made small ({small.verdict}: {small.text}):\n")
    print(small.script)
    if database is not None:
        print(f"python {small.keep(database)} [torch|flowtorch]")


def as_json(result: Any) -> dict:
    def step(s: Any) -> dict | None:
        return s and {"number": s.number, "phase": s.event.phase, "name": s.event.name, "file": s.event.file,
                      "line": s.event.line, "text": s.event.text, "module": s.event.module, "kind": s.kind,
                      "total": s.total, "added": s.added}  # fmt: skip

    origin = result.origin()
    return {
        "first": step(result.first),
        "steps": [step(s) for s in result.steps],
        "events": [len(result.ours.events), len(result.theirs.events)],
        "paired": len(result.alignment.pair),
        "not_finite": origin and {"name": origin[0].name, "line": origin[0].line, "what": origin[1]},
        "skipped": result.skipped,
    }


def report(result: Any) -> None:
    ours, theirs = result.ours.events, result.theirs.events
    calls = [sum(e.phase != "backward" for e in events) for events in (ours, theirs)]
    print(
        f"\n{calls[0]} calls here, {calls[1]} there, {len(result.alignment.pair)} paired; {len(result.steps)} compared"
    )
    growth(result.steps)
    origin = result.origin()
    if origin is not None:
        e, what = origin
        print(f"the first {what}: {e.name} at {e.where}: {e.text}")
    if result.ours.failure:
        print(f"the program ended early on flowtorch: {result.ours.failure.splitlines()[0]}")
    first = result.first
    if first is None:
        print("no call adds more than rounding explains")
        return
    print(f"first divergence: {first.describe()}")
    later = [s for s in result.steps if s.diverges and s is not first]
    if later:
        print(f"{len(later)} later calls add errors of their own, the next: {later[0].describe()}")


def growth(steps: list, rows: int = 12) -> None:
    """How errors grow over the run: total and added, the largest of each stretch of calls, on a logarithmic scale."""
    if not steps:
        return
    size = -(-len(steps) // rows)
    print("errors in units of the allowance   (# total, + added)")
    for start in range(0, len(steps), size):
        part = steps[start : start + size]
        total, added = max(s.total for s in part), max(s.added or 0.0 for s in part)
        worst = max(part, key=lambda s: s.total)
        bar = "#" * length(total)
        bar = "+" * min(length(added), len(bar)) + bar[min(length(added), len(bar)) :]
        print(f"{start:6} {bar:24} {total:9.3g}  {worst.event.phase} {worst.event.name} {worst.event.where}")


def length(x: float) -> int:
    import math

    return 24 if math.isinf(x) else max(0, min(24, round(4 + 2.5 * math.log10(x)))) if x > 0 else 0


if __name__ == "__main__":
    from .program import install

    install("flowtorch")
    sys.exit(candidate(sys.argv[1:]))
