"""A ratchet of instruction counts: what ten small calls execute may grow by no more than two per cent.

    python .ci/instructions.py [--update]

Instructions are counted by valgrind's callgrind, which must be installed; unlike time, they are the same on a busy
machine. Both tiers are counted. The C kernels are compiled without AVX-512, which valgrind does not know. The counts
of .ci/instructions.json belong to one version of Python, numpy and the compiler: elsewhere they are only shown.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COUNTS = ROOT / ".ci" / "instructions.json"
TIERS = {"numpy": "0", "native": "require"}
CALLS = 200
ALLOWED = 1.02


def calls() -> dict[str, Callable[[], object]]:
    """The calls that are counted, by name."""
    import flowtorch as t
    from flowtorch import nn

    t.manual_seed(0)
    a, b, x = t.randn(4, 4), t.randn(4, 4), t.randn(4, 4, requires_grad=True)
    weight, bias = t.randn(4, 4, requires_grad=True), t.randn(4, requires_grad=True)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    inputs, targets, loss = t.randn(16, 8), t.randn(16, 1), nn.MSELoss()
    optimizer = t.optim.Adam(model.parameters(), lr=1e-3)

    def backward() -> None:
        x.grad = None
        (x * a).sum().backward()

    def step() -> None:
        optimizer.zero_grad()
        loss(model(inputs), targets).backward()
        optimizer.step()

    return {
        "a + b": lambda: a + b,
        "a * 2.0": lambda: a * 2.0,
        "a + b, recorded": lambda: x + b,
        "relu, recorded": lambda: t.relu(x),
        "a.view(16)": lambda: a.view(16),
        "a[0]": lambda: a[0],
        "a.sum()": lambda: a.sum(),
        "softmax": lambda: t.softmax(a, -1),
        "linear, recorded": lambda: nn.functional.linear(x, weight, bias),
        "zeros": lambda: t.zeros(4, 4),
        "mul, sum, backward": backward,
        "MLP step, Adam": step,
    }


def run() -> None:
    """Make the calls; getppid marks where a count ends."""
    import gc
    import threading

    from flowtorch.optim import native

    native.ENOUGH = 1
    every = calls()
    for call in every.values():
        for _ in range(20):
            call()
        for thread in threading.enumerate():
            if thread.name == "flowtorch-optim-build":
                thread.join()
        call()
    gc.collect()
    gc.disable()
    for call in every.values():
        call()
        loop = range(CALLS)
        os.getppid()
        for _ in loop:
            call()
        os.getppid()


def compiler(folder: Path) -> str:
    """A compiler for machine code that valgrind knows."""
    script = folder / "cc"
    script.write_text('#!/usr/bin/env bash\nexec gcc "${@/-march=native/-march=x86-64-v3}"\n')
    script.chmod(0o755)
    return str(script)


def count(tier: str) -> dict[str, int]:
    """Instructions of one call, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"FLOWTORCH_NATIVE": TIERS[tier], "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0",
                            "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "CC": compiler(Path(folder))}
        out = Path(folder, "counts")
        command = ["valgrind", "--tool=callgrind", "--dump-before=getppid", f"--callgrind-out-file={out}",
                   sys.executable, __file__, "--run"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
        parts = sorted(out.parent.glob("counts.*"), key=lambda p: int(p.suffix[1:]))
        totals = [int(re.search(r"^totals: (\d+)", p.read_text(), re.MULTILINE)[1]) for p in parts]  # type: ignore[index]
    names = list(calls())
    return {name: totals[2 * k + 1] // CALLS for k, name in enumerate(names)}


def versions() -> dict[str, str]:
    """What the counts depend on beside our own code."""
    import numpy

    gcc = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=True).stdout.strip()
    return {"python": platform.python_version(), "numpy": numpy.__version__, "gcc": gcc, "machine": platform.machine()}


def main() -> int:
    """Count, and compare with what stands in the file."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--update", action="store_true", help="write the counts to .ci/instructions.json")
    p.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    args = p.parse_args()
    sys.path.insert(0, str(ROOT))
    if args.run:
        run()
        return 0
    if shutil.which("valgrind") is None or shutil.which("gcc") is None:
        print("valgrind or gcc is not installed: instructions are not counted")
        return 0
    counts = {tier: count(tier) for tier in TIERS}
    known = json.loads(COUNTS.read_text()) if COUNTS.exists() else {"versions": None}
    same = known["versions"] == versions()
    worse = []
    for tier, found in counts.items():
        for name, now in found.items():
            before = known.get(tier, {}).get(name)
            print(f"{tier:7} {name:22} {now:10,}" + (f"  {now / before - 1:+.1%}" if before else ""))
            if before and now > before * ALLOWED:
                worse.append(f"{tier}: {name} executes {now:,} instructions, {before:,} before")
    if args.update:
        COUNTS.write_text(json.dumps({"versions": versions(), **counts}, indent=1) + "\n")
        return 0
    if not same:
        print("other versions than those of .ci/instructions.json: nothing is compared")
        return 0
    for text in worse:
        print(text)
    return bool(worse)


if __name__ == "__main__":
    sys.exit(main())
