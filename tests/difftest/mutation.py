"""Which planted faults the differential tester finds: ``python tests/difftest/mutation.py [--book BOOK] [NAME ...]``.

One after the other is planted, and the functions that execute the op are held against torch with every check of
``difftest ops``. A fault is found when a verdict that is not good comes up, or shows something else than without it.
``--json FILE`` keeps the rows, ``--page FILE`` puts them into the documentation: the paragraph and the table behind the
line that names the set (``<!-- third -->``). ``--rows FILE ...`` takes them from such files instead of planting again.
"""

import argparse
import json
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import flowtorch
from flowtorch import overrides
from flowtorch.testing.difftest.objects import driven
from flowtorch.testing.difftest.objects import load as classes
from flowtorch.testing.difftest.rows import registry

sys.path.insert(0, str(Path(__file__).parent))
import faults
import fourth_faults
import held_out_faults
import third_faults

BOOKS = {
    "first": faults.FAULTS,
    "held-out": held_out_faults.FAULTS,
    "third": third_faults.FAULTS,
    "fourth": fourth_faults.FAULTS,
}


def functions_that_run():
    """op -> public functions whose samples run it: the ones of its own name first, then those that run little else."""
    from flowtorch.ops import dispatch
    from flowtorch.testing.outcome import gradients, run
    from flowtorch.testing.samples import find, load

    seen, work = {}, {}
    original = dispatch.compute

    def noting(op, values, *rest):
        names.add(op.name)
        return original(op, values, *rest)

    def note(spec):
        work[spec.name] = len(names)
        for name in names:
            seen.setdefault(name, []).append(spec.name)

    dispatch.compute = noting
    overrides.active.append("noting")
    try:
        for spec in load().values():
            names, function = set(), find(flowtorch, spec.name)
            for dtype in spec.dtypes[:6] if function else ():
                for sample in spec.samples(dtype):
                    run(flowtorch, function, sample, spec.random)
                    if dtype == "float64" and spec.gradient:  # what only derivatives run
                        gradients(flowtorch, function, sample, spec.random)
            note(spec)
        for spec in classes().values():
            names, function = set(), driven(spec, flowtorch)
            for sample in spec.samples("float32"):
                run(flowtorch, function, sample)
            note(spec)
    finally:
        overrides.active.remove("noting")
        dispatch.compute = original
    plain = str.maketrans("", "", "_")
    for op, specs in seen.items():
        own = op.removesuffix("_backward").removesuffix("_copy").translate(plain)
        specs.sort(key=lambda s: (s.rpartition(".")[2].translate(plain) != own, work[s]))
    return seen


def bad_counts(names):
    """{(function, variant, dtype, layout, verdict): (calls, what the first shows)} of what is not good."""
    from flowtorch.testing.difftest.rows import LEVELS, run_ops
    from flowtorch.testing.difftest.verdict import GOOD

    recorder = run_ops(names, "flowtorch", "torch", LEVELS["full"])
    rows = recorder.rows.values()
    return {(*row.key, v): (n, row.examples.get(v)) for row in rows for v, n in row.verdicts.items() if v not in GOOD}


def firsts(names, count):
    """The first functions, and the first classes."""
    objects = classes()
    return [f for f in names if f not in objects][:count] + [f for f in names if f in objects][:count]


def hunt(fault, runs, clean, count=12):
    """(how the fault shows, or None; seconds). ``clean`` remembers what is bad without it."""
    _, ops, planted = fault
    started = time.perf_counter()
    tried = dict.fromkeys(f for op in ops for f in firsts(runs.get(op, [op]), count))
    for function in [f for f in tried if f in registry()]:  # what nobody has samples of is not tried
        if function not in clean:
            clean[function] = bad_counts([function])
        with planted():
            found = bad_counts([function])
        new = [k for k, shown in found.items() if shown != clean[function].get(k)]
        if new:
            shown = f"{new[0][0]}: {new[0][4]} in {new[0][1]} {new[0][2]} ({len(new)} rows)"
            return shown, time.perf_counter() - started
    return None, time.perf_counter() - started


def rows_of(names, chosen):
    book, runs, clean, rows = BOOKS[chosen], functions_that_run(), {}, []
    for name in names:
        found, seconds = hunt(book[name], runs, clean)
        rows.append((book[name][0], name, found, seconds))
        print(f"{'killed ' if found else 'ALIVE  '} {book[name][0]:15} {name:55} {found or ''}", flush=True)
    return rows


def summary(rows):
    killed, planted = (Counter(r[0] for r in rows if r[2] or every) for every in (False, True))
    parts = ", ".join(f"{family} {killed[family]}/{count}" for family, count in planted.items())
    return f"**{sum(killed.values())} of {len(rows)} found.** By family: {parts}."


def markdown(rows):
    lines = [f"| {family} | {name} | {found or '**not found**'} |" for family, name, found, _ in rows]
    return "\n".join([summary(rows), "", "| family | fault | found by |", "|---|---|---|", *lines]) + "\n"


def with_table(page, book, table):
    """The page with this table behind the mark of the book, up to the next heading."""
    mark = f"<!-- {book} -->\n"
    if mark not in page:
        raise SystemExit(f"the page has no line {mark.strip()}")
    before, _, rest = page.partition(mark)
    _, heading, after = f"\n{rest}".partition("\n## ")
    return before + mark + table + heading + after


def kept(files, book):
    """Rows of earlier runs, the last of each fault, in the order of the book."""
    found = {row[1]: row for file in files for row in json.loads(file.read_text())}
    return [found[name] for name in book if name in found]


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="parts of the names of faults; all of them by default")
    parser.add_argument("--book", choices=BOOKS, default="first", help="which set of faults")
    parser.add_argument("-j", "--jobs", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--rows", type=Path, nargs="*", default=[])
    options = parser.parse_args(argv)
    book = BOOKS[options.book]
    names = [n for n in book if not options.names or any(part in n for part in options.names)]
    if options.rows:
        rows = kept(options.rows, book)
    elif options.jobs > 1:
        with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
            parts = pool.map(
                rows_of, [names[k :: options.jobs] for k in range(options.jobs)], [options.book] * options.jobs
            )
            rows = sorted((r for part in parts for r in part), key=lambda r: names.index(r[1]))
    else:
        rows = rows_of(names, options.book)
    print(summary(rows).replace("*", ""))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    if options.page:
        options.page.write_text(with_table(options.page.read_text(), options.book, markdown(rows)))
    return 0 if all(r[2] for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
