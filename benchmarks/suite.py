"""Run a list of benchmark cases on flowtorch and torch in one process; print a table and write JSON.

A case is written once, as a function of the library: it gets ``flowtorch`` or ``torch`` and returns the
callable to be timed. Both callables run once before the clock starts and their results are compared, so
that no figure is that of a wrong answer. What flowtorch does not have yet is listed as missing.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from timing import Comparison, compare, geometric_mean

ROOT = Path(__file__).resolve().parent.parent
Build = Callable[[Any], Callable[[], Any]]


@dataclass
class Case:
    """One line of a table. ``check``: the relative tolerance of results, None for random ones."""

    name: str
    group: str
    build: Build
    check: float | None = 1e-3
    limit: float | None = None  # the ratio that this case should stay below


@dataclass
class Suite:
    """The cases of one file, in order."""

    title: str
    cases: list[Case] = field(default_factory=list)
    rounds_of_each: int = 30
    budget: float = 15.0

    def add(self, name: str, group: str, **options: Any) -> Callable[[Build], Build]:
        """Return a decorator that adds a case."""

        def register(build: Build) -> Build:
            self.cases.append(Case(name, group, build, **options))
            return build

        return register

    def main(self) -> int:
        """Read the command line, run the cases, print and write the report."""
        args = self._arguments()
        # Thread counts are read once, when the libraries load: set them first.
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(args.threads)
        ours, theirs = libraries(args.threads)
        report: dict[str, Any] = {"suite": self.title, "machine": machine(), "settings": vars(args) | {}}
        report["versions"] = versions(theirs)
        report["settings"].pop("json")
        report["settings"]["kernels"] = "native" if ours.native.state == "ready" else "numpy"
        print(
            f"{self.title}: {report['machine']}, threads: {args.threads}, torch {report['versions']['torch']}"
        )
        print(f"{'':44}{'flowtorch us':>13}{'torch us':>12}{'ratio':>8}  middle half")
        report["rows"] = rows = []
        for row in self.rows(ours, theirs, args):
            if not rows or row["group"] != rows[-1]["group"]:
                print(f"-- {row['group']}")
            rows.append(row)
            print(line(row), flush=True)
        report["geometric_means"] = self._summary(rows)
        if args.json:
            Path(args.json).parent.mkdir(parents=True, exist_ok=True)
            Path(args.json).write_text(json.dumps(report, indent=1) + "\n")
        return 0

    def rows(self, ours: ModuleType, theirs: ModuleType, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
        """Run the cases that are asked for."""
        for case in self.cases:
            if chosen(f"{case.group}/{case.name}", args):
                yield run_case(case, ours, theirs, args)

    def _arguments(self) -> argparse.Namespace:
        p = argparse.ArgumentParser(description=self.title)
        p.add_argument("--filter", help="regular expression on group/name")
        p.add_argument("--rounds", type=int, default=self.rounds_of_each, help="alternating rounds of each case")
        p.add_argument("--threads", type=int, default=1)
        p.add_argument("--budget", type=float, default=self.budget, help="seconds of one case at most")
        p.add_argument("--json", metavar="FILE", help="write the report here as JSON")
        return p.parse_args()

    def _summary(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        print("-- geometric means of flowtorch/torch")
        means = {}
        for group in dict.fromkeys(r["group"] for r in rows):
            here = [r for r in rows if r["group"] == group]
            good = [r["ratio"] for r in here if r["status"] == "ok"]
            means[group] = {
                "mean": round(geometric_mean(good), 3),
                "cases": len(good),
                "not_run": len(here) - len(good),
            }
            unrun = f", {len(here) - len(good)} did not run" if len(good) < len(here) else ""
            print(f"{group:44}{means[group]['mean']:33.2f}  over {len(good)} cases{unrun}")
        over = [r for r in rows if r.get("limit") and r["status"] == "ok" and r["ratio"] > r["limit"]]
        for r in over:
            print(f"above its limit: {r['group']}/{r['name']} {r['ratio']:.2f} > {r['limit']}")
        return means


def chosen(name: str, args: argparse.Namespace) -> bool:
    """Whether the command line asks for this case."""
    return not args.filter or re.search(args.filter, name) is not None


def libraries(threads: int) -> tuple[ModuleType, ModuleType]:
    """Import both libraries and set the number of threads."""
    sys.path.insert(0, str(ROOT))
    ours = importlib.import_module("flowtorch")
    theirs = importlib.import_module("torch")
    theirs.set_num_threads(threads)
    ours.set_num_threads(threads)
    return ours, theirs


def run_case(case: Case, ours: ModuleType, theirs: ModuleType, args: argparse.Namespace) -> dict[str, Any]:
    """Build, check and time one case; a case that cannot run says why."""
    row: dict[str, Any] = {"name": case.name, "group": case.group, "limit": case.limit}
    reference = case.build(theirs)
    expected = reference()
    try:
        f = case.build(ours)
        got = f()
    except (AttributeError, NotImplementedError, ModuleNotFoundError) as error:
        return row | {"status": "missing", "why": f"{type(error).__name__}: {error}"}
    except Exception as error:  # the table goes on, and says what happened
        return row | {"status": "error", "why": f"{type(error).__name__}: {error}"}
    if case.check is not None:
        fault = difference(got, expected, case.check)
        if fault:
            return row | {"status": "wrong", "why": fault}
    c = compare(f, reference, rounds=args.rounds, one_thread=args.threads == 1, budget=args.budget)
    return row | {"status": "ok"} | figures(c)


def figures(c: Comparison) -> dict[str, Any]:
    """Return a comparison as plain numbers, times in microseconds."""
    sides = {
        f"{name}_{what}": round(getattr(t, what) * 1e6, 3)
        for name, t in (("flowtorch", c.ours), ("torch", c.theirs))
        for what in ("least", "low", "median")
    }
    spreads = {"flowtorch_spread": round(c.ours.spread, 3), "torch_spread": round(c.theirs.spread, 3)}
    ratio = {"ratio": round(c.ratio, 4), "ratio_middle_half": [round(c.ratio_low, 4), round(c.ratio_high, 4)]}
    return sides | spreads | ratio | {"rounds": c.rounds}


def line(row: dict[str, Any]) -> str:
    """Return the table's line for one case."""
    if row["status"] != "ok":
        return f"{row['name']:44}{row['status']:>13}  {row['why'].splitlines()[0][:90]}"
    low, high = row["ratio_middle_half"]
    return (
        f"{row['name']:44}{row['flowtorch_low']:13.2f}{row['torch_low']:12.2f}{row['ratio']:8.2f}"
        f"  {low:.2f}..{high:.2f}"
    )


def difference(got: Any, expected: Any, tolerance: float) -> str:
    """Say how two results differ, or return an empty string."""
    import numpy as np

    if isinstance(expected, (tuple, list)):
        faults = (difference(g, e, tolerance) for g, e in zip(got, expected, strict=True))
        return next((f for f in faults if f), "")
    if expected is None or isinstance(expected, (int, float, bool)):
        same = expected is None or abs(got - expected) <= tolerance * max(1.0, abs(expected))
        return "" if same else f"{got} against {expected}"
    a, b = as_float64(got), as_float64(expected)
    if a.shape != b.shape:
        return f"shape {a.shape} against {b.shape}"
    scale = np.abs(b).max(initial=1.0, where=np.isfinite(b))
    close = np.isclose(a, b, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
    return "" if close.all() else f"{(~close).sum()} of {close.size} elements differ"


def as_float64(x: Any) -> Any:
    """Return a tensor of either library as a float64 array."""
    x = x.detach()
    return x.double().numpy() if hasattr(x, "double") else x.numpy().astype("float64")


@contextmanager
def torch_being(library: ModuleType) -> Iterator[None]:
    """Let ``import torch`` give one of the two libraries inside the block, though the other is loaded."""
    if library.__name__ == "torch":
        yield
        return
    names = [n for n in sys.modules if n == "torch" or n.startswith("torch.")]
    real = {n: sys.modules.pop(n) for n in names}
    try:
        with importlib.import_module("flowtorch.shim").as_torch():
            yield
    finally:
        sys.modules.update(real)


def example(name: str, library: ModuleType) -> ModuleType:
    """Import one of the examples with ``torch`` meaning the given library."""
    folder = str(ROOT / "examples")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    for old in ("common", name):
        sys.modules.pop(old, None)
    with torch_being(library):
        return importlib.import_module(name)


def machine() -> str:
    """Describe the machine without naming it."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        model = found.group(1) if found else model
    return f"{model}, {os.cpu_count()} processors, {platform.system()}, Python {platform.python_version()}"


def versions(torch: ModuleType) -> dict[str, str]:
    """Return the versions that the figures belong to."""
    import numpy

    return {"torch": torch.__version__, "numpy": numpy.__version__, "python": platform.python_version()}
