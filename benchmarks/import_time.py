"""What ``import flowtorch`` costs: ten cold starts beside those of numpy and torch, and what it loads.

    python benchmarks/import_time.py [--runs N] [--json FILE]

Each start is a new process; the figures are the processor time and the wall time of the import alone,
measured inside. "Cold" means a fresh interpreter; the files may be in the system's cache.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = ("scipy", "triton", "cupy", "torch", "ml_dtypes")
CHILD = """
import sys, time
c, w = time.process_time(), time.perf_counter()
import {name}
c, w = time.process_time() - c, time.perf_counter() - w
import json
top = sorted({{m.partition(".")[0] for m in sys.modules}} & set({watched}))
print(json.dumps([c, w, len(sys.modules), top]))
"""


def cold(name: str) -> tuple[float, float, int, list[str]]:
    """Import a module in a new process; return cpu and wall seconds, number of modules, watched libraries."""
    code = CHILD.format(name=name, watched=list(FORBIDDEN))
    env = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its byte code
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return tuple(json.loads(done.stdout))  # type: ignore[return-value]


def main() -> int:
    """Print the table; the exit status is 1 if flowtorch loads what it must not."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--runs", type=int, default=10)
    p.add_argument("--json", metavar="FILE")
    args = p.parse_args()
    names = ["numpy", "flowtorch"] + ["torch"] * (importlib.util.find_spec("torch") is not None)
    for name in names:
        cold(name)  # writes the byte code, fills the file cache
    runs: dict[str, list[tuple[float, float, int, list[str]]]] = {name: [] for name in names}
    for _ in range(args.runs):
        for name in names:
            runs[name].append(cold(name))
    report = {}
    print(f"{'':12}{'wall median':>12}{'least':>9}{'cpu median':>12}{'least':>9}{'modules':>9}  loads")
    for name, results in runs.items():
        cpu, wall = [r[0] for r in results], [r[1] for r in results]
        modules, loads = results[0][2:]
        print(
            f"{name:12}{statistics.median(wall):12.3f}{min(wall):9.3f}{statistics.median(cpu):12.3f}{min(cpu):9.3f}"
            f"{modules:9}  {', '.join(x for x in loads if x != name)}"
        )
        report[name] = {
            "wall_median": statistics.median(wall),
            "wall_least": min(wall),
            "cpu_median": statistics.median(cpu),
            "cpu_least": min(cpu),
            "modules": modules,
            "loads": loads,
            "runs": args.runs,
        }
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=1) + "\n")
    return 1 if report["flowtorch"]["loads"] else 0


if __name__ == "__main__":
    sys.exit(main())
