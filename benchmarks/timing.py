"""Time two callables against each other in alternating rounds, on a machine that may be busy otherwise.

The two take turns in chunks of a few milliseconds, so drift of the machine's speed hits both. With one
thread the clock is the thread's own processor time, which other processes do not stretch. The figure of
a side is its lower quartile: noise only ever adds time.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass
class Timing:
    """Seconds of one call, over all rounds."""

    least: float
    low: float
    median: float
    spread: float  # the middle half's width, as a share of the median

    @classmethod
    def of(cls, samples: list[float]) -> Timing:
        low, median, high = statistics.quantiles(samples, n=4)
        return cls(min(samples), low, median, (high - low) / median if median else 0.0)


@dataclass
class Comparison:
    """Ours against theirs; ``ratio`` below 1 means that ours is faster."""

    ours: Timing
    theirs: Timing
    ratio: float
    ratio_low: float  # the middle half of the rounds' own ratios
    ratio_high: float
    calls: tuple[int, int]
    rounds: int


def chunk(f: Callable[[], object], calls: int, clock: Callable[[], float]) -> float:
    """Return the seconds of one call, from ``calls`` in a row."""
    loop = range(calls)
    start = clock()
    for _ in loop:
        f()
    return (clock() - start) / calls


def compare(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    rounds: int = 30,
    target: float = 0.002,
    one_thread: bool = True,
    budget: float = 20.0,
) -> Comparison:
    """Time both sides in turn; stop early, after five rounds at least, when ``budget`` seconds are spent."""
    clock = time.thread_time if one_thread else time.perf_counter
    calls = [_calls(f, target) for f in (ours, theirs)]
    samples: tuple[list[float], list[float]] = ([], [])
    began = time.perf_counter()
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for done in range(rounds):
            if done >= 5 and time.perf_counter() - began > budget:
                break
            # Who goes first alternates too: the first of a pair finds the other's data in the caches.
            for side in (0, 1) if done % 2 == 0 else (1, 0):
                samples[side].append(chunk((ours, theirs)[side], calls[side], clock))
            if done % 8 == 7:
                gc.collect()
    finally:
        if collecting:
            gc.enable()
    a, b = Timing.of(samples[0]), Timing.of(samples[1])
    pairs = statistics.quantiles([x / y for x, y in zip(*samples, strict=True)], n=4)
    return Comparison(a, b, a.low / b.low, pairs[0], pairs[2], (calls[0], calls[1]), len(samples[0]))


def _calls(f: Callable[[], object], target: float) -> int:
    f()
    f()
    once = min(chunk(f, 1, time.perf_counter) for _ in range(3))
    return max(1, int(target / max(once, 1e-9)))


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean, or NaN of nothing."""
    logs = [math.log(v) for v in values]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan
