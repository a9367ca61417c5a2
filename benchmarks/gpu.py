"""flowtorch on a GPU, beside PyTorch where it is installed: one command, results with the device's name.

    python benchmarks/gpu.py [--filter WORD] [--json FILE] [--quick]
    FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python benchmarks/gpu.py --dry-run

Each line gives microseconds per call for flowtorch and PyTorch and their ratio; memory-bound calls also the bandwidth
and its share of what a device copy reaches, products the operations per second. Training steps of GPT-2 small,
ResNet-50 and a vision transformer are measured eagerly and as a captured graph, with the largest memory in use. Results
go to benchmarks/results/gpu_<device>.json. Without a GPU it says so; a dry run does everything once with tiny sizes in
Triton's interpreter, without taking times, to show that it all still runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import gpu_models

import flowtorch as ft


def libraries():
    """flowtorch, and PyTorch if it is there with a GPU."""
    found = {"flowtorch": ft}
    try:
        import torch
    except ImportError:
        return found
    if torch.cuda.is_available():
        found["torch"] = torch
    return found


def measure(library, call, seconds: float) -> float:
    """Microseconds per call on the device, the median of several runs between events."""
    for _ in range(3):
        call()
    library.cuda.synchronize()
    started, calls = time.perf_counter(), 0
    while time.perf_counter() - started < seconds / 10:
        call()
        calls += 1
    library.cuda.synchronize()
    calls = max(1, int(calls * seconds / 5 / max(time.perf_counter() - started, 1e-9) / 5))
    found = []
    for _ in range(5):
        start, end = (library.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(calls):
            call()
        end.record()
        library.cuda.synchronize()
        found.append(start.elapsed_time(end) * 1000 / calls)
    return statistics.median(found)


def overhead(library, call) -> float:
    """Microseconds of the host per call of something small."""
    for _ in range(20):
        call()
    library.cuda.synchronize()
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(200):
            call()
        best = min(best, (time.perf_counter() - start) / 200 * 1e6)
        library.cuda.synchronize()
    return best


def cases(t, scale: int = 1) -> dict:
    """Calls by name: (function, bytes moved or None, operations or None); sizes are divided by a power of `scale`."""
    F = t.nn.functional

    def new(*shape, dtype="float32", grad=False):
        return t.randn(*shape, device="cuda").to(getattr(t, dtype)).requires_grad_(grad)

    found = {}
    n = (1 << 26) // scale**2
    row = 4096 // scale
    big, low = new(n), new(n, dtype="bfloat16")
    for name, call, size in (
        ("copy", lambda: big.clone(), 8 * n), ("add", lambda: big + big, 12 * n), ("gelu", lambda: F.gelu(big), 8 * n),
        ("add bfloat16", lambda: low + low, 6 * n), ("sum", lambda: big.sum(), 4 * n),
        ("sum rows", lambda: big.view(-1, row).sum(1), 4 * n),
        ("sum columns", lambda: big.view(-1, row).sum(0), 4 * n),
        ("softmax", lambda: big.view(-1, row).softmax(-1), 8 * n),
        ("layer_norm", lambda: F.layer_norm(low.view(-1, row), (row,)), 4 * n),
        ("transpose", lambda: big.view(8192 // scale, -1).t().contiguous(), 8 * n),
        ("cumsum", lambda: big.view(-1, row).cumsum(1), 8 * n),
        ("rand", lambda: t.rand(n, device="cuda"), 4 * n), ("dropout", lambda: F.dropout(big), 8 * n),
    ):  # fmt: skip
        found[name] = (call, size, None)
    logits = new(8192 // scale, 50304 // scale, dtype="bfloat16")
    target = t.zeros(8192 // scale, dtype=t.int64, device="cuda")
    found["cross_entropy"] = (lambda: F.cross_entropy(logits, target), 2 * logits.numel(), None)
    for dtype in ("bfloat16", "float16", "float32"):
        a, b = new(row, row, dtype=dtype), new(row, row, dtype=dtype)
        found[f"matmul {dtype}"] = (lambda a=a, b=b: a @ b, None, 2 * row**3)
    length = 2048 // scale
    q, k, v = (new(4, 16 if scale == 1 else 2, length, 64, dtype="bfloat16") for _ in range(3))
    attend = F.scaled_dot_product_attention
    found["attention"] = (lambda: attend(q, k, v, is_causal=True), None, 2 * 4 * 16 * length * length * 64)
    c = 256 if scale == 1 else 8
    image, filters = new(32, c, 28, 28, dtype="bfloat16"), new(c, c, 3, 3, dtype="bfloat16")
    found["conv2d"] = (lambda: F.conv2d(image, filters, padding=1), None, 2 * 32 * 28 * 28 * c * c * 9)
    rows = new((1 << 24) // scale**2)
    found["sort"] = (lambda: rows.view(-1, 1024 if scale == 1 else 16).sort(1), None, None)
    weight, places = new(50304 // scale, 1024 // scale, grad=True), t.randint(0, 50304 // scale, (64,), device="cuda")
    found["embedding backward"] = (lambda: t.autograd.grad(F.embedding(places, weight).sum(), weight), None, None)
    return found


def captured(library, step):
    """A replay of the step as a graph."""
    for _ in range(3):
        step()
    graph = library.cuda.CUDAGraph()
    with library.cuda.graph(graph):
        step()
    return graph.replay


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--filter", default="")
    parser.add_argument("--json")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args(argv)
    if not options.dry_run and (not ft.cuda.is_available() or ft.cuda.get_device_capability() == (0, 0)):
        sys.exit("benchmarks/gpu.py: there is no GPU here (CuPy, Triton and a CUDA device are needed)")
    device = "dry run" if options.dry_run else ft.cuda.get_device_name()
    print(device)
    bench = Bench(options.filter, options.dry_run, 0.2 if options.quick else 1.0)
    results: dict = {"device": device, "flowtorch": ft.__version__, "cases": {}}
    for part in (bench.calls, bench.overhead, bench.training):
        for name, row, size, operations in part():
            report(results, name, row, size, operations)
    if options.dry_run and not options.json:
        return
    file = f"gpu_{device.replace(' ', '-')}.json"
    target = Path(options.json or Path(__file__).parent / "results" / file)
    target.write_text(json.dumps(results, indent=1) + "\n")
    print("written to", target)


class Bench:
    """What is measured, each part as rows of (name, figures, bytes moved, operations)."""

    def __init__(self, filter: str, dry: bool, seconds: float) -> None:
        self.filter, self.dry, self.seconds = filter, dry, seconds
        self.libraries = {"flowtorch": ft} if dry else libraries()

    def time(self, library, call) -> float:
        """Microseconds per call; a dry run calls once."""
        if self.dry:
            call()
            return 0.0
        return measure(library, call, self.seconds)

    def row(self, figures) -> dict:
        """What `figures(library name, library)` gives for each library, or its error."""
        row: dict = {}
        for who, library in self.libraries.items():
            try:
                row |= figures(who, library)
            except Exception as error:
                if self.dry:
                    raise
                row[f"{who} error"] = f"{type(error).__name__}: {error}"[:200]
        return row

    def calls(self):
        tables = {who: cases(library, 64 if self.dry else 1) for who, library in self.libraries.items()}
        for name, (_, size, operations) in tables["flowtorch"].items():
            if self.filter in name:
                row = self.row(lambda who, library, name=name: {who: self.time(library, tables[who][name][0])})
                yield name, row, size, operations

    def overhead(self):
        if self.filter not in "overhead":
            return
        small = {who: library.ones(16, device="cuda") for who, library in self.libraries.items()}
        calls = {"add": lambda x: x + x, "sum": lambda x: x.sum(), "softmax": lambda x: x.softmax(0),
                 "view and copy": lambda x: x.view(4, 4).t().contiguous()}  # fmt: skip
        for name, call in calls.items():
            row = self.row(lambda who, library, call=call: {who: self.host_time(library, call, small[who])})
            yield f"overhead of {name} (host)", row, None, None

    def host_time(self, library, call, x) -> float:
        if self.dry:
            call(x)
            return 0.0
        return overhead(library, lambda: call(x))

    def training(self):
        sizes = gpu_models.TINY if self.dry else gpu_models.FULL
        for name in gpu_models.steps(ft, sizes):
            if self.filter not in name:
                continue
            for dtype in ("float32", "bfloat16"):
                for kind in ("eager",) if self.dry else ("eager", "captured"):

                    def figures(who, library, name=name, dtype=dtype, kind=kind):
                        if not self.dry:
                            library.cuda.empty_cache()
                            library.cuda.reset_peak_memory_stats()
                        step = gpu_models.steps(library, sizes)[name](dtype)
                        found = {who: self.time(library, step if kind == "eager" else captured(library, step))}
                        return found if self.dry else found | {f"{who} bytes": library.cuda.max_memory_allocated()}

                    yield f"{name} {dtype}, {kind}", self.row(figures), None, None


def report(results: dict, name: str, row: dict, size: int | None, operations: int | None) -> None:
    """Add the derived figures, keep the row, and print it."""
    own = row.get("flowtorch")
    if own and row.get("torch"):
        row["ratio"] = own / row["torch"]
    if row.get("flowtorch bytes") and row.get("torch bytes"):
        row["ratio of bytes"] = row["flowtorch bytes"] / row["torch bytes"]
    if own and size:
        row["GB/s"] = size / own / 1e3
        copy = results["cases"].get("copy", row).get("GB/s")
        row["share of copy"] = row["GB/s"] / copy if copy else 1.0
    if own and operations:
        row["TFLOP/s"] = operations / own / 1e6
    results["cases"][name] = row
    shown = [f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()]
    print(f"{name:34} {'  '.join(shown)}", flush=True)


if __name__ == "__main__":
    main()
