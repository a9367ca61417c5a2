"""Figures that may only get better: measure them, hold them against ratchet.json, or write new ones.

    python .ci/ratchet.py             # exit status 1 if a figure is worse than the committed one
    python .ci/ratchet.py --update    # write today's figures into ratchet.json; commit it with the change

Conformance needs the replayer (see --conformance); without it those figures are skipped, and it says so.
"""

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

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
FILE = HERE / "ratchet.json"
REPLAYER = ROOT.parent / "shared" / "conformance" / "replay.py"
ENV = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
ENV.pop("PYTHONDONTWRITEBYTECODE", None)  # imports are measured with byte code in place, as in an installed package

# better: which way is good; slack: the share by which a figure may drift before somebody has to say why.
RULES: dict[str, dict[str, Any]] = {
    "wheel_bytes": {"better": "less", "slack": 0.05},
    "import_ratio_to_numpy": {"better": "less", "slack": 0.2},
    "import_modules": {"better": "less", "slack": 0.05},
    "primitives": {"better": "less", "slack": 0.05},
    "conformance": {"better": "more", "slack": 0.002},
}


def rule(name: str) -> dict[str, Any]:
    """Return the rule of a figure; all conformance figures share one."""
    return RULES[name.partition(": ")[0]]


def wheel_bytes() -> dict[str, float]:
    """Build the wheel and return its size."""
    with tempfile.TemporaryDirectory() as folder:
        build = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            folder,
        ]
        subprocess.run([*build, ROOT], check=True, cwd=folder)
        (wheel,) = Path(folder).glob("*.whl")
        return {"wheel_bytes": wheel.stat().st_size}


def import_cost(runs: int = 15) -> dict[str, float]:
    """Return the processor time of the import as a multiple of numpy's, and the number of modules loaded.

    The least of several starts of each, in turn: this ratio stands still where wall time does not.
    """
    code = "import sys, time; c = time.process_time(); import {}; c = time.process_time() - c"
    code += "; print(c, len(sys.modules))"

    def once(name: str) -> tuple[float, int]:
        done = subprocess.run(
            [sys.executable, "-c", code.format(name)], env=ENV, check=True, capture_output=True
        )
        seconds, modules = done.stdout.split()
        return float(seconds), int(modules)

    pairs = [(once("numpy"), once("flowtorch")) for _ in range(runs + 1)][1:]
    ratio = min(f[0] for _, f in pairs) / min(n[0] for n, _ in pairs)
    return {"import_ratio_to_numpy": round(ratio, 2), "import_modules": pairs[0][1][1]}


def primitives() -> dict[str, float]:
    """Return the number of registered primitives."""
    code = "import flowtorch; from flowtorch.ops.op import REGISTRY; print(len(REGISTRY))"
    done = subprocess.run([sys.executable, "-c", code], env=ENV, check=True, capture_output=True)
    return {"primitives": int(done.stdout)}


def conformance(replayer: Path, workers: int) -> dict[str, float]:
    """Replay the conformance records and return the scoreboard's headline counts."""
    if not replayer.exists():
        print(f"ratchet: no conformance replayer at {replayer.name}, its figures are skipped")
        return {}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report.json"
        command = [
            sys.executable,
            str(replayer),
            "--impl",
            "flowtorch",
            "-j",
            str(workers),
            "--json",
            str(out),
        ]
        subprocess.run(command, env=ENV, check=False, cwd=ROOT)
        headline = json.loads(out.read_text())["headline"]
    return {f"conformance: {name}": passed for name, passed, _ in headline}


def compare(figures: dict[str, float], committed: dict[str, float]) -> list[str]:
    """Print every figure beside the committed one; return those that are worse."""
    worse = []
    for name in [*committed, *(n for n in figures if n not in committed)]:
        old, new = committed.get(name), figures.get(name)
        if old is None or new is None:
            print(f"  {name:44} {'not measured' if new is None else new:>14}  (committed: {old})")
            continue
        sign = 1 if rule(name)["better"] == "less" else -1
        change = sign * (new - old)
        bad = change > rule(name)["slack"] * abs(old)
        word = "WORSE" if bad else "better" if change < 0 else ""
        print(f"  {name:44} {new:>14}  (committed: {old}) {word}")
        if bad:
            worse.append(f"{name}: {new}, was {old}")
    return worse


def main() -> int:
    """Measure, then compare or write."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--update", action="store_true", help="write today's figures into ratchet.json")
    p.add_argument("--conformance", type=Path, default=REPLAYER, metavar="FILE", help="the replayer")
    p.add_argument("--workers", type=int, default=2)
    args = p.parse_args()
    figures = import_cost()
    figures |= primitives()
    if importlib.util.find_spec("setuptools"):
        figures |= wheel_bytes()
    figures |= conformance(args.conformance, args.workers)
    committed = json.loads(FILE.read_text()) if FILE.exists() else {}
    if args.update:
        FILE.write_text(json.dumps(committed | figures, indent=1) + "\n")
        print(f"ratchet: wrote {len(figures)} figures to {FILE.name}")
        return 0
    print("ratchet:")
    worse = compare(figures, committed)
    if worse:
        print("ratchet: these figures got worse:\n  " + "\n  ".join(worse))
        print("Mend it; or, where it is meant, run 'python .ci/ratchet.py --update' and commit ratchet.json.")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
