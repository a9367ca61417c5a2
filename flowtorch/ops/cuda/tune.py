"""``python -m flowtorch tune``: measure candidate configurations on the GPU at hand and write the table.

    python -m flowtorch tune [--dtypes bfloat16,float32] [--classes lll,mml] [--write] [--out FILE]
    python -m flowtorch tune --check sm_90

Each class of shapes is measured on a representative size; the fastest candidate is printed, and with --write kept in
triton_kernels/tuned.py under the device's architecture. --check needs no GPU: it compiles every candidate for an
architecture and names those that spill registers or take more shared memory than there is.
"""

from __future__ import annotations

import argparse
import importlib
import pprint
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SIZES = {"s": 64, "m": 512, "l": 4096}
"""The size that stands for a class."""
SHARED = {"sm_80": 163 * 1024, "sm_90": 227 * 1024}


def main(argv: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m flowtorch tune")
    parser.add_argument("--dtypes", default="float16,bfloat16,float32,float64")
    parser.add_argument("--classes", default="")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table there instead, class by class")
    parser.add_argument("--check", metavar="ARCHITECTURE")
    options = parser.parse_args(argv)
    if options.check:
        return check(options.check, options.dtypes.split(","))
    import flowtorch

    if not flowtorch.cuda.is_available() or flowtorch.cuda.cupy() is None:
        print("there is no GPU here to measure on (CuPy, Triton and a CUDA device are needed)", file=sys.stderr)
        return 1
    from flowtorch.array.cuda import kernel_module

    tuning = kernel_module("tuning")
    found = {}
    for dtype in options.dtypes.split(","):
        for kind in options.classes.split(",") if options.classes else tuning.CLASSES:
            sizes = tuple(SIZES[letter] for letter in kind)
            best, times = fastest(dtype, sizes, tuning.matmul_candidates(dtype), measured)
            found[f"{dtype} {kind}"] = best
            if options.out:  # after each class: a run that is cut off has not been in vain
                write(tuning.architecture, found, options.out)
            print(f"{dtype} {kind}: {best} in {min(times):.1f} us, the slowest {max(times):.1f} us", flush=True)
    if options.write:
        write(tuning.architecture, found)
    return 0


def fastest(
    dtype: str, sizes: tuple[int, ...], candidates: Iterator[dict], measure: Callable[[str, tuple, dict], float]
) -> tuple[dict, list[float]]:
    """The candidate that takes the least time, and the times of all that run."""
    times, kept = [], []
    for candidate in candidates:
        try:
            times.append(measure(dtype, sizes, candidate))
        except RuntimeError:  # more shared memory or registers than there are
            continue
        kept.append(candidate)
    return kept[times.index(min(times))], times


def measured(dtype: str, sizes: tuple[int, ...], candidate: dict[str, Any]) -> float:
    """Microseconds of one product with a candidate."""
    import flowtorch as torch
    from flowtorch.array.cuda import kernel_module

    tuning = kernel_module("tuning")
    rows, cols, inner = sizes
    a, b = torch.randn(rows, inner, device="cuda"), torch.randn(inner, cols, device="cuda")
    a, b = (x.to(getattr(torch, dtype)) for x in (a, b))
    table = tuning.MEASURED.setdefault(tuning.architecture, {}).setdefault("matmul", {})
    kind = tuning.matmul_class(dtype, *sizes)
    before = table.get(kind)
    table[kind] = candidate
    try:
        for _ in range(3):
            a @ b
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(20):
            a @ b
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) * 1000 / 20
    finally:
        table.pop(kind)
        if before is not None:
            table[kind] = before


def write(architecture: str, found: dict[str, dict], path: Path | None = None) -> None:
    """Put measured classes into the table, beside those of other architectures and families."""
    module = _module("tuned")
    table = module.MEASURED | {architecture: {**module.MEASURED.get(architecture, {})}}
    table[architecture]["matmul"] = table[architecture].get("matmul", {}) | found
    path = Path(module.__file__) if path is None else path
    head = path.read_text().partition("MEASURED")[0] if path.exists() else Path(module.__file__).read_text()
    head = head.partition("MEASURED")[0]
    kind = "dict[str, dict[str, dict[str, dict[str, Any]]]]"
    path.write_text(f"{head}MEASURED: {kind} = {pprint.pformat(table, width=116)}\n")


def _module(name: str) -> Any:
    """A module of the kernels' package, without a device to launch on."""
    from flowtorch.array.cuda import _package

    return importlib.import_module(f"{_package().__name__}.{name}")


def check(architecture: str, dtypes: list[str]) -> int:
    """Compile all candidates; the exit status says whether one does not compile."""
    from triton.backends.compiler import GPUTarget

    matmul, tuning, compile = map(_module, ("matmul", "tuning", "compile"))
    failed = count = 0
    for dtype in dtypes:
        for candidate in tuning.matmul_candidates(dtype):
            if "tile" not in candidate:
                continue
            tuning.MEASURED["checked"] = {"matmul": {f"{dtype} lll": candidate}}
            tuning.architecture = "checked"
            call = matmul.prepare((dtype,) * 3, (4096,) * 3, ((4096, 1),) * 3, aligned=True)
            count += 1
            try:
                binary = compile.compile_kernel(call.kernel, GPUTarget("cuda", int(architecture[3:]), 32))
            except compile.CompileError as error:
                failed += 1
                print(f"{dtype} {candidate}: {error}")
                continue
            spilled = compile.resource_usage(binary.asm["cubin"])["STACK"]
            if spilled or binary.metadata.shared > SHARED.get(architecture, 96 * 1024):
                print(f"{dtype} {candidate}: spills {spilled} bytes, {binary.metadata.shared} of shared memory")
    print(f"{count} candidates, {failed} do not compile for {architecture}")
    return int(bool(failed))
