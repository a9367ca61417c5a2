"""The measuring tools themselves: statistics, result checks, and what the tables say of what cannot run."""

import argparse
import importlib.util
import json
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


def busy(seconds):
    def run():
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    return run


def test_a_ratio_is_ours_over_theirs():
    from timing import compare

    c = compare(busy(4e-4), busy(1e-4), rounds=10)
    assert 2.5 < c.ratio < 6 and c.ratio_low <= c.ratio_high
    assert c.ours.least <= c.ours.low <= c.ours.median
    assert c.rounds == 10


def test_short_calls_are_repeated_in_a_chunk():
    from timing import take_turns

    seen = []
    samples = take_turns((lambda: seen.append(0), busy(4e-3)), rounds=5, target=0.002, one_thread=True, budget=1)
    assert [len(s) for s in samples] == [5, 5] and len(seen) > 100
    assert samples[0][0] < samples[1][0]


def test_a_budget_ends_a_slow_case_early():
    from timing import compare

    assert compare(busy(0.01), busy(0.01), rounds=1000, budget=0.1).rounds < 50


def test_geometric_mean():
    from timing import geometric_mean

    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)
    assert math.isnan(geometric_mean([]))


class Array:
    """As much of a tensor as the comparison of results needs."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def detach(self):
        return self

    def double(self):
        return Array(self.values.astype(np.float64))

    def numpy(self):
        return self.values


@pytest.mark.parametrize(
    ("got", "expected", "said"),
    [
        ([1.0, 2.0], [1.0, 2.0], ""),
        ([1.0, np.nan], [1.0, np.nan], ""),
        ([1.0, 2.1], [1.0, 2.0], "1 of 2 elements differ"),
        ([1.0], [1.0, 2.0], "shape (1,) against (2,)"),
        ([np.nan, 1.0], [0.0, 1.0], "1 of 2 elements differ"),
    ],
)
def test_results_are_compared(got, expected, said):
    from suite import difference

    assert difference(Array(got), Array(expected), 1e-3) == said
    assert difference((Array(got),), (Array(expected),), 1e-3) == said


def test_what_cannot_run_is_said_and_not_timed():
    from suite import Case, line, run_case

    ours, theirs = (
        argparse.Namespace(),
        argparse.Namespace(one=lambda: Array([1.0]), two=lambda: Array([2.0])),
    )
    ours.two = lambda: Array([3.0])
    args = argparse.Namespace(rounds=5, threads=1, budget=1.0)
    missing = run_case(Case("one", "g", lambda t: t.one), ours, theirs, args)
    assert missing["status"] == "missing" and "one" in missing["why"] and "ratio" not in missing
    wrong = run_case(Case("two", "g", lambda t: t.two), ours, theirs, args)
    assert wrong["status"] == "wrong" and "missing" in line(missing) and "wrong" in line(wrong)
    good = run_case(Case("two", "g", lambda t: t.two), theirs, theirs, args)
    assert good["status"] == "ok" and 0.2 < good["ratio"] < 5


@pytest.mark.parametrize(
    ("script", "pick"),
    [("overhead", "plain/a . b$"), ("kernels", "^matmul/64"), ("models", "MLP")],
)
def test_a_suite_runs_and_writes_its_report(script, pick, tmp_path):
    out = tmp_path / "report.json"
    command = [FOLDER / f"{script}.py", "--filter", pick, "--rounds", "5", "--json", out]
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(out.read_text())
    assert report["rows"] and all(row["status"] == "ok" for row in report["rows"]), report["rows"]
    assert all(mean["not_run"] == 0 and mean["mean"] > 0 for mean in report["geometric_means"].values())
    assert "geometric means" in done.stdout


def test_the_page_of_performance_shows_every_case_that_ran(tmp_path, monkeypatch):
    import page

    rows = [
        {"name": "add", "group": "pointwise", "status": "ok", "ratio": 0.5, "ratio_middle_half": [0.4, 0.6]},
        {"name": "exp", "group": "pointwise", "status": "ok", "ratio": 2.0},
        {"name": "log", "group": "pointwise", "status": "missing", "why": ""},
    ]
    report = {"suite": "large operations", "machine": "M", "versions": {"torch": "2"}, "settings": {}, "rows": rows}
    (tmp_path / "kernels.json").write_text(json.dumps(report))
    (tmp_path / "kernels-native.json").write_text(json.dumps(report | {"rows": rows[:1]}))
    (tmp_path / "pictures").mkdir()
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    monkeypatch.setattr(page, "PAGE", tmp_path / "performance.md")
    page.write()
    text = (tmp_path / "performance.md").read_text()
    assert "| **pointwise** (geometric mean) | **1.00** | **0.50** |" in text
    assert "| add | 0.50 (0.40..0.60) | 0.50 (0.40..0.60) |" in text
    assert "| exp | 2.00 |  |" in text and "| log |" not in text
    assert (tmp_path / "pictures" / "performance-kernels.svg").read_text().count("<rect") == 3


def test_the_calls_whose_instructions_are_counted_run():
    spec = importlib.util.spec_from_file_location("instructions", ROOT / ".ci" / "instructions.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    known = json.loads((ROOT / ".ci" / "instructions.json").read_text())
    every = module.calls()
    for call in every.values():
        call()
    assert list(known["numpy"]) == list(known["native"]) == list(every)


def test_the_summary_finds_cases_for_every_line():
    import re

    import page

    for title, suite, pattern, *goals in page.SUMMARY:
        path = page.RESULTS / f"{suite}.json"
        assert suite in page.SUITES and len(goals) == len(page.ONE_THREAD)
        if path.exists():
            rows = json.loads(path.read_text())["rows"]
            assert any(re.search(pattern, f"{r['group']}/{r['name']}") for r in rows), title
