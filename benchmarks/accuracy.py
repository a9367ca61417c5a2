"""The errors of the elementwise functions and of the reductions, in units of the last place, beside torch's.

Run it with
    python benchmarks/accuracy.py [--filter REGEX] [--points N] [--write]

``--write`` writes docs/accuracy.md and benchmarks/results/accuracy.json. float64 is held against mpmath (40 digits) on
N points; float32 on fifty times as many against flowtorch's own float64, whose errors are too small to be seen there.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_functions import Function, functions
from accuracy_report import page

ROOT = Path(__file__).resolve().parent.parent
DTYPES = {"float32": np.float32, "float64": np.float64}
SPECIAL = (0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0)


def points(f: Function, dtype: Any, count: int, seed: int) -> np.ndarray:
    """Magnitudes even in the logarithm over the domain, numbers even over its dense part, and the edges."""
    rng = np.random.default_rng(seed)
    info = np.finfo(dtype)
    low = max(f.size[0], float(info.smallest_subnormal))
    high = min(f.size[1], float(info.max))
    size = np.exp2(rng.uniform(math.log2(low), math.log2(high), count * 3 // 4))
    if f.signs == "both":
        size *= rng.choice([-1.0, 1.0], size.shape)
    dense = rng.uniform(*f.dense, count - len(size))
    edges = np.array([low, high, 1.0, 0.5, 2.0, float(info.tiny), float(info.eps)])
    if f.signs == "both":
        edges = np.concatenate([edges, -edges])
    edges = edges[(np.abs(edges) >= low) & (np.abs(edges) <= high)]
    x = np.concatenate([size, dense, edges]).astype(dtype)
    return x[np.isfinite(x)]


def operands(f: Function, dtype: Any, count: int) -> list[np.ndarray]:
    made = [points(f, dtype, count, seed) for seed in range(f.operands)]
    rng = np.random.default_rng(9)
    return [made[0], *[rng.permutation(m) for m in made[1:]]]


def call(library: Any, f: Function, arrays: list[np.ndarray]) -> np.ndarray:
    """The function of ``library`` on these arrays."""
    function = library
    for part in f.name.split("(")[0].split("."):
        function = getattr(function, part)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*f.extra, *[library.from_numpy(a.copy()) for a in arrays]).numpy()


def spacing(exact: np.ndarray, dtype: Any) -> np.ndarray:
    """The unit in the last place of a format at these values."""
    info = np.finfo(dtype)
    with np.errstate(all="ignore"):
        exponent = np.floor(np.log2(np.maximum(np.abs(exact), np.float64(info.tiny))))
    return np.exp2(exponent.astype(np.float64) - info.nmant)


def errors_in_double(got: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Errors of float32 results in units, of those that float32 can hold."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        known = np.isfinite(rounded) & (np.abs(exact) >= np.finfo(np.float32).tiny)
        e = np.abs(got.astype(np.float64) - exact) / spacing(exact, np.float32)
    e = e[known]
    return np.where(np.isfinite(e), e, np.inf)


def errors_in_many_digits(mp: Any, f: Function, arrays: list[np.ndarray], results: list[np.ndarray]) -> list:
    """For each result array its errors in units, against mpmath."""
    found: list[list[float]] = [[] for _ in results]
    info = np.finfo(np.float64)
    for k, values in enumerate(zip(*[a.tolist() for a in arrays], strict=True)):
        try:
            y = f.exact(*[mp.mpf(v) for v in values])
            if isinstance(y, mp.mpc) or not mp.isfinite(y) or not float(info.tiny) <= abs(y) <= float(info.max):
                continue
        except (ValueError, ZeroDivisionError, OverflowError, mp.NoConvergence):
            continue
        unit = mp.mpf(2) ** (math.frexp(float(abs(y)))[1] - 1 - info.nmant)
        for errors, r in zip(found, results, strict=True):
            v = float(r[k])
            errors.append(float(abs(mp.mpf(v) - y) / unit) if math.isfinite(v) else math.inf)
    return [np.array(e) for e in found]


def measure(mp: Any, f: Function, ours: Any, theirs: Any, dtype: str, count: int) -> dict:
    """One row: the largest error and the 99.9th percentile of both sides, and differences at special values."""
    kind = DTYPES[dtype]
    arrays = operands(f, kind, count * 50 if dtype == "float32" else count)
    results = [call(ours, f, arrays), call(theirs, f, arrays)]
    if dtype == "float32":
        exact = call(ours, f, [a.astype(np.float64) for a in arrays])
        errors = [errors_in_double(r, exact) for r in results]
    else:
        errors = errors_in_many_digits(mp, f, arrays, results)
    row = {"name": f.name, "dtype": dtype, "points": len(errors[0])}
    for side, e in zip(("ours", "theirs"), errors, strict=True):
        row[side] = {"max": float(e.max()), "p99.9": float(np.quantile(e, 0.999, method="higher"))}
    row["special"] = special_differences(f, ours, theirs, kind)
    return row


def special_differences(f: Function, ours: Any, theirs: Any, kind: Any) -> list[str]:
    """Special inputs at which one side is nan, infinite or a zero of a sign, and the other is not."""
    values = [*SPECIAL, float(np.finfo(kind).max), float(np.finfo(kind).smallest_subnormal)]
    grid = np.meshgrid(*[np.array(values, kind)] * f.operands)
    arrays = [g.reshape(-1) for g in grid]
    a, b = call(ours, f, arrays), call(theirs, f, arrays)

    def shape(r: np.ndarray) -> np.ndarray:
        kinds = np.where(np.isnan(r), 4, np.where(np.isinf(r), 3, np.where(r == 0, 2, 1)))
        return kinds * np.where(np.isnan(r), 1, np.where(np.signbit(r), -1, 1))

    wrong = np.flatnonzero(shape(a) != shape(b))
    return [f"({', '.join(f'{x[i]:g}' for x in arrays)}): {a[i]:g}, torch {b[i]:g}" for i in wrong]


# ---------------------------------------------------------------- reductions

def reductions() -> dict:
    """name -> (function of a library and a tensor, the same in float64 or exactly)."""
    def exact_sum(x: np.ndarray) -> float:
        return math.fsum(x.astype(np.float64).tolist())

    def exact_var(x: np.ndarray) -> float:
        wide = x.astype(np.longdouble)
        return float(((wide - wide.mean()) ** 2).sum() / (len(x) - 1))

    def exact_lse(x: np.ndarray) -> float:
        wide = x.astype(np.longdouble)
        return float(np.log(np.exp(wide - wide.max()).sum()) + wide.max())

    def squares(x: np.ndarray) -> float:
        return float((x.astype(np.longdouble) ** 2).sum())

    return {
        "sum": (lambda t, x: x.sum(), exact_sum),
        "mean": (lambda t, x: x.mean(), lambda x: exact_sum(x) / len(x)),
        "var": (lambda t, x: x.var(), exact_var),
        "std": (lambda t, x: x.std(), lambda x: math.sqrt(exact_var(x))),
        "norm": (lambda t, x: x.norm(), lambda x: math.sqrt(squares(x))),
        "dot": (lambda t, x: x.dot(x), squares),
        "logsumexp": (lambda t, x: x.logsumexp(0), exact_lse),
        "cumsum (last)": (lambda t, x: x.cumsum(0)[-1], exact_sum),
        "sum of columns": (lambda t, x: x.view(-1, 8).sum(0)[0], lambda x: exact_sum(x[::8])),
        "matmul": (lambda t, x: (x.view(8, -1) @ x.view(8, -1).t())[0, 0], lambda x: squares(x[:len(x) // 8])),
    }


def measure_reductions(ours: Any, theirs: Any) -> list[dict]:
    """Root mean square and largest error over draws, in units of the sum of absolute values' last place."""
    rows = []
    for name, (f, exact) in reductions().items():
        for dtype, kind in DTYPES.items():
            for n in (1 << 10, 1 << 17):
                for what in ("positive", "mixed"):
                    errors: list[list[float]] = [[], []]
                    for seed in range(20):
                        rng = np.random.default_rng(seed)
                        x = (rng.random(n) if what == "positive" else rng.standard_normal(n)).astype(kind)
                        true = exact(x)
                        scale = abs(true)
                        if ("sum" in name and name != "logsumexp") or name == "mean":
                            scale = float(np.abs(x).astype(np.float64).sum()) / (n if name == "mean" else 1)
                        unit = float(np.spacing(kind(scale)))
                        for side, library in enumerate((ours, theirs)):
                            got = float(f(library, library.from_numpy(x.copy())))
                            errors[side].append(abs(got - true) / unit)
                    row = {"name": name, "dtype": dtype, "n": n, "input": what}
                    for side, e in zip(("ours", "theirs"), errors, strict=True):
                        row[side] = {"max": max(e), "rms": math.sqrt(sum(v * v for v in e) / len(e))}
                    rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Errors of functions and reductions, beside torch's.")
    parser.add_argument("--filter", default="", help="only functions whose names match")
    parser.add_argument("--points", type=int, default=2000, help="points per function in float64")
    parser.add_argument("--write", action="store_true", help="write docs/accuracy.md and the JSON")
    options = parser.parse_args()
    import torch

    import flowtorch
    from flowtorch import native

    native._build_and_use()  # what is measured is what programs run: the C loops, where there is a compiler

    mp, table = functions()
    rows = []
    for f in table:
        if re.search(options.filter, f.name):
            for dtype in DTYPES:
                row = measure(mp, f, flowtorch, torch, dtype, options.points)
                rows.append(row)
                print(f"{f.name:28} {dtype:8} ours {row['ours']['max']:10.3g} {row['ours']['p99.9']:10.3g}   torch "
                      f"{row['theirs']['max']:10.3g} {row['theirs']['p99.9']:10.3g}   {len(row['special'])} special",
                      flush=True)
    totals = measure_reductions(flowtorch, torch) if not options.filter else []
    if options.write:
        results = {"points": options.points, "torch": torch.__version__, "functions": rows, "reductions": totals}
        (ROOT / "benchmarks/results/accuracy.json").write_text(json.dumps(results, indent=1) + "\n")
        (ROOT / "docs/accuracy.md").write_text(page(results))


if __name__ == "__main__":
    main()
