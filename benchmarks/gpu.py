"""flowtorch on a GPU, beside PyTorch where it is installed: one command, results with the device's name.

    python benchmarks/gpu.py [--filter WORD] [--json FILE] [--quick]

Each line gives microseconds per call for flowtorch and PyTorch and their ratio; memory-bound calls also the bandwidth
and its share of what a device copy reaches, products the operations per second. Training steps are measured eagerly
and as a captured graph, with the largest memory in use. Results go to benchmarks/results/gpu-<device>.json. Without a
GPU it says so.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

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


def cases(t) -> dict:
    """Calls by name: (function, bytes moved or None, operations or None)."""
    F = t.nn.functional

    def new(*shape, dtype="float32", grad=False):
        return t.randn(*shape, device="cuda").to(getattr(t, dtype)).requires_grad_(grad)

    found = {}
    n = 1 << 26
    big, low = new(n), new(n, dtype="bfloat16")
    for name, call, size in (
        ("copy", lambda: big.clone(), 8 * n), ("add", lambda: big + big, 12 * n), ("gelu", lambda: F.gelu(big), 8 * n),
        ("add bfloat16", lambda: low + low, 6 * n), ("sum", lambda: big.sum(), 4 * n),
        ("sum rows", lambda: big.view(-1, 4096).sum(1), 4 * n),
        ("sum columns", lambda: big.view(-1, 4096).sum(0), 4 * n),
        ("softmax", lambda: big.view(-1, 4096).softmax(-1), 8 * n),
        ("layer_norm", lambda: F.layer_norm(low.view(-1, 4096), (4096,)), 4 * n),
        ("transpose", lambda: big.view(8192, -1).t().contiguous(), 8 * n),
        ("cumsum", lambda: big.view(-1, 4096).cumsum(1), 8 * n),
        ("rand", lambda: t.rand(n, device="cuda"), 4 * n), ("dropout", lambda: F.dropout(big), 8 * n),
    ):  # fmt: skip
        found[name] = (call, size, None)
    logits, target = new(8192, 50304, dtype="bfloat16"), t.zeros(8192, dtype=t.int64, device="cuda")
    found["cross_entropy"] = (lambda: F.cross_entropy(logits, target), 2 * logits.numel(), None)
    for dtype in ("bfloat16", "float16", "float32"):
        a, b = new(4096, 4096, dtype=dtype), new(4096, 4096, dtype=dtype)
        found[f"matmul {dtype}"] = (lambda a=a, b=b: a @ b, None, 2 * 4096**3)
    q, k, v = (new(4, 16, 2048, 64, dtype="bfloat16") for _ in range(3))
    attend = F.scaled_dot_product_attention
    found["attention"] = (lambda: attend(q, k, v, is_causal=True), None, 2 * 4 * 16 * 2048 * 2048 * 64)
    image, filters = new(32, 256, 28, 28, dtype="bfloat16"), new(256, 256, 3, 3, dtype="bfloat16")
    found["conv2d"] = (lambda: F.conv2d(image, filters, padding=1), None, 2 * 32 * 28 * 28 * 256 * 256 * 9)
    rows = new(1 << 20, 16)
    found["sort"] = (lambda: rows.view(-1, 1024).sort(1), None, None)
    weight, places = new(50304, 1024, grad=True), t.randint(0, 50304, (16384,), device="cuda")
    found["embedding backward"] = (lambda: t.autograd.grad(F.embedding(places, weight).sum(), weight), None, None)
    return found


def models(t) -> dict:
    """A transformer block stack and a small convolutional net, each a function that does one training step."""
    nn, F = t.nn, t.nn.functional

    def transformer(dtype):
        layer = nn.TransformerEncoderLayer(768, 12, 3072, dropout=0.0, batch_first=True, norm_first=True)
        net = nn.Sequential(nn.TransformerEncoder(layer, 4), nn.Linear(768, 8192)).to("cuda").to(dtype)
        x = t.randn(4, 512, 768, device="cuda").to(dtype)
        y = t.zeros(4 * 512, dtype=t.int64, device="cuda")
        return step(net, lambda: F.cross_entropy(net(x).flatten(0, 1), y))

    def convolutional(dtype):
        def block(a, b, stride):
            return [nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]

        layers = [*block(3, 64, 2), *block(64, 128, 2), *block(128, 256, 2), *block(256, 512, 2)]
        net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000)).to("cuda").to(dtype)
        x = t.randn(64, 3, 128, 128, device="cuda").to(dtype)
        y = t.zeros(64, dtype=t.int64, device="cuda")
        return step(net, lambda: F.cross_entropy(net(x), y))

    def step(net, loss):
        optimizer = t.optim.SGD(net.parameters(), lr=1e-3)

        def run():
            optimizer.zero_grad(set_to_none=False)
            loss().backward()
            optimizer.step()

        return run

    return {f"{name} {dtype}": lambda f=f, dtype=dtype: f(getattr(t, dtype)) for dtype in ("float32", "bfloat16")
            for name, f in (("transformer step", transformer), ("convolutional step", convolutional))}  # fmt: skip


def captured(library, step):
    """A replay of the step as a graph."""
    for _ in range(3):
        step()
    graph = library.cuda.CUDAGraph()
    with library.cuda.graph(graph):
        step()
    return graph.replay


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--filter", default="")
    parser.add_argument("--json")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if not ft.cuda.is_available() or ft.cuda.get_device_capability() == (0, 0):
        sys.exit("benchmarks/gpu.py: there is no GPU here (CuPy, Triton and a CUDA device are needed)")
    device, seconds = ft.cuda.get_device_name(), 0.2 if options.quick else 1.0
    results: dict = {"device": device, "flowtorch": ft.__version__, "cases": {}}
    print(device)
    tables = {name: cases(library) for name, library in libraries().items()}
    for name, (_, size, operations) in tables["flowtorch"].items():
        if options.filter not in name:
            continue
        row: dict = {}
        for who, library in libraries().items():
            try:
                row[who] = measure(library, tables[who][name][0], seconds)
            except Exception as error:
                row[f"{who} error"] = f"{type(error).__name__}: {error}"[:200]
        report(results, name, row, size, operations)
    small = {name: library.ones(16, device="cuda") for name, library in libraries().items()}
    if options.filter in "overhead":
        row = {who: overhead(library, lambda x=small[who]: x + x) for who, library in libraries().items()}
        report(results, "overhead of add (host)", row, None, None)
    for name in models(ft):
        if options.filter not in name:
            continue
        for kind in ("eager", "captured"):
            row = {}
            for who, library in libraries().items():
                try:
                    library.cuda.reset_peak_memory_stats()
                    step = models(library)[name]()
                    step = step if kind == "eager" else captured(library, step)
                    row[who] = measure(library, step, seconds)
                    row[f"{who} bytes"] = library.cuda.max_memory_allocated()
                except Exception as error:
                    row[f"{who} error"] = f"{type(error).__name__}: {error}"[:200]
            report(results, f"{name}, {kind}", row, None, None)
    target = Path(options.json or Path(__file__).parent / "results" / f"gpu-{device.replace(' ', '-')}.json")
    target.write_text(json.dumps(results, indent=1) + "\n")
    print("written to", target)


def report(results: dict, name: str, row: dict, size: int | None, operations: int | None) -> None:
    """Add the derived figures, keep the row, and print it."""
    own = row.get("flowtorch")
    if own and row.get("torch"):
        row["ratio"] = own / row["torch"]
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
