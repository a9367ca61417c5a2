"""Streams whose elements take as many words as they need: rejection samplers, one element after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from flowtorch.streams.checks import LARGEST, name_of, not_implemented, through_float32
from flowtorch.streams.uniform import unit_doubles

if TYPE_CHECKING:
    from flowtorch.random import Generator

_FEW = 16
_MASK53 = 2**53 - 1
_INT64_MIN = -(2**63)


class _Units:
    """Uniform float64 numbers one by one, drawn ahead; leaving the context gives back those not used."""

    def __init__(self, gen: Generator, count: int) -> None:
        self._gen = gen
        # A mark costs as much as some fifty single draws.
        self._ahead = count > _FEW
        self._drawn = 0
        self._current: Any = iter(())

    def __enter__(self) -> Callable[[], float]:
        if not self._ahead:
            return self._single
        self._mark = self._gen._mark()
        return chain.from_iterable(self._blocks()).__next__

    def __exit__(self, *error: object) -> None:
        if self._ahead:
            used = self._drawn - self._current.__length_hint__()
            self._gen._rewind(self._mark)
            if used:
                unit_doubles(self._gen, used)

    def _single(self) -> float:
        return (self._gen._word64() & _MASK53) * 2.0**-53

    def _blocks(self) -> Iterator[Any]:
        size = 256
        while True:
            self._current = iter(unit_doubles(self._gen, size).tolist())
            self._drawn += size
            yield self._current
            size = min(2 * size, 1 << 15)


def _normals(gen: Generator, unit: Callable[[], float]) -> Callable[[], float]:
    def normal() -> float:
        kept = gen._next_normal
        if kept is not None:
            gen._next_normal = None
            return kept
        theta = 2 * math.pi * unit()
        radius = math.sqrt(-2 * math.log1p(-unit()))
        gen._next_normal = radius * math.sin(theta)
        return radius * math.cos(theta)

    return normal


def poisson(gen: Generator, rate: np.ndarray) -> np.ndarray:
    """Draw from Poisson distributions of these rates; the result has the dtype of ``rate``."""
    if name_of(rate.dtype) not in LARGEST:
        raise not_implemented("poisson_cpu", rate.dtype)
    rates = rate.astype(np.float64).ravel().tolist()
    if not all(r >= 0 for r in rates):
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    with _Units(gen, len(rates)) as unit:
        values = [_poisson(r, unit) if r else 0 for r in rates]
    return _shaped(values, rate)


def _poisson(rate: float, unit: Callable[[], float]) -> int:
    if rate < 10:
        # Knuth's: count the factors until the product falls to exp(-rate).
        limit = math.exp(-rate)
        count = 0
        product = unit()
        while product > limit:
            count += 1
            product *= unit()
        return count
    return _poisson_rejection(rate, unit)


def _poisson_rejection(rate: float, unit: Callable[[], float]) -> int:
    # Transformed rejection with squeeze (Hoermann 1993, algorithm PTRS).
    log_rate = math.log(rate)
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2)
    while True:
        u = unit() - 0.5
        v = unit()
        us = 0.5 - abs(u)
        k = _floor64((2 * a / us + b) * u + rate + 0.43) if us else _INT64_MIN
        if us >= 0.07 and v <= v_r:
            return k
        if k < 0 or (us < 0.013 and v > us):
            continue
        log_v = math.log(v) if v else -math.inf
        bound = -rate + k * log_rate - math.lgamma(k + 1)
        if log_v + math.log(inverse_alpha) - math.log(a / (us * us) + b) <= bound:
            return k


def _floor64(value: float) -> int:
    # A number out of range becomes what the processor's conversion makes of it.
    return math.floor(value) if abs(value) < 2.0**63 else _INT64_MIN


def binomial(gen: Generator, count: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """Draw from binomial distributions of ``count`` trials, each successful with probability ``prob``."""
    if name_of(count.dtype) not in ("float64", "float32"):
        raise not_implemented("binomial_cpu", count.dtype)
    count, prob = np.broadcast_arrays(count, prob)
    n, p = count.ravel(), prob.ravel()
    # All that depends on the parameters alone is computed in the precision of the array.
    one, half = n.dtype.type(1), n.dtype.type(0.5)
    with np.errstate(all="ignore"):
        q = np.where(p > half, one - p, p)
        mean = n * q
        deviation = np.sqrt(mean * (one - q))
        parameters = (n, p, q, mean, deviation, q / (one - q), np.floor((n + one) * q), np.log1p(-q))
    with _Units(gen, n.size) as unit:
        rows = zip(*(parameter.tolist() for parameter in parameters), strict=True)
        values = [_binomial(unit, *row) for row in rows]
    return _shaped(values, count)


def _binomial(
    unit: Callable[[], float],
    count: float,
    prob: float,
    lower: float,
    mean: float,
    deviation: float,
    odds: float,
    mode: float,
    log_failure: float,
) -> float:
    # ``lower`` is the smaller of the probabilities of success and failure, whose number is drawn.
    if count <= 0 or prob <= 0:
        return 0
    if prob >= 1:
        return count
    if math.isnan(prob):
        return math.nan
    if mean >= 10:
        drawn = _binomial_rejection(count, lower, mean, deviation, odds, mode, unit)
    else:
        drawn = _binomial_waiting(count, log_failure, unit)
    return drawn if prob <= 0.5 else count - drawn


def _binomial_waiting(count: float, log_failure: float, unit: Callable[[], float]) -> int:
    # The waiting times between successes are geometric.
    successes = 0
    trials = 0.0
    while True:
        u = unit()
        trials += math.ceil(math.log(u) / log_failure) if u else math.inf
        if not trials <= count:
            return successes
        successes += 1


def _binomial_rejection(
    count: float,
    prob: float,
    mean: float,
    deviation: float,
    odds: float,
    mode: float,
    unit: Callable[[], float],
) -> float:
    # Transformed rejection with squeeze (Hoermann 1993, algorithm BTRS).
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * prob
    c = mean + 0.5
    v_r = 0.92 - 4.2 / b
    alpha = (2.83 + 5.1 / b) * deviation
    while True:
        u = unit() - 0.5
        v = unit()
        us = 0.5 - abs(u)
        if not us:
            continue
        k = math.floor((2 * a / us + b) * u + c)
        if us >= 0.07 and v <= v_r:
            return k
        if k < 0 or k > count:
            continue
        log_v = math.log(v * alpha / (a / (us * us) + b)) if v else -math.inf
        bound = (
            (mode + 0.5) * math.log((mode + 1) / (odds * (count - mode + 1)))
            + (count + 1) * math.log((count - mode + 1) / (count - k + 1))
            + (k + 0.5) * math.log(odds * (count - k + 1) / (k + 1))
            + _stirling(mode)
            + _stirling(count - mode)
            - _stirling(k)
            - _stirling(count - k)
        )
        if log_v <= bound:
            return k


_STIRLING = (
    0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.02079067210376509, 0.0166446911898211,
    0.0138761288230707, 0.0118967099458917, 0.0104112652619720, 0.00925546218271273, 0.00833056343336287,
)  # fmt: skip


def _stirling(k: float) -> float:
    """What Stirling's formula leaves of log(k!)."""
    if k <= 9:
        return _STIRLING[int(k)]
    square = (k + 1) * (k + 1)
    return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (k + 1)


def standard_gamma(gen: Generator, alpha: np.ndarray) -> np.ndarray:
    """Draw from gamma distributions of shape ``alpha``; never less than the smallest normal number."""
    if name_of(alpha.dtype) not in ("float64", "float32"):
        raise not_implemented("gamma_cpu", alpha.dtype)
    values = np.array(_gammas(gen, alpha), np.float64).astype(alpha.dtype)
    return np.maximum(values, np.finfo(alpha.dtype).tiny).reshape(alpha.shape)


def dirichlet(gen: Generator, alpha: np.ndarray) -> np.ndarray:
    """Draw from Dirichlet distributions whose concentrations lie along the last dimension."""
    if name_of(alpha.dtype) not in ("float64", "float32"):
        raise not_implemented("dirichlet", alpha.dtype)
    gammas = np.array(_gammas(gen, alpha.astype(np.float64))).reshape(alpha.shape)
    gammas = np.maximum(gammas, np.finfo(np.float64).tiny)
    total = gammas.sum(axis=-1, keepdims=True) if alpha.ndim else gammas
    shares = (gammas / total).astype(alpha.dtype)
    return np.clip(shares, np.finfo(alpha.dtype).tiny, np.nextafter(alpha.dtype.type(1), 0))


def _gammas(gen: Generator, alpha: np.ndarray) -> list[float]:
    # The shape enters in the precision of the array; all else is float64.
    alpha = alpha.ravel()
    one = alpha.dtype.type(1)
    small = alpha < 1
    with np.errstate(divide="ignore"):
        powers = np.where(small, one / alpha, 0).tolist()
    third = alpha.dtype.type(np.float32(1) / np.float32(3))
    ds = (np.where(small, alpha + one, alpha) - third).tolist()
    with _Units(gen, len(ds)) as unit:
        normal = _normals(gen, unit)
        return [_gamma(d, power, unit, normal) for d, power in zip(ds, powers, strict=True)]


_SQUEEZE = float(np.float32(0.0331))


def _gamma(d: float, power: float, unit: Callable[[], float], normal: Callable[[], float]) -> float:
    # Marsaglia and Tsang 2000; a shape below 1 is raised by 1 and the result scaled down.
    scale = d
    if power:
        if math.isinf(power):
            return 0.0
        scale = math.pow(1 - unit(), power) * d
    c = 1 / math.sqrt(9 * d)
    while True:
        x = normal()
        y = 1 + c * x
        if y <= 0:
            continue
        v = y * y * y
        u = 1 - unit()
        xx = x * x
        if u < 1 - _SQUEEZE * xx * xx or math.log(u) < 0.5 * xx + d * (1 - v + math.log(v)):
            return scale * v


def _shaped(values: list[Any], like: np.ndarray) -> np.ndarray:
    array = through_float32(np.array(values, np.float64), like.dtype)
    with np.errstate(over="ignore"):
        return array.astype(like.dtype).reshape(like.shape)
