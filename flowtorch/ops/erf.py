"""The error function on arrays, and what it is close kin to: far out they need the square of the argument exactly."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from flowtorch.array.blocks import fill
from flowtorch.array.vectors import exp_of_multiple, one_plus_exp
from flowtorch.ops.order import astype

# erf(x) = x * P(x^2) / Q(x^2) for |x| <= LIMIT with a relative error of 2e-9 (a fit by weighted least squares);
# beyond, it is 1 in single precision.
P = (-1.279527073e-08, 4.608393957e-06, 0.0003767272821, 0.003838491597, 0.05424314545, 0.1851342867, 1.128379169)
Q = (6.239129255e-05, 0.00130145604, 0.01542967326, 0.113872722, 0.4974043959, 1.0)
LIMIT = 3.9192
# erfcx(u / sqrt(2)) / 2 for 0 <= u <= 14.4 as a quotient of polynomials in u, with a relative error of 6e-9.
_TAIL = np.array([
    [0.5, 0.43808627, 0.1830802, 0.040580902, 0.0041085146, 0],
    [1, 1.6740575, 1.2018603, 0.46906152, 0.101727754, 0.010298397],
])  # fmt: skip
# The logarithm of ndtr(-x) / ndtr(x) is x times this quotient of polynomials in x^2: to 6e-9 / (ndtr(x) ndtr(-x)), and
# to 6e-5 as far out as 9 (a minimax fit by linear programming). All terms of a polynomial have one sign.
_ODDS = np.array([
    [-1.59576896, -0.233281846, -0.0198852617, -0.000660712, -3.24141792e-06],
    [1, 0.100647119, 0.00792531928, 0.000122296558, 1.44381676e-07],
], np.float32)  # fmt: skip
_STEEP = np.float32(1e4)  # the square of an argument so large that ndtr is 0 or 1
_TINY = np.float32(1e-30)
_LOWEST = np.float32(-3e38)
_FAR = np.float32(40)  # where exp(-u^2 / 2) is zero in double precision
_DENSITY = 1 / math.sqrt(2 * math.pi)
_SIGN, _ONE = np.int32(-(2**31)), np.float32(1).view(np.int32)
FEW = 256
_ROOMS = (np.float64, (6, np.float64), (2, np.float64))


def erf(x: np.ndarray) -> np.ndarray:
    """The error function, element by element."""
    if x.dtype != np.float32 or x.size < FEW:
        from scipy.special import erf as general  # on first use: it costs more than all of flowtorch

        return general(x)
    return fill(_rational, x, rooms=(np.float64,) * 4)


def _rational(
    part: np.ndarray, out: np.ndarray, x: np.ndarray, square: np.ndarray, p: np.ndarray, q: np.ndarray
) -> None:
    """Evaluate the fit in double precision, so that its rounding does not show in single."""
    np.copyto(x, part)  # a cast of its own: ufuncs that cast on the way are slow
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
    np.copyto(out, p, casting="same_kind")


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


def gelu(x: np.ndarray) -> np.ndarray:
    """``x * ndtr(x)``, for hot loops: in long float32 arrays with the error of ``x * (1 + erf(x / sqrt(2)))``."""
    if x.dtype != np.float32:
        return x * ndtr(x)
    if x.size < FEW:
        p = _lower_tail(x)
        p *= np.abs(np.minimum(x, 3e38))              # infinity keeps nothing of a product with zero
        return np.copysign(np.maximum(x, 0) - p, x, dtype=np.float32, casting="same_kind")
    return fill(_gelu_block, x, rooms=((5, np.float32), (2, np.float32)))


def gelu_slope(x: np.ndarray) -> np.ndarray:
    """The derivative of ``gelu``."""
    if x.dtype != np.float32 or x.size < FEW:
        slope = ndtr(x)
        density = np.exp(x * x * -0.5)
        density *= x
        density *= _DENSITY
        slope += density
        return slope
    return fill(_slope_block, x, rooms=_ROOMS)


def _lower_tail(x: np.ndarray) -> np.ndarray:
    """The normal distribution at -abs(x), in double precision."""
    from scipy.special import ndtr as general

    return np.asarray(general(-np.abs(x.astype(np.float64))))


def _gelu_block(part: np.ndarray, out: np.ndarray, powers: np.ndarray, sums: np.ndarray) -> None:
    powers = powers.reshape(5, -1)
    x, sums = part.reshape(-1), sums.reshape(2, -1)
    one, square, fourth, sixth, eighth = powers
    one.fill(1)
    np.multiply(x, x, square)
    if not square.max() < _STEEP:                     # powers of infinity have no quotient
        np.minimum(square, _STEEP, out=square)
        x = np.maximum(x, _LOWEST)
    np.multiply(square, square, fourth)
    np.multiply(square, fourth, sixth)
    np.multiply(fourth, fourth, eighth)
    odds, below = np.matmul(_ODDS, powers, out=sums)  # one call for both polynomials
    odds /= below
    odds *= x
    one_plus_exp(odds, odds)
    np.divide(x.reshape(part.shape), odds.reshape(part.shape), out)


def gelu_slope_from(x: np.ndarray, y: np.ndarray, grad: np.ndarray) -> np.ndarray:
    """``grad`` times the derivative of ``gelu`` at ``x`` in float32, from ``y / x``, where ``y`` is ``gelu(x)``."""
    return fill(_slope_from_block, x, y, grad, rooms=(np.float32,))


def _slope_from_block(x: np.ndarray, y: np.ndarray, grad: np.ndarray, out: np.ndarray, room: np.ndarray) -> None:
    np.divide(y, x, out)
    np.multiply(x, x, room)
    if not room.min() > _TINY:                        # the quotient has no digits there, or no value
        np.copyto(out, 0.5, where=np.abs(x) < 1e-15)
    exp_of_multiple(room, -0.5, room)
    room *= _DENSITY
    room *= x
    out += room
    out *= grad


def _slope_block(part: np.ndarray, out: np.ndarray, *room: np.ndarray) -> None:
    u, e, s = _tail(part, out, *room)
    u *= _DENSITY
    s -= u
    e *= s                                            # the slope at -u, and one minus it at u
    n = out.shape[-1]
    low, right = s.view(np.float32)[..., :n], u.view(np.int32)[..., :n]
    np.copyto(low, e, casting="same_kind")
    step, tail = out.view(np.int32), low.view(np.int32)
    np.invert(part.view(np.int32), right)
    right >>= 31                                      # all bits set where the argument is positive
    np.bitwise_and(right, _ONE, out=step)
    right &= _SIGN
    tail ^= right
    out += low
    np.subtract(part, part, out=low)                  # infinity times its density has no value
    out += low


def _tail(part: np.ndarray, low: np.ndarray, wide: np.ndarray, powers: np.ndarray, sums: np.ndarray) -> tuple:
    """(u, e, s): u = abs(part), and the normal distribution at -u is e * s, e being exp(-u^2 / 2).

    In double precision, as each of the dozen roundings of single would show in the product; ``low`` is overwritten.
    """
    ones, u, square, cube = powers[:4]
    ones.fill(1)
    np.abs(part, out=low)
    if not low.max() < 1e30:                          # powers of infinity have no quotient
        np.minimum(low, _FAR, out=low)
    np.copyto(u, low)
    np.multiply(u, u, square)
    np.multiply(square, -0.5, wide)
    np.exp(wide, wide)
    np.multiply(square, u, cube)
    np.multiply(square, square, powers[4])
    np.multiply(square, cube, powers[5])
    if part.ndim == 1:
        np.matmul(_TAIL, powers, out=sums)            # one call for both polynomials
    else:
        np.einsum("ij,j...->i...", _TAIL, powers, out=sums)
    s, below = sums
    s /= below
    return u, wide, s


@_in_double
def log_ndtr(x: np.ndarray) -> np.ndarray:
    """The logarithm of ``ndtr``."""
    from scipy.special import erfcx as scaled

    below = x < -1
    y = np.where(below, x, -1.0)
    far = np.log(0.5 * scaled(y * -math.sqrt(0.5))) - 0.5 * y * y
    return np.where(below, far, np.log1p(-ndtr(-x)))
