"""Kernels compiled ahead of time, for each architecture a table of registers, spills, shared memory and accesses.

    FLOWTORCH_CUDA=interpret python benchmarks/aot.py [--targets sm_80,sm_90,gfx942] [--filter WORD] [--registry]
        [--write] [--keep] [--part K/N]

No GPU is needed. Calls run with launches replaced by compilation, for tensors whose memory is the host's and whose
contents mean nothing, with the tile sizes that a GPU gets. A list of ordinary calls of ordinary sizes is compiled, and
with --registry all functions that have samples, at the samples' sizes. --write puts each table into benchmarks/results/
as aot-<target>.json, a line for each kernel, when the target is done. The whole takes a quarter of an hour and more per
target, the ordinary calls a minute. --keep puts the binaries for one target into the cache instead, and --part K/N
takes every N-th function, so that several processes can share the work.
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
    runtime = SimpleNamespace(getDevice=lambda: 0)
    memory = SimpleNamespace(
        empty=np.zeros, zeros=np.zeros, asarray=np.array, linalg=np.linalg, cuda=SimpleNamespace(runtime=runtime)
    )
    cuda.array_module = lambda: memory
    from flowtorch.ops.cuda import blas

    blas.product = lambda *args, **kwargs: None  # kernels of ours for every product
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


def backward(function, *inputs):
    """Run forward and backward."""
    given = [x.requires_grad_() if x.is_floating_point() else x for x in inputs]
    return lambda: function(*given).sum().backward()


def layers() -> dict:
    """Calls of layers and losses, forward and backward."""
    x, half = numbers(256, 1024), numbers(256, 1024, dtype="bfloat16")
    w = numbers(1024)
    image, filters = numbers(8, 64, 28, 28), numbers(64, 64, 3, 3)
    heads = [numbers(2, 8, 512, 64, dtype="bfloat16") for _ in range(3)]
    wide = [numbers(1, 4, 256, 128, dtype="float16") for _ in range(3)]
    single = [numbers(1, 4, 256, 64) for _ in range(3)]
    attend = F.scaled_dot_product_attention
    return {
        "layer_norm": backward(lambda x, w: F.layer_norm(x, (1024,), w, w), x, w),
        "layer_norm bfloat16": backward(lambda x: F.layer_norm(x, (1024,)), half),
        "rms_norm": backward(lambda x, w: F.rms_norm(x, (1024,), w), x, w),
        "batch_norm": backward(lambda x: F.batch_norm(x, None, None, training=True), image),
        "cross_entropy": backward(lambda x: F.cross_entropy(x, indices(256)), half),
        "nll_loss": backward(lambda x: F.nll_loss(x, indices(256)), x),
        "mse_loss": backward(lambda x: F.mse_loss(x, x * 0), x),
        "attention": backward(lambda q, k, v: attend(q, k, v, is_causal=True), *heads),
        "attention 128": backward(lambda q, k, v: attend(q, k, v), *wide),
        "attention float32": backward(lambda q, k, v: attend(q, k, v), *single),
        "conv2d": backward(lambda x, w: F.conv2d(x, w, padding=1), image, filters),
        "conv2d bfloat16": backward(lambda x, w: F.conv2d(x.to(memory_format=ft.channels_last), w, padding=1),
                                    image.detach().bfloat16(), filters.detach().bfloat16()),
        "conv2d depthwise": backward(lambda x, w: F.conv2d(x, w, padding=1, groups=64), image, numbers(64, 1, 3, 3)),
        "max_pool2d": backward(lambda x: F.max_pool2d(x, 2), image),
        "avg_pool2d": backward(lambda x: F.avg_pool2d(x, 3, 2, 1), image),
        "adaptive_avg_pool2d": backward(lambda x: F.adaptive_avg_pool2d(x, (4, 4)), image),
        "interpolate": backward(lambda x: F.interpolate(x, (40, 40), mode="bilinear"), image),
        "embedding bag": backward(lambda w: F.embedding_bag(indices(8), w, indices(1)), x),
        "deterministic embedding": backward(lambda w: _ordered(w), half),
        "unfold": backward(lambda x: F.unfold(x, 3), image),
        "unique": lambda: x.unique(),
        "searchsorted": lambda: ft.searchsorted(w, x),
        "histc": lambda: x.histc(10, 0, 1),
        "solve_triangular": lambda: ft.linalg.solve_triangular(numbers(64, 64), numbers(64, 8), upper=True),
        "special": lambda: [getattr(ft.special, name)(x) for name in ("i0e", "i1", "bessel_j0", "erfcx", "log_ndtr")],
        "series": lambda: [getattr(ft.special, name)(x) for name in ("airy_ai", "modified_bessel_k0", "logit")],
        "two parameters": lambda: [f(x, x) for f in (ft.special.zeta, ft.igamma, ft.igammac, ft._standard_gamma_grad)],
        "polygamma": lambda: ft.polygamma(2, x),
        "dirichlet": lambda: ft._dirichlet_grad(x, x, x),
        "chebyshev": lambda: ft.special.chebyshev_polynomial_t(x, x),
        "complex": lambda: (ft.complex(x, x) * ft.complex(x, x)).exp().abs(),
        "gcd": lambda: ft.gcd(indices(100), indices(100)),
    }


def _ordered(w):
    ft.use_deterministic_algorithms(True)
    try:
        return F.embedding(indices(64), w)
    finally:
        ft.use_deterministic_algorithms(False)


def stepped(name, dtype="float32", **options):
    """One step of the optimiser `name` on a few parameters."""
    params = [numbers(*shape, dtype=dtype).requires_grad_() for shape in ((512, 1024), (1024,))]
    for p in params:
        p.grad = numbers(*p.shape, dtype=dtype)
    return getattr(ft.optim, name)(params, **options).step


def lists() -> dict:
    """Optimisers and functions of lists of tensors."""
    params = [numbers(512, 1024), numbers(1024)]
    return {
        "optimizer AdamW": stepped("AdamW"),
        "optimizer AdamW bfloat16": stepped("AdamW", "bfloat16", fused=True),
        "optimizer AdamW capturable": stepped("AdamW", capturable=True, amsgrad=True),
        "optimizer SGD": stepped("SGD", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
        "optimizer RMSprop": stepped("RMSprop", centered=True, momentum=0.5),
        "optimizer RAdam": stepped("RAdam", capturable=True),
        "foreach lerp": lambda: ft._foreach_lerp_(params, params, 0.5),
        "foreach norm": lambda: ft._foreach_norm(params),
    }


def calls() -> dict:
    """Ordinary calls by name, each a function of nothing."""
    return {**basic(), **layers(), **lists()}


def basic() -> dict:
    """Copies, reductions, products, indices, scans, sorting, random numbers."""
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


def registry() -> dict:
    """Every function with samples by its name: a function of nothing that calls it, and its derivative."""
    from flowtorch.testing import samples

    return {name: lambda spec=spec: sampled(spec) for name, spec in sorted(samples.load().items())}


def sampled(spec) -> None:
    """Call a function with its first samples of three dtypes; what it makes of the contents is of no interest."""
    from itertools import islice

    from flowtorch.testing import samples

    function = samples.find(ft, spec.name)
    for dtype in [name for name in ("float32", "bfloat16", "int64") if name in spec.dtypes]:
        for sample in islice(spec.samples(dtype), 2):
            sample = sample.map_arrays(lambda array: array.with_(device="cuda"))
            try:
                args, kwargs = sample.build(ft, dtype == "float32")
                results = function(*args, **kwargs)
                for result in results if isinstance(results, (tuple, list)) else [results]:
                    if isinstance(result, ft.Tensor) and result.requires_grad and result.is_floating_point():
                        result.sum().backward()
            except Exception:
                continue  # not every sample takes this dtype; what was recorded before counts


def keep(chosen: dict, wanted: str) -> int:
    """Put the binaries of all kernels into the cache, where programs find them; returns how many there are."""
    from flowtorch.codegen.folders import cache_folder

    collector = install()
    for call in chosen.values():
        call()
    binaries = cuda.kernel_module("binaries")
    for kernel in collector.kernels.values():
        binaries.binary(kernel, target(wanted), cache_folder())
    return len(collector.kernels)


def recorded(chosen: dict) -> list[tuple]:
    """The kernels that calls launch, each with the name of the call that was first to need it."""
    collector = install()
    found: list[tuple] = []
    for name, call in chosen.items():
        before = len(collector.kernels)
        call()
        found += [(name, kernel) for kernel in list(collector.kernels.values())[before:]]
    return found


def compiled(chosen: list[tuple], wanted: str, report=print) -> tuple[list[dict], int]:
    """The rows of a target's table for the `recorded` kernels, and how many failed to compile."""
    rows, failed = [], 0
    for name, kernel in chosen:
        try:
            row = {"call": name} | measure(kernel, target(wanted))
        except Exception as error:
            failed += 1
            report(f"{name}: {kernel.function.__name__} for {wanted}: {type(error).__name__}: {error}")
            report(kernel.source)
            continue
        rows.append(row)
        report(f"{name:18} {wanted:7} {row['kernel'][:40]:40} registers {row['registers']:4} "
               f"spilled {row['spilled']:4} shared {row['shared']:7} bytes {row.get('widest_access', 0):3}"
               f"{' tensor cores' if row.get('tensor_cores') else ''}")  # fmt: skip
    return rows, failed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--targets", default="sm_80,sm_90,gfx942")
    parser.add_argument("--registry", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--filter", default="")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--part", default="0/1", metavar="K/N")
    options = parser.parse_args()
    chosen = calls() | (registry() if options.registry else {})
    chosen = {name: call for name, call in chosen.items() if re.search(options.filter, name)}
    part, count = map(int, options.part.split("/"))
    chosen = {name: call for k, (name, call) in enumerate(chosen.items()) if k % count == part}
    if options.keep:
        print(f"{keep(chosen, options.targets)} binaries for {options.targets} in the cache")
        return
    kernels, failures = recorded(chosen), 0
    for wanted in options.targets.split(","):
        rows, failed = compiled(kernels, wanted)
        failures += failed
        spilling = sorted({row["kernel"] for row in rows if row["spilled"]})
        print(f"{wanted}: {len(rows)} kernels, {len(spilling)} with spills: {', '.join(spilling)}", flush=True)
        if options.write:
            text = ",\n".join(json.dumps(row) for row in rows)
            (Path(__file__).parent / "results" / f"aot-{wanted}.json").write_text(f"[\n{text}\n]\n")
    print(f"{failures} failed")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
