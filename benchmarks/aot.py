"""Every kernel that a list of ordinary calls launches, compiled ahead of time: registers, spills, accesses.

    FLOWTORCH_CUDA=interpret python benchmarks/aot.py [--targets sm_80,sm_90,gfx942] [--json FILE] [--filter WORD]

No GPU is needed. The calls run with launches replaced by compilation, for tensors whose memory is the host's and whose
contents mean nothing, with the tile sizes that a GPU gets. The table is committed as benchmarks/results/aot.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("FLOWTORCH_CUDA", "interpret")

import numpy as np

import flowtorch as ft
from flowtorch.array import cuda

F = ft.nn.functional


def target(name: str):
    """The compilation target of that name."""
    from triton.backends.compiler import GPUTarget

    return GPUTarget("cuda", int(name[3:]), 32) if name.startswith("sm_") else GPUTarget("hip", name, 64)


@dataclass
class Collector:
    """A launcher that keeps the kernels it is given instead of running them."""

    kernels: dict = field(default_factory=dict)

    def __call__(self, kernel, grid, arguments) -> None:
        assert len(arguments) == len(kernel.signature), kernel.function.__name__
        key = (kernel.source, tuple(kernel.signature.items()), tuple(map(str, kernel.constants.items())),
               kernel.divisible, kernel.warps, kernel.stages)  # fmt: skip
        self.kernels.setdefault(key, kernel)


def install() -> Collector:
    """Make launches in this process end in a Collector, and new device arrays hold zeros."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise RuntimeError("kernels cannot be compiled in a process that interprets them")
    package = cuda._package()
    cuda.kernels = lambda: package
    cuda.array_module = lambda: SimpleNamespace(empty=np.zeros, zeros=np.zeros)
    collector = Collector()
    cuda.kernel_module("launch").install(collector)
    return collector


def measure(kernel, where) -> dict:
    """What the compiled kernel uses."""
    module = cuda.kernel_module("compile")
    binary = module.compile_kernel(kernel, where)
    row = {"kernel": kernel.function.__name__, "types": " ".join(kernel.signature.values()), "warps": kernel.warps}
    row["constants"] = {name: str(value) for name, value in kernel.constants.items()}
    if where.backend == "hip":
        text = binary.asm["amdgcn"]
        found = {k: int(v) for k, v in re.findall(r"\.(vgpr_count|vgpr_spill_count):\s+(\d+)", text)}
        return row | {"registers": found["vgpr_count"], "spilled": found["vgpr_spill_count"],
                      "shared": binary.metadata.shared}  # fmt: skip
    usage, ptx = module.resource_usage(binary.asm["cubin"]), binary.asm["ptx"]
    widths = [
        int(vector or 1) * int(size) // 8
        for vector, size in re.findall(r"(?:ld|st)\.global(?:\.[a-z:0-9_]+?)*?(?:\.v(\d))?\.[bfsu](\d+)", ptx)
    ]
    widths += [int(size, 0) for size in re.findall(r"cp\.async\.c[ag]\.shared\.global[^,]*, [^,]*, (\w+)", ptx)]
    return row | {
        "registers": usage["REG"], "spilled": usage["STACK"], "shared": binary.metadata.shared,
        "widest_access": max(widths, default=0), "tensor_cores": bool(re.search(r"\bw?g?mma\.", ptx)),
    }  # fmt: skip


def numbers(*shape, dtype="float32"):
    return ft.empty(shape, dtype=getattr(ft, dtype), device="cuda")


def indices(*shape):
    return ft.zeros(shape, dtype=ft.int64, device="cuda")


def calls() -> dict:
    """Ordinary calls by name, each a function of nothing."""
    x, half = numbers(512, 1024), numbers(512, 1024, dtype="bfloat16")
    picked = indices(512)
    return {
        "gelu": lambda: F.gelu(half),
        "add mixed": lambda: half + x,
        "softmax": lambda: x.softmax(-1),
        "log_softmax long": lambda: numbers(64, 50304, dtype="bfloat16").log_softmax(-1),
        "sum rows": lambda: x.sum(1),
        "sum columns": lambda: half.sum(0),
        "mean all": lambda: numbers(1 << 22).mean(),
        "var": lambda: x.var(1),
        "norm": lambda: x.norm(),
        "argmax": lambda: half.argmax(1),
        "max": lambda: x.max(0),
        "matmul": lambda: numbers(1024, 1024, dtype="float16") @ numbers(1024, 1024, dtype="float16"),
        "matmul bfloat16": lambda: numbers(1024, 1024, dtype="bfloat16") @ numbers(1024, 4096, dtype="bfloat16"),
        "matmul float32": lambda: numbers(1024, 1024) @ numbers(1024, 1024),
        "linear": lambda: F.linear(half, numbers(256, 1024, dtype="bfloat16"), numbers(256, dtype="bfloat16")),
        "baddbmm": lambda: ft.baddbmm(numbers(64), numbers(8, 64, 64), numbers(8, 64, 64), beta=0.5, alpha=2.0),
        "cat": lambda: ft.cat([x, x], 1),
        "transposing copy": lambda: x.t().contiguous(),
        "flip": lambda: x.flip(1),
        "pad": lambda: F.pad(x, (1, 1)),
        "tril": lambda: x.tril(),
        "where": lambda: ft.where(x > 0, x, half),
        "masked_fill": lambda: half.masked_fill(half > 0, 1.0),
        "gather": lambda: x.gather(1, indices(512, 8)),
        "index_select": lambda: half.index_select(0, picked),
        "embedding": lambda: F.embedding(picked, half),
        "scatter_add": lambda: x.scatter_add(1, indices(512, 8), numbers(512, 8)),
        "scatter_reduce": lambda: half.scatter_reduce(1, indices(512, 8), half[:, :8], "amax"),
        "index_put": lambda: x.index_put((picked,), x, accumulate=True),
        "cumsum": lambda: x.cumsum(1),
        "cumprod": lambda: x.cumprod(0),
        "logcumsumexp": lambda: x.logcumsumexp(1),
        "cummax": lambda: half.cummax(1),
        "sort": lambda: x.sort(1),
        "sort wide": lambda: numbers(4, 100_000, dtype="float64").sort(),
        "topk": lambda: half.topk(8),
        "uniform": lambda: ft.rand(1000, device="cuda"),
        "normal": lambda: ft.randn(1000, device="cuda", dtype=ft.float64),
        "bernoulli": lambda: F.dropout(half),
        "randint": lambda: ft.randint(0, 10, (1000,), device="cuda"),
        "poisson": lambda: ft.poisson(x),
        "gamma": lambda: ft._standard_gamma(x),
        "multinomial": lambda: ft.multinomial(x, 4, True),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--targets", default="sm_80,sm_90")
    parser.add_argument("--json")
    parser.add_argument("--filter", default="")
    options = parser.parse_args()
    rows, failed = [], 0
    collector = install()
    for name, call in calls().items():
        if options.filter not in name:
            continue
        before = set(collector.kernels)
        call()
        for key in [key for key in collector.kernels if key not in before]:
            for wanted in options.targets.split(","):
                kernel = collector.kernels[key]
                try:
                    row = {"call": name, "target": wanted} | measure(kernel, target(wanted))
                except Exception as error:
                    failed += 1
                    print(f"{name}: {kernel.function.__name__} for {wanted}: {type(error).__name__}: {error}")
                    print(kernel.source)
                    continue
                rows.append(row)
                print(f"{name:18} {wanted:7} {row['kernel'][:40]:40} registers {row['registers']:4} "
                      f"spilled {row['spilled']:4} shared {row['shared']:7} "
                      f"bytes {row.get('widest_access', 0):3}{' tensor cores' if row.get('tensor_cores') else ''}")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=0) + "\n")
    print(f"{len(rows)} binaries, {sum(row['spilled'] > 0 for row in rows)} with spills, {failed} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
