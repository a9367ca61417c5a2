"""``difftest ops``: the registry of functions, a candidate against a reference."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from . import explained
from . import ledger as books
from . import report_terminal as terminal
from .failures import Database, keep
from .implementations import make
from .rows import LEVELS, Recorder, Row, registry, run_ops

HEAVY = 12  # functions handed to a worker at once


def arguments(sub: Any) -> None:
    p = sub.add_parser("ops", help="hold every function of the registry against a reference")
    p.add_argument("names", nargs="*", help="public names (add, nn.functional.gelu); all of them by default")
    p.add_argument("-k", metavar="REGEX", help="only names that match")
    p.add_argument("--candidate", default="flowtorch")
    p.add_argument("--reference", default="torch")
    p.add_argument("--smoke", action="store_true", help="values and gradients in float32 only")
    p.add_argument("--variants", help="comma-separated: " + ", ".join(LEVELS["full"]))
    p.add_argument("--seed", type=int, default=0, help="other values in the same samples")
    p.add_argument("--reruns", type=int, default=0, help="repeat every call so often, and compare the bits")
    p.add_argument("-j", "--jobs", type=int, default=min(os.cpu_count() or 1, 8))
    p.add_argument("--ledger", type=Path, help="write the ledger here")
    p.add_argument("--gate", type=Path, help="fail only where things are worse than in this ledger")
    p.add_argument("--explained", metavar="FILE", help="table of known differences and their reasons; 'none' for none "
                   "(flowtorch against torch has one)")  # fmt: skip
    p.add_argument("--junit", type=Path)
    p.add_argument("--html", type=Path, help="write a report for the browser")
    p.add_argument("--limit", type=int, default=40, help="rows to print")
    p.add_argument("--database", type=Path, help="folder of failures, replayed first; new ones are added")
    p.set_defaults(run=main)


def _worker(names: list[str], options: Any, variants: tuple[str, ...]) -> list[Row]:
    quiet_threads()
    recorder = run_ops(names, options.candidate, options.reference, variants, options.smoke, options.seed,
                       reruns=options.reruns, explained=table_of(options))  # fmt: skip
    recorder.candidate.close()
    recorder.reference.close()
    return list(recorder.rows.values())


def quiet_threads() -> None:
    """One thread for each worker: the workers are the parallelism."""
    import sys

    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def table_of(options: Any) -> explained.Table | None:
    """The table of explained differences that was asked for."""
    given = options.explained
    if given is None:
        own = options.candidate.startswith("flowtorch") and options.reference.startswith("torch")
        return explained.read() if own else None
    return None if given == "none" else explained.read(Path(given))


def chosen(options: Any) -> list[str]:
    specs = registry()
    unknown = [n for n in options.names if n not in specs]
    if unknown:
        same = [n for n in specs if n.endswith(f".{unknown[0]}")]
        near = same or difflib.get_close_matches(unknown[0], specs, 3)
        like = f"; there are {', '.join(near)}" if near else "; names are public ones below torch: nn.functional.gelu"
        raise ValueError(f"no samples for {', '.join(unknown)}{like}")
    try:
        names = [n for n in options.names or specs if not options.k or re.search(options.k, n)]
    except re.error as wrong:
        raise ValueError(f"-k: {options.k!r} is no regular expression: {wrong}") from None
    if not names:
        raise ValueError(f"-k: no name matches {options.k!r}")
    return names


def checks_of(options: Any) -> tuple[str, ...]:
    """The checks that were asked for."""
    if not options.variants:
        return LEVELS["smoke" if options.smoke else "full"]
    variants = tuple(options.variants.split(","))
    if unknown := [v for v in variants if v not in LEVELS["full"]]:
        raise ValueError(f"--variants: no check {', '.join(unknown)}; there are {', '.join(LEVELS['full'])}")
    return variants


def gather(names: list[str], options: Any, variants: tuple[str, ...]) -> list[Row]:
    """The rows of all names, from as many processes as asked for."""
    progress = terminal.Progress(len(names))
    if options.jobs <= 1 or len(names) <= HEAVY:
        rows = _worker(names, options, variants)
        progress.close()
        return rows
    chunks = [names[k :: -(-len(names) // HEAVY)] for k in range(-(-len(names) // HEAVY))]
    rows = []
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(_worker, chunk, options, variants): chunk for chunk in chunks}
        for done in as_completed(waiting):
            rows += done.result()
            progress.step(len(waiting[done]), waiting[done][0])
    progress.close()
    return sorted(rows, key=lambda r: r.key)


def main(options: Any) -> int:
    names, variants = chosen(options), checks_of(options)
    for role in (options.candidate, options.reference):
        make(role).close()  # an error now, not in a worker
    table_of(options)
    gate = books.read(options.gate) if options.gate else None
    started = time.perf_counter()
    if options.database:
        replay(options, set(names))
    rows = gather(names, options, variants)
    seconds = time.perf_counter() - started
    book = books.ledger(rows, options.candidate, options.reference)
    failures = (
        books.regressions(book, gate, names, variants)
        if gate is not None
        else [f"{r.op}: {r.worst} in {r.variant} {r.dtype} {r.layout}" for r in books.bad_rows(rows)]
    )
    terminal.table(rows, options.limit)
    print(f"{terminal.totals(rows)}; {seconds:.1f} s")
    everything = not (options.names or options.k or options.variants or options.smoke or options.seed)
    if gate is not None and everything and (table := table_of(options)) is not None:
        failures += [f"nothing to explain any more: {s}" for s in explained.stale(table, book["explained"])]
    write_files(options, rows, book, failures, seconds)
    if options.gate:
        print("\n".join(f"worse: {f}" for f in failures[:50]) or "nothing is worse than in the ledger")
    return 1 if failures else 0


def write_files(options: argparse.Namespace, rows: list[Row], book: dict, failures: list[str], seconds: float) -> None:
    if options.ledger:
        books.write(options.ledger, book)
    if options.junit:
        books.junit(options.junit, rows, failures, seconds)
    if options.html:
        from .report_html import write_ops

        write_ops(options.html, rows, f"{options.candidate} against {options.reference}", seconds)
    if options.database and failures:
        refused = {f.split(":")[0] for f in failures}
        stored = keep(
            Database(options.database), recorder_of(options), registry(), [r for r in rows if r.op in refused]
        )
        print("\n".join(f"python {path.with_suffix('.py')}" for path in stored))


def recorder_of(options: Any) -> Recorder:
    return Recorder(options.candidate, options.reference)


def replay(options: Any, names: set[str]) -> None:
    """What failed before, first."""
    count, lines = Database(options.database).replay(recorder_of(options), registry(), names)
    if count:
        print("\n".join([f"replayed {count} failures of before: {len(lines)} fail still", *lines]))
