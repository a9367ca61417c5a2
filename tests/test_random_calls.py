"""Random calls of every pointwise function, reduction, scan, view, index and sorting function, product, against torch.

    FLOWTORCH_RANDOM_CALLS=20000 pytest tests/test_random_calls.py -n0        # so many, other ones each time

``FLOWTORCH_RANDOM_SEED`` makes the same calls again, ``FLOWTORCH_RANDOM_FUNCTION`` and ``FLOWTORCH_RANDOM_FAMILIES``
(regular expressions) choose among the functions, ``FLOWTORCH_RANDOM_REPORT`` names a file for all differences: those
of each function, the shortest calls first, and how many calls each entry of the table of differences explains.
"""

import os
import random
import re
from collections import Counter, defaultdict
from pathlib import Path

import hypothesis
import torch
from differences import RARE
from differences_page import PAGE, page
from random_calls import FAMILIES, calls, functions

import flowtorch
from flowtorch.testing import checks

EXAMPLES = int(os.environ.get("FLOWTORCH_RANDOM_CALLS", "1500"))
GIVEN_SEED = os.environ.get("FLOWTORCH_RANDOM_SEED")
SEED = int(GIVEN_SEED) if GIVEN_SEED else random.randrange(2**32) if "FLOWTORCH_RANDOM_CALLS" in os.environ else 0
REPORT = os.environ.get("FLOWTORCH_RANDOM_REPORT")
PAIR = checks.Pair(flowtorch, torch)
used: Counter = Counter()


def explanation(call, line):
    """Return the entry of the table of differences that explains a line, None if none does."""
    name, what = call.spec.name, line.removeprefix(f"{call.name} ")
    for entry in RARE:
        who, text, condition, _ = entry
        if re.fullmatch(who, name) and re.search(text, what) and (not condition or getattr(call, condition)(PAIR)):
            return entry
    return None


def report(failures, count):
    """Return the differences of each function, the shortest first."""
    lines = [f"{len(failures)} functions differ in {count} calls of seed {SEED}"]
    for name, found in sorted(failures.items()):
        shortest = sorted(set(found), key=len)
        lines += [f"{name} ({len(found)})", *(f"    {line}" for line in shortest[:8])]
    lines += ["", "explained:", *(f"{n:6} {entry}" for entry, n in used.most_common())]
    return "\n".join(lines)


def test_random_calls():
    families = [f for f in os.environ.get("FLOWTORCH_RANDOM_FAMILIES", "|".join(FAMILIES)).split("|") if f]
    only = re.compile(os.environ.get("FLOWTORCH_RANDOM_FUNCTION", ".*"))
    specs = {name: spec for name, spec in functions(PAIR, families).items() if only.fullmatch(name)}
    failures = defaultdict(list)
    count = 0

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.seed(SEED)
    @hypothesis.given(call=calls(specs, PAIR))
    def run(call):
        nonlocal count
        count += 1
        for line in call.lines(PAIR):
            entry = explanation(call, line)
            if entry is None:
                failures[call.spec.name].append(line)
            else:
                used[entry] += 1

    run()
    text = report(failures, count)
    if REPORT:
        Path(REPORT).write_text(text)
    assert not failures, text


def test_the_page_of_differences_is_up_to_date():
    assert PAGE.read_text() == page(), "run: python tests/differences_page.py --write"
