"""``difftest seeds``: the registry with other values, seed after seed, and what is bad only with some of them.

On a tree without faults each such verdict is a false alarm: the error model was too tight for those values, or the
function is less exact there than the first values show.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from . import report_terminal as terminal
from .ops_command import HEAVY, chosen, quiet_threads, table_of
from .rows import LEVELS, run_ops
from .verdict import GOOD


def arguments(sub: Any) -> None:
    p = sub.add_parser("seeds", help="count the verdicts that other values bring out, over many seeds")
    p.add_argument("names", nargs="*", help="public names; all of them by default")
    p.add_argument("-k", metavar="REGEX", help="only names that match")
    p.add_argument("-n", "--count", type=int, default=100, help="how many seeds")
    p.add_argument("--start", type=int, default=1, help="the first of them")
    p.add_argument("--candidate", default="flowtorch")
    p.add_argument("--reference", default="torch")
    p.add_argument("--full", action="store_true", help="every check in every dtype, not values and gradients alone")
    p.add_argument("--explained", metavar="FILE", help="table of known differences; 'none' for none")
    p.add_argument("-j", "--jobs", type=int, default=min(os.cpu_count() or 1, 8))
    p.add_argument("--json", type=Path, help="write the alarms here")
    p.set_defaults(run=main)


def alarms(names: list[str], seeds: range, options: Any) -> tuple[int, list[dict[str, Any]]]:
    """(how many calls were compared, what is bad in them and not with the registry's own values)."""
    quiet_threads()
    level, table = "full" if options.full else "smoke", table_of(options)
    known: set[tuple] = set()
    calls, found = 0, list[dict[str, Any]]()
    for seed in (0, *seeds):
        recorder = run_ops(names, options.candidate, options.reference, LEVELS[level], not options.full, seed,
                           explained=table)  # fmt: skip
        calls += recorder.calls
        for row in recorder.rows.values():
            for verdict in [v for v in row.verdicts if v not in GOOD]:
                if seed == 0:
                    known.add((row.op, row.variant, verdict))
                elif (row.op, row.variant, verdict) not in known:
                    text = row.examples.get(verdict, "")
                    found.append({"seed": seed, "op": row.op, "variant": row.variant, "dtype": row.dtype,
                                  "layout": row.layout, "verdict": verdict, "text": text})  # fmt: skip
        recorder.candidate.close()
        recorder.reference.close()
    return calls, found


def main(options: argparse.Namespace) -> int:
    started, names = time.perf_counter(), chosen(options)
    seeds = range(options.start, options.start + options.count)
    chunks = [names[k :: -(-len(names) // HEAVY)] for k in range(-(-len(names) // HEAVY))]
    calls, found = 0, list[dict[str, Any]]()
    progress = terminal.Progress(len(names))
    if options.jobs <= 1 or len(chunks) == 1:
        calls, found = alarms(names, seeds, options)
    else:
        with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
            waiting = {pool.submit(alarms, chunk, seeds, options): chunk for chunk in chunks}
            for done in as_completed(waiting):
                more, new = done.result()
                calls, found = calls + more, found + new
                progress.step(len(waiting[done]), waiting[done][0])
    progress.close()
    for a in sorted(found, key=lambda a: (a["op"], a["seed"])):
        print(f"{a['op']} {a['variant']} {a['dtype']} {a['layout']} seed {a['seed']}: {a['verdict']}: {a['text']}")
    by_verdict = ", ".join(f"{n} {v}" for v, n in Counter(a["verdict"] for a in found).most_common())
    functions = len({a["op"] for a in found})
    print(
        f"{len(found)} alarms over {options.count} seeds of {len(names)} functions, {calls:,} calls"
        + (f": {by_verdict}, in {functions} functions" if found else "")
        + f"; {time.perf_counter() - started:.0f} s"
    )
    if options.json:
        options.json.write_text(json.dumps({"seeds": options.count, "calls": calls, "alarms": found}, indent=1) + "\n")
    return 1 if found else 0
