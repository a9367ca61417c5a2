"""flowtorch on a GPU, beside PyTorch where it is installed: one command, results with the device's name.

    python benchmarks/gpu.py [--filter WORD] [--json FILE] [--quick] [--parts calls,training] [--budget SECONDS]
    FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python benchmarks/gpu.py --dry-run

Each line gives microseconds per call for flowtorch and PyTorch and their ratio; memory-bound calls also the bandwidth
and its share of what a device copy reaches, products the operations per second. Training steps of GPT-2 small,
ResNet-50 and a vision transformer are measured eagerly and as a captured graph, with the largest memory in use.
Results go to benchmarks/results/gpu_<device>.json after each case; benchmarks/gpu_session.py runs this and all other
checks that want a GPU. Without a GPU it says so; a dry run does everything once with tiny sizes in Triton's
interpreter, without taking times, to show that it all still runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from functools import partial
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


def memory_bound(t, scale: int) -> dict:
    """Functions that make a call, and the bytes that the call moves; sizes are divided by powers of `scale`."""
    F = t.nn.functional
    n, row = (1 << 26) // scale**2, 4096 // scale

    def on(function, shape=(n,), dtype="float32"):
        def make():
            x = t.randn(*shape, device="cuda").to(getattr(t, dtype))
            return lambda: function(x)

        return make

    def backward(function, shape, dtype="bfloat16"):
        def make():
            x = t.randn(*shape, device="cuda").to(getattr(t, dtype)).requires_grad_()
            y = function(x)
            g = t.ones_like(y)
            return lambda: t.autograd.grad(y, x, g, retain_graph=True)

        return make

    rows = (n // row, row)
    text, words = 8192 // scale, 50304 // scale
    target = t.zeros(text, dtype=t.int64, device="cuda")
    return {
        "copy": (on(lambda x: x.clone()), 8 * n), "add": (on(lambda x: x + x), 8 * n), "gelu": (on(F.gelu), 8 * n),
        "add bfloat16": (on(lambda x: x + x, dtype="bfloat16"), 4 * n), "sum": (on(lambda x: x.sum()), 4 * n),
        "sum rows": (on(lambda x: x.sum(1), rows), 4 * n), "sum columns": (on(lambda x: x.sum(0), rows), 4 * n),
        "softmax": (on(lambda x: x.softmax(-1), rows), 8 * n),
        "softmax backward": (backward(lambda x: x.softmax(-1), rows), 6 * n),
        "layer_norm": (on(lambda x: F.layer_norm(x, (row,)), rows, "bfloat16"), 4 * n),
        "layer_norm backward": (backward(lambda x: F.layer_norm(x, (row,)), rows), 6 * n),
        "transpose": (on(lambda x: x.t().contiguous(), (8192 // scale, n * scale // 8192)), 8 * n),
        "cumsum": (on(lambda x: x.cumsum(1), rows), 8 * n), "dropout": (on(F.dropout), 8 * n),
        "rand": (lambda: lambda: t.rand(n, device="cuda"), 4 * n),
        "cross_entropy": (on(lambda x: F.cross_entropy(x, target), (text, words), "bfloat16"), 2 * text * words),
        "cross_entropy backward": (backward(lambda x: F.cross_entropy(x, target), (text, words)), 4 * text * words),
    }  # fmt: skip


def compute_bound(t, scale: int) -> dict:
    """Functions that make a call, and the operations of the call (None where they are not counted)."""
    F = t.nn.functional
    row, length, c = 4096 // scale, 2048 // scale, 256 if scale == 1 else 8
    heads = 16 if scale == 1 else 2

    def new(*shape, dtype="bfloat16", grad=False):
        return t.randn(*shape, device="cuda").to(getattr(t, dtype)).requires_grad_(grad)

    def product(dtype):
        a, b = new(row, row, dtype=dtype), new(row, row, dtype=dtype)
        return lambda: a @ b

    def attention(grad, causal=True):
        q, k, v = (new(4, heads, length, 64, grad=grad) for _ in range(3))
        return derivative(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=causal), grad and (q, k, v))

    def convolution(grad):
        x, w = new(32, c, 28, 28, grad=grad), new(c, c, 3, 3, grad=grad)
        return derivative(lambda: F.conv2d(x, w, padding=1), grad and (x, w))

    def derivative(call, inputs):
        if not inputs:
            return call
        y = call()
        g = t.ones_like(y)
        return lambda: t.autograd.grad(y, inputs, g, retain_graph=True)

    def sort():
        x = new(1 << 24 if scale == 1 else 64, dtype="float32")
        return lambda: x.view(-1, 1024 if scale == 1 else 16).sort(1)

    def embedding():
        weight, places = new(50304 // scale, row // 4, grad=True), t.randint(0, 50304 // scale, (64,), device="cuda")
        return lambda: t.autograd.grad(F.embedding(places, weight).sum(), weight)

    pairs, window = 2 * 4 * heads * length * length * 64, 2 * 32 * 28 * 28 * c * c * 9
    return {
        **{f"matmul {dtype}": (lambda dtype=dtype: product(dtype), 2 * row**3)
           for dtype in ("bfloat16", "float16", "float32", "float64")},
        "attention": (lambda: attention(False), pairs), "attention full": (lambda: attention(False, False), 2 * pairs),
        "attention backward": (lambda: attention(True), 5 * pairs // 2),
        "conv2d": (lambda: convolution(False), window), "conv2d backward": (lambda: convolution(True), 2 * window),
        "sort": (sort, None), "embedding backward": (embedding, None),
    }  # fmt: skip


def cases(t, scale: int = 1) -> dict:
    """By name: a function that makes the call, the bytes moved or None, the operations or None."""
    moving = {name: (make, size, None) for name, (make, size) in memory_bound(t, scale).items()}
    return moving | {name: (make, None, count) for name, (make, count) in compute_bound(t, scale).items()}


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
    parser.add_argument("--parts", default="overhead,calls,training")
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds after which no case is begun")
    options = parser.parse_args(argv)
    if not options.dry_run and (not ft.cuda.is_available() or ft.cuda.get_device_capability() == (0, 0)):
        sys.exit("benchmarks/gpu.py: there is no GPU here (CuPy, Triton and a CUDA device are needed)")
    device = "dry run" if options.dry_run else ft.cuda.get_device_name()
    print(device)
    bench = Bench(options.filter, options.dry_run, 0.2 if options.quick else 1.0)
    file = f"gpu_{device.replace(' ', '-')}.json"
    path = None if options.dry_run and not options.json else Path(options.json or RESULTS / file)
    results: dict = {"device": device, "flowtorch": ft.__version__, "cases": {}}
    if path and path.exists():  # parts that were measured before stay
        results["cases"] = json.loads(path.read_text())["cases"]
    end = time.monotonic() + options.budget
    for part in options.parts.split(","):
        for name, figures, size, operations in getattr(bench, part)():
            late = time.monotonic() > end
            report(results, name, {"error": "there was no time left"} if late else figures(), size, operations)
            if path:  # after each case, for the next may end the process
                path.write_text(json.dumps(results, indent=1) + "\n")
    print("written to", path)


RESULTS = Path(__file__).parent / "results"


class Bench:
    """What is measured, each part as rows of (name, function that measures, bytes moved, operations)."""

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

                def figures(who, library, name=name):
                    return {who: self.time(library, tables[who][name][0]())}

                yield name, partial(self.row, figures), size, operations

    def overhead(self):
        calls = {"add": lambda x: x + x, "sum": lambda x: x.sum(), "softmax": lambda x: x.softmax(0),
                 "view and copy": lambda x: x.view(4, 4).t().contiguous()}  # fmt: skip
        for name, call in calls.items():
            if self.filter in f"overhead of {name}":

                def figures(who, library, call=call):
                    return {who: self.host_time(library, call, library.ones(16, device="cuda"))}

                yield f"overhead of {name} (host)", partial(self.row, figures), None, None

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

                    yield f"{name} {dtype}, {kind}", partial(self.row, figures), None, None


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
