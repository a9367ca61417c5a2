"""The Hurwitz zeta function on arrays, by the formula of Euler and Maclaurin."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

# B(2j) / (2j)! for j = 1, 2, ...: the coefficients of the corrections.
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330)
_CORRECTIONS = tuple(b / math.factorial(2 * j) for j, b in enumerate(_BERNOULLI, 1))
_TERMS = 10  # added up one by one: then the corrections fall off quickly for every x


def zeta(x: Any, q: Any) -> np.ndarray:
    """The sum of ``(q + k) ** -x`` over all k from zero on, in double precision."""
    from scipy.special import zeta as general

    x, q = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(q, np.float64))
    plain = (x > 1) & (x < 1e6) & (q > 0) & (q < 1e8)
    if plain.all():
        return _sum(x, q)
    out = np.array(general(x, q))                     # poles, infinities, negative q
    out[plain] = _sum(x[plain], q[plain])
    return out


def _sum(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The smallest parts first."""
    end = q + _TERMS
    last = _power(x, q, _TERMS)
    rest, factor, square = 0.5, x / end, end * end
    for j, c in enumerate(_CORRECTIONS, 1):
        rest = rest + c * factor
        factor = factor * ((x + (2 * j - 1)) * (x + 2 * j) / square)
    total = last * rest + last * (end / (x - 1))
    for k in reversed(range(_TERMS)):
        total = total + _power(x, q, k)
    return np.asarray(total)


def _power(x: np.ndarray, q: np.ndarray, k: int) -> np.ndarray:
    """``(q + k) ** -x`` with what rounding the base would lose x times over."""
    base = q + k
    return base**-x * (1 - x * ((q - (base - k)) / base))
