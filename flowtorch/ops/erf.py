"""The error function on arrays, and what it is close kin to: far out they need the square of the argument exactly."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from flowtorch.ops.order import astype

# erf(x) = x * P(x^2) / Q(x^2) for |x| <= LIMIT with a relative error of 2e-9 (a fit by weighted least squares);
# beyond, it is 1 in single precision.
P = (-1.279527073e-08, 4.608393957e-06, 0.0003767272821, 0.003838491597, 0.05424314545, 0.1851342867, 1.128379169)
Q = (6.239129255e-05, 0.00130145604, 0.01542967326, 0.113872722, 0.4974043959, 1.0)
LIMIT = 3.9192
# erfcx(u / sqrt(2)) * (u + 1) for 0 <= u <= 14.4 as a polynomial in (u - 4) / (u + 4), with a relative error of 6e-10.
TAIL = (-2.121510347346e-05, -0.0001955237678542, -0.0001440555741373, 0.001418480579933, -0.0005820625382022,
        -0.01001466597961, 0.03587316217509, -0.06439433243563, 0.0572007034645, 0.02799920550288, -0.1934069544957,
        0.9441064135094)  # fmt: skip
_BLOCK = 8192  # elements whose temporaries stay in the cache


def erf(x: np.ndarray) -> np.ndarray:
    """The error function, element by element."""
    if x.dtype != np.float32 or x.size < 256:
        from scipy.special import erf as general  # on first use: it costs more than all of flowtorch

        return general(x)
    flat = x.reshape(-1)
    out = np.empty(flat.size, np.float32)
    room = np.empty((4, min(_BLOCK, flat.size)))
    for start in range(0, flat.size, _BLOCK):
        part = flat[start : start + _BLOCK]
        _rational(part, *room[:, : part.size], out[start : start + _BLOCK])  # type: ignore[call-arg]
    return out.reshape(x.shape)


def _rational(
    part: np.ndarray, x: np.ndarray, square: np.ndarray, p: np.ndarray, q: np.ndarray, out: np.ndarray
) -> None:
    """Evaluate the fit in double precision, so that its rounding does not show in single."""
    x[...] = part  # a cast of its own: ufuncs that cast on the way are slow
    np.minimum(x, LIMIT, out=x)
    np.maximum(x, -LIMIT, out=x)
    np.multiply(x, x, square)
    np.multiply(square, P[0], p)
    np.multiply(square, Q[0], q)
    for c in P[1:-1]:
        p += c
        p *= square
    p += P[-1]
    for c in Q[1:-1]:
        q += c
        q *= square
    q += Q[-1]
    p *= x
    p /= q
    out[...] = p


def _squared(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(x * x, what its rounding lost), by Dekker's splitting; |x| at most 1e150."""
    high = 134217729.0 * x
    high -= high - x
    low = x - high
    square = x * x
    return square, ((high * high - square) + 2 * high * low) + low * low


def _in_double(f: Callable) -> Callable:
    """``f`` of float64 arrays, for float32 too."""
    def kernel(x: np.ndarray) -> np.ndarray:
        return f(astype(x, np.float64, copy=False)).astype(x.dtype, copy=False)
    return kernel


def _decay(x: np.ndarray, factor: float) -> np.ndarray:
    """exp(factor * x^2) without the error that rounding the square would bring."""
    square, rest = _squared(x)
    return np.exp(factor * square) * (1 + factor * rest)


@_in_double
def erfc(x: np.ndarray) -> np.ndarray:
    """One minus the error function."""
    from scipy.special import erfc as general
    from scipy.special import erfcx as scaled

    out = np.asarray(general(x))
    far = x > 0.4
    if far.any():
        y = np.minimum(x[far], 40)                    # beyond 27 it is zero
        out[far] = scaled(y) * _decay(y, -1.0)
    return out


@_in_double
def erfcx(x: np.ndarray) -> np.ndarray:
    """exp(x^2) erfc(x)."""
    from scipy.special import erfcx as scaled

    out = np.asarray(scaled(x))
    below = (x < 0) & (x > -26)
    if below.any():
        y = x[below]
        out[below] = 2 * _decay(y, 1.0) - scaled(-y)
    return out


@_in_double
def ndtr(x: np.ndarray) -> np.ndarray:
    """The distribution function of the normal distribution."""
    from scipy.special import erfcx as scaled
    from scipy.special import ndtr as general

    out = np.asarray(general(x))
    far = x < -1
    if far.any():
        y = np.maximum(x[far], -60)                   # beyond -39 it is zero
        out[far] = 0.5 * scaled(y * -math.sqrt(0.5)) * _decay(y, -0.5)
    return out


def normal(x: np.ndarray) -> np.ndarray:
    """``ndtr`` for hot loops: a new array, in float32 to its precision."""
    if x.dtype != np.float32:
        return ndtr(x)

    def finish(p: np.ndarray, part: np.ndarray, out: np.ndarray) -> None:
        right = ~np.signbit(part)
        np.copysign(p, -part, out=p)
        np.add(p, right, out=out, casting="same_kind")

    return _by_tail(x, finish)


def gelu(x: np.ndarray) -> np.ndarray:
    """``x * ndtr(x)``, for hot loops as well."""
    if x.dtype != np.float32:
        return x * ndtr(x)

    def finish(p: np.ndarray, part: np.ndarray, out: np.ndarray) -> None:
        p *= np.abs(np.minimum(part, 3e38))           # infinity keeps nothing of a product with zero
        np.subtract(np.maximum(part, 0), p, out=out, casting="same_kind")
        np.copysign(out, part, out=out)

    return _by_tail(x, finish)


def _by_tail(x: np.ndarray, finish: Callable) -> np.ndarray:
    """What ``finish(p, part, out)`` writes, p being the normal distribution at -abs(part), part by part."""
    if x.size < 256:
        from scipy.special import ndtr as general

        out = np.empty(x.shape, np.float32)
        finish(np.asarray(general(-np.abs(x.astype(np.float64)))), x, out)
        return out
    flat = x.reshape(-1)
    out = np.empty(flat.size, np.float32)
    room = np.empty((3, min(_BLOCK, flat.size)))
    for start in range(0, flat.size, _BLOCK):
        part = flat[start : start + _BLOCK]
        finish(_tail(part, *room[:, : part.size]), part, out[start : start + _BLOCK])  # type: ignore[call-arg]
    return out.reshape(x.shape)


def _tail(part: np.ndarray, u: np.ndarray, q: np.ndarray, p: np.ndarray) -> np.ndarray:
    """The fit, in double precision."""
    u[...] = part
    np.abs(u, out=u)
    np.minimum(u, 39.0, out=u)                        # where the exponential is zero
    np.add(u, 4.0, out=p)
    np.subtract(u, 4.0, out=q)
    q /= p
    np.multiply(q, TAIL[0], out=p)
    for c in TAIL[1:-1]:
        p += c
        p *= q
    p += TAIL[-1]
    u += 1.0
    p /= u
    u -= 1.0
    u *= u
    u *= -0.5
    np.exp(u, out=u)
    u *= 0.5
    p *= u
    return p


@_in_double
def log_ndtr(x: np.ndarray) -> np.ndarray:
    """The logarithm of ``ndtr``."""
    from scipy.special import erfcx as scaled

    below = x < -1
    y = np.where(below, x, -1.0)
    far = np.log(0.5 * scaled(y * -math.sqrt(0.5))) - 0.5 * y * y
    return np.where(below, far, np.log1p(-ndtr(-x)))
