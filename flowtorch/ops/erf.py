"""The error function on arrays, and what it is close kin to: far out they need the square of the argument exactly."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from flowtorch.array.blocks import fill
from flowtorch.ops import erf_blocks
from flowtorch.ops.order import astype

# erfcx(u / sqrt(2)) / 2 for 0 <= u <= 14.4 as a quotient of polynomials in u, with a relative error of 6e-9.
_TAIL = np.array([
    [0.5, 0.43808627, 0.1830802, 0.040580902, 0.0041085146, 0],
    [1, 1.6740575, 1.2018603, 0.46906152, 0.101727754, 0.010298397],
])  # fmt: skip
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
    return erf_blocks.erf(x)


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
    return erf_blocks.gelu(x)


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
