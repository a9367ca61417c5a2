"""How far the results of one call are apart, in units of what rounding explains: 1 is the allowance.

An element may be off by some units in the last place at its own size, and by what rounding the inputs or partial sums
costs, which is measured by moving the inputs of the call in double precision. See ``errormodel``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errormodel import EPS, SUSPICIOUS, UNITS, allowance
from .replay import MOVE, MOVES, Way

LOW = ("bfloat16", "float16")
MANY = 8  # elements from which on the typical error says something


def distance(x: np.ndarray, y: np.ndarray, dtype: str, length: float) -> float:
    """The largest difference of two values, held against their largest element: enough to see errors grow."""
    if x.shape != y.shape:
        return float("inf")
    if not x.size:
        return 0.0
    if dtype not in EPS or x.dtype.kind not in "fc":
        return 0.0 if np.array_equal(x, y) else float("inf")
    with np.errstate(all="ignore"):
        if not same_kinds(x, y):
            return float("inf")
        finite = np.isfinite(y)
        size = float(np.max(np.abs(y[finite]), initial=0.0))
        limit = UNITS * EPS[dtype] * np.sqrt(max(length, 1.0)) * size
        off = float(np.max(np.abs(x[finite] - y[finite]), initial=0.0))
        return off / limit if limit else (float("inf") if off else 0.0)


def same_kinds(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether the same elements are nan, and the same ones infinite, to the same side."""
    if x.dtype.kind == "c" or y.dtype.kind == "c":
        return np.array_equal(np.isfinite(x), np.isfinite(y))
    endless = np.where(np.isinf(y), y, 0)
    return np.array_equal(np.isnan(x), np.isnan(y)) and np.array_equal(np.where(np.isinf(x), x, 0), endless)


def coarsest(dtypes: list[str]) -> str:
    """The least precise of these dtypes: what an implementation may have kept intermediate values in."""
    inexact = [d for d in dtypes if d in EPS]
    return max(inexact, key=EPS.__getitem__) if inexact else "float32"


def added(
    got: np.ndarray, expected: np.ndarray, dtype: str, coarse: str, length: float, spread: Callable | None
) -> float:
    """How far ``got`` is from ``expected``, element by element, where both come from the same inputs.

    ``spread()`` iterates over how much each element moves when the inputs move by themselves, from a few moves and from
    more; it gives nothing where nobody can say.
    """
    if got.shape != expected.shape:
        return float("inf")
    if dtype not in EPS or got.dtype.kind not in "fc":
        return 0.0 if np.array_equal(got, expected) else float("inf")
    if not same_kinds(got, expected):
        return float("inf")
    low = coarse in LOW or dtype in LOW
    with np.errstate(all="ignore"):
        finite = np.isfinite(expected)
        off = np.where(finite, np.abs(got - expected), 0.0)
        own = allowance(expected, dtype, factor=1 / UNITS if dtype in LOW else 1.0)
        if not (off > own).any():
            return float((off / own).max(initial=0.0))
        largest = float(np.abs(expected[finite]).max(initial=0.0))
        rounding = EPS[coarse] if low else UNITS * EPS[dtype] * np.sqrt(max(length, 1.0))
        error = None
        for moves in spread() if spread is not None else ():
            # partial sums may be as large as the largest result
            error = in_units(off / (own + rounding * (moves + largest if length > 1 else moves)))
            if error <= 1:  # more moves only widen what is allowed
                return error
        return in_units(off / (own + rounding * largest)) if error is None else error


def in_units(times: np.ndarray) -> float:
    """The largest of all; many elements that are off by a little count too: rounding errs here and there, both ways."""
    typical = float(np.median(times)) if times.size >= MANY else 0.0
    return max(float(times.max()), SUSPICIOUS * typical if typical > 1 else 0.0)


def movement(run: Callable[[Way], list[np.ndarray]]) -> Iterator[list[np.ndarray]]:
    """How much each element of the results of ``run`` moves when its inputs move by their own size.

    What one move shows comes first and suffices for most calls; what several show costs three times as much.
    """
    base = run(Way(wide=True))
    largest = [np.zeros(b.shape) for b in base]
    for seed in range(1, MOVES + 1):
        moved = run(Way(wide=True, seed=seed))
        largest = [np.maximum(a, np.abs(m - b)) for a, m, b in zip(largest, moved, base, strict=True)]
        if seed in (1, MOVES):
            yield [smoothed(change / MOVE) for change in largest]


class Kept:
    """What an iterator gives, for several who ask: nothing is computed twice, or before somebody asks."""

    def __init__(self, rest: Iterator[Any]) -> None:
        self.rest, self.seen = rest, list[Any]()

    def __iter__(self) -> Iterator[Any]:
        yield from self.seen
        for item in self.rest:
            self.seen.append(item)
            yield item


def smoothed(change: Any) -> np.ndarray:
    """No element less than a tenth of the typical one: some random moves may cancel where rounding does not."""
    change = np.where(np.isfinite(change), change, 0.0)
    return np.maximum(change, 0.1 * float(np.median(change)) if change.size else 0.0)
