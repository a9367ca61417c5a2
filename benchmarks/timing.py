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
from collections.abc import Callable, Iterable, Sequence
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
    rounds: int

    @classmethod
    def of(cls, ours: list[float], theirs: list[float]) -> Comparison:
        a, b = Timing.of(ours), Timing.of(theirs)
        low, _, high = statistics.quantiles([x / y for x, y in zip(ours, theirs, strict=True)], n=4)
        return cls(a, b, a.low / b.low, low, high, len(ours))


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
    """Time both sides in turn."""
    return Comparison.of(*take_turns((ours, theirs), rounds, target, one_thread, budget))


def take_turns(
    sides: Sequence[Callable[[], object]], rounds: int, target: float, one_thread: bool, budget: float
) -> list[list[float]]:
    """Seconds of one call, for each side a figure a round.

    It stops early, after five rounds at least, when ``budget`` seconds are spent.
    """
    clock = time.thread_time if one_thread else time.perf_counter
    calls = [_calls(f, target) for f in sides]
    samples: list[list[float]] = [[] for _ in sides]
    began = time.perf_counter()
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for done in range(rounds):
            if done >= 5 and time.perf_counter() - began > budget:
                break
            # Who goes first changes too: the first one finds the last one's data in the caches.
            for k in range(len(sides)):
                side = (k + done) % len(sides)
                samples[side].append(chunk(sides[side], calls[side], clock))
            if done % 8 == 7:
                gc.collect()
    finally:
        if collecting:
            gc.enable()
    return samples


def _calls(f: Callable[[], object], target: float) -> int:
    f()
    f()
    once = min(chunk(f, 1, time.perf_counter) for _ in range(3))
    return max(1, int(target / max(once, 1e-9)))


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean, or NaN of nothing."""
    logs = [math.log(v) for v in values]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan
