"""Does memory grow? 10,000 training steps of an MLP; and does a chain of 100,000 operations go backward?

python benchmarks/memory.py [--steps N] [--chain N] [--library torch] [--json FILE]
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def resident() -> int:
    """Return the memory that this process holds now, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def mlp_growth(t: Any, steps: int) -> dict[str, float]:
    """Train an MLP; return the growth of memory after the first tenth of the steps."""
    nn = t.nn
    t.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = t.optim.Adam(model.parameters(), lr=1e-3)
    x, y = t.randn(32, 32), t.randint(10, (32,))
    seen, objects = [], []
    start = time.perf_counter()
    for step in range(steps + 1):
        if step % max(steps // 10, 1) == 0:
            seen.append(resident())
            objects.append(len(gc.get_objects()))
            print(
                f"  step {step:6}/{steps}  {seen[-1] / 2**20:8.1f} MiB  {objects[-1]:8} objects", flush=True
            )
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    seconds = time.perf_counter() - start
    return {
        "growth_bytes": seen[-1] - seen[1],
        "growth_objects": objects[-1] - objects[1],
        "resident_bytes": seen[-1],
        "seconds": round(seconds, 2),
    }


def long_chain(t: Any, length: int) -> dict[str, float]:
    """Go backward through a chain of operations; return the seconds each way; check the gradient."""
    x, one = t.ones(1, requires_grad=True), t.ones(1)
    start = time.perf_counter()
    y = x
    for _ in range(length // 2):
        y = y * one + one
    middle = time.perf_counter()
    y.sum().backward()
    end = time.perf_counter()
    assert x.grad.item() == 1.0, x.grad
    del y  # frees the whole chain, which must not recurse either
    return {
        "operations": length // 2 * 2,
        "forward_s": round(middle - start, 3),
        "backward_s": round(end - middle, 3),
    }


def main() -> int:
    """Run both and print them."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--steps", type=int, default=10_000)
    p.add_argument("--chain", type=int, default=100_000)
    p.add_argument("--library", choices=["flowtorch", "torch"], default="flowtorch")
    p.add_argument("--json", metavar="FILE")
    args = p.parse_args()
    sys.path.insert(0, str(ROOT))
    t = importlib.import_module(args.library)
    print(f"{args.steps} training steps of an MLP")
    report = {"library": args.library, "mlp": mlp_growth(t, args.steps), "chain": long_chain(t, args.chain)}
    print(f"growth after the first tenth: {report['mlp']['growth_bytes'] / 1024:.0f} KiB in "
          f"{report['mlp']['growth_objects']} objects")  # fmt: skip
    c = report["chain"]
    print(f"chain of {c['operations']} operations: forward {c['forward_s']} s, backward {c['backward_s']} s")
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
