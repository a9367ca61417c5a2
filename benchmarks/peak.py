"""Peak memory of training steps: each library trains each model of models.py in a process of its own.

Run it with
    python benchmarks/peak.py [--filter REGEX] [--threads N] [--json FILE]

The first group compares the most memory that the whole process ever held, the second what was added after the library
was imported: parameters, gradients, the optimiser's state, activations and scratch memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models import SUITE as MODELS
from suite import ROOT, Suite, chosen

STEPS = 5


def held(field: str) -> int:
    """Return a figure of this process's memory in KiB: VmRSS is now, VmHWM the most ever."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def train(library: str, name: str, threads: int) -> dict[str, int]:
    """Train a model in this process, and return what it held."""
    import importlib

    sys.path.insert(0, str(ROOT))
    t = importlib.import_module(library)
    t.set_num_threads(threads)
    imported = held("VmRSS")
    step = next(case for case in MODELS.cases if case.name == name).build(t)
    for _ in range(STEPS):
        step()
    return {"imported": imported, "peak": held("VmHWM")}


def in_a_process(library: str, name: str, threads: int) -> dict[str, int]:
    """Train in another process."""
    command = [sys.executable, __file__, "--train", library, name, str(threads)]
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads))
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


class Peaks(Suite):
    """Two rows a model; what a table of times calls microseconds are KiB here."""

    def rows(self, ours: Any, theirs: Any, args: Any) -> Iterator[dict[str, Any]]:
        """Train the models that are asked for."""
        found = []
        for case in MODELS.cases:
            if chosen(f"peak memory/{case.name}", args):
                found.append((case.name, *(in_a_process(x, case.name, args.threads) for x in ("flowtorch", "torch"))))
        for group, start in (("of the process", 0), ("above the import", 1)):
            for name, *both in found:
                mine, other = (b["peak"] - start * b["imported"] for b in both)
                yield {
                    "name": name, "group": f"peak memory {group}", "limit": None, "status": "ok",
                    "flowtorch_kib": mine, "torch_kib": other, "flowtorch_low": mine, "torch_low": other,
                    "ratio": round(mine / other, 4), "ratio_middle_half": [round(mine / other, 4)] * 2,
                }  # fmt: skip


SUITE = Peaks("peak memory of training steps")

if __name__ == "__main__":
    if sys.argv[1:2] == ["--train"]:
        print(json.dumps(train(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
        sys.exit(0)
    sys.exit(SUITE.main())
