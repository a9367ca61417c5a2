"""The error function, gelu and its derivative in single precision, for long arrays: block by block, in few passes.

The area under the normal curve up to x is 1 / (1 + exp(-u)) where u, the logarithm of its odds, is x times a function
of x^2 that a quotient of polynomials follows closely; so erf(x) = tanh(u(x * sqrt(2)) / 2). numpy has fast loops for
both, and one product of matrices computes both polynomials. All their terms have one sign, so nothing cancels.
"""

from __future__ import annotations

import math

import numpy as np

from flowtorch.array.blocks import fill
from flowtorch.array.vectors import exp_of_multiple, one_plus_exp

# -u(x) / x as a quotient of polynomials in x^2: to 6e-9 / (ndtr(x) ndtr(-x)), and as far out as 9 to 6e-5. This and
# the next are minimax fits, by linear programming.
_ODDS = np.array([
    [-1.59576896, -0.233281846, -0.0198852617, -0.000660712, -3.24141792e-06],
    [1, 0.100647119, 0.00792531928, 0.000122296558, 1.44381676e-07],
], np.float32)  # fmt: skip
# The inverse hyperbolic tangent of erf(x) is x * _LEADING, exactly, and x times such a quotient, which is small
# where digits count: both together to 3e-9 of erf(x).
_ATANH = np.array([
    [6.43242435e-08, 0.102772522, 0.0159153293, 0.00181163872],
    [1, 0.156892485, 0.0236898762, 0.000324922893],
], np.float32)  # fmt: skip
_LEADING = np.full((), 1.1283791, np.float32)  # less than 2 / sqrt(pi), so that zeros keep their signs
_STEEP = np.float32(1e4)  # the square of an argument so large that the area is 0 or 1
_LOWEST = np.float32(-3e38)
_TINY = np.float32(1e-30)
_DENSITY = 1 / math.sqrt(2 * math.pi)


def erf(x: np.ndarray) -> np.ndarray:
    """The error function."""
    return fill(_erf_block, x, rooms=_rooms(_ATANH))


def _erf_block(part: np.ndarray, out: np.ndarray, powers: np.ndarray, sums: np.ndarray) -> None:
    rest, _ = _quotient(_ATANH, part, powers, sums)
    rest *= part
    np.multiply(part, _LEADING, out)
    rest += out
    np.tanh(rest, out)


def gelu(x: np.ndarray) -> np.ndarray:
    """``x`` times the area up to ``x``."""
    return fill(_gelu_block, x, rooms=_rooms(_ODDS))


def _gelu_block(part: np.ndarray, out: np.ndarray, powers: np.ndarray, sums: np.ndarray) -> None:
    odds, is_steep = _quotient(_ODDS, part, powers, sums)
    if is_steep:
        part = np.maximum(part, _LOWEST)              # infinity has no quotient
    odds *= part
    one_plus_exp(odds, odds)
    np.divide(part, odds, out)


def gelu_slope(x: np.ndarray, y: np.ndarray, grad: np.ndarray) -> np.ndarray:
    """``grad`` times the derivative of ``gelu`` at ``x`` from ``y``, which is ``gelu(x)``: ``y / x`` is the area."""
    return fill(_slope_block, x, y, grad, rooms=(np.float32,))


def _slope_block(x: np.ndarray, y: np.ndarray, grad: np.ndarray, out: np.ndarray, room: np.ndarray) -> None:
    np.divide(y, x, out)
    np.multiply(x, x, room)
    if not room.min() > _TINY:                        # the quotient has no digits there, or no value
        np.copyto(out, 0.5, where=np.abs(x) < 1e-15)
    exp_of_multiple(room, -0.5, room)
    room *= _DENSITY
    room *= x
    out += room
    out *= grad


def _rooms(table: np.ndarray) -> tuple:
    return (table.shape[1], np.float32), (2, np.float32)


def _quotient(table: np.ndarray, x: np.ndarray, powers: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, bool]:
    """The quotient of the polynomials in ``x * x`` whose coefficients are the rows, and whether any is beyond them."""
    powers[0].fill(1)
    square = np.multiply(x, x, powers[1])
    is_steep = not square.max() < _STEEP
    if is_steep:                                      # higher powers would become infinite
        np.minimum(square, _STEEP, out=square)
    for k in range(2, len(powers)):
        np.multiply(powers[k // 2], powers[k - k // 2], powers[k])
    np.matmul(table, powers.reshape(len(powers), -1), out=sums.reshape(2, -1))
    sums[0] /= sums[1]
    return sums[0], is_steep
