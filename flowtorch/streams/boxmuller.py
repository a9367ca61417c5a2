"""Pairs of normal numbers in float32, rounded exactly as PyTorch's vectorised kernel rounds them.

That kernel evaluates the logarithm and the sine of the Cephes library in float32 with fused multiply-adds.
numpy has no fused multiply-add, but the product of two float32 numbers is exact in float64, so adding there
and rounding the sum to float32 is one, short of a rare double rounding (none changed a result in 30 million
draws). Everything here is float32; arrays named ``wide`` hold float32 numbers in float64.
"""

from __future__ import annotations

import numpy as np


def _narrow(value: float) -> np.ndarray:
    # A 0-d array, because a ufunc takes it faster than a scalar.
    return np.array(value, np.float32)


def _wide(*values: float) -> list[np.ndarray]:
    """Float32 numbers, in float64."""
    return [np.array(np.float32(value), np.float64) for value in values]


def _integer(value: int) -> np.ndarray:
    return np.array(value, np.int32)


_LOG = _wide(
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
    2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
_SIN = _wide(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COS = _wide(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_LOG_2_HIGH, _LOG_2_LOW = _narrow(0.693359375), _narrow(-2.12194440e-4)
_SQRT_HALF_BITS = _narrow(0.5**0.5).view(np.int32)
_FOUR_OVER_PI, _TWO_PI = _narrow(4 / np.pi), _narrow(2 * np.pi)
# A quarter of pi in three parts, of which the first two are short enough for exact products with an octant.
_QUARTER_PI = _narrow(0.78515625), _narrow(2.4187564849853515625e-4)
(_QUARTER_PI_REST,) = _wide(-3.77489497744594108e-8)
_ONE, _ONE_HALF, _MINUS_HALF, _MINUS_TWO = _narrow(1), _narrow(0.5), _narrow(-0.5), _narrow(-2)
_INT_ONE, _INT_TWO, _INT_FOUR, _EVEN = _integer(1), _integer(2), _integer(4), _integer(-2)
_FROM_TWO_TO_SIGN, _FROM_FOUR_TO_SIGN, _SIGN_BIT = _integer(30), _integer(29), _integer(31)
# The layout of a float32: 23 bits of mantissa below an exponent that is 126 for numbers in [1/2, 1).
_MANTISSA_BITS, _MANTISSA_MASK, _HALF_BITS = _integer(23), _integer(0x007FFFFF), _integer(0x3F000000)
_EXPONENT_OF_HALF = _narrow(126)


class BoxMuller:
    """Transforms ``size`` pairs of uniform numbers at a time, in buffers it keeps."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._wide_x, self._wide, self._product = np.empty((3, size))
        self._a, self._b, self._c, self._d = np.empty((4, size), np.float32)
        self._i, self._j = np.empty((2, size), np.int32)

    def __call__(self, u1: np.ndarray, u2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Two independent normal numbers from ``u1`` in (0, 1] and ``u2`` in [0, 1); overwrites both."""
        radius = u1
        self._log(u1, radius)
        radius *= _MINUS_TWO
        np.sqrt(radius, radius)
        u2 *= _TWO_PI
        sine, cosine = self._sine_cosine(u2)
        cosine *= radius
        sine *= radius
        return cosine, sine

    def _polynomial(self, coefficients: list[np.ndarray], out: np.ndarray) -> None:
        """Horner's rule at ``_wide_x`` in fused steps."""
        x, wide, product = self._wide_x, self._wide, self._product
        np.multiply(x, coefficients[0], product)
        np.add(product, coefficients[1], product)
        out[...] = product
        for coefficient in coefficients[2:]:
            wide[...] = out
            np.multiply(wide, x, product)
            np.add(product, coefficient, product)
            out[...] = product

    def _fused(self, a: np.ndarray, wide_b: np.ndarray, c: np.ndarray, out: np.ndarray) -> None:
        """``a * b + c``."""
        wide, product = self._wide, self._product
        wide[...] = a
        np.multiply(wide, wide_b, product)
        wide[...] = c
        np.add(product, wide, product)
        out[...] = product

    def _log(self, u: np.ndarray, out: np.ndarray) -> None:
        exponent, mantissa = self._i, self._j
        power, x, y, square = self._a, self._b, self._c, self._d
        # u = 2**exponent * mantissa with the mantissa in [sqrt(1/2), sqrt(2)).
        bits = u.view(np.int32)
        np.right_shift(bits, _MANTISSA_BITS, exponent)
        np.bitwise_and(bits, _MANTISSA_MASK, mantissa)
        np.bitwise_or(mantissa, _HALF_BITS, mantissa)
        scaled = mantissa.view(np.float32)
        x_bits = x.view(np.int32)
        np.subtract(mantissa, _SQRT_HALF_BITS, x_bits)
        np.right_shift(x_bits, _SIGN_BIT, x_bits)       # all bits set, which is -1, where it is below sqrt(1/2)
        np.add(exponent, x_bits, exponent)
        power[...] = exponent
        np.subtract(power, _EXPONENT_OF_HALF, power)
        np.bitwise_and(mantissa, x_bits, x_bits)        # the mantissa again there, and 0 elsewhere
        np.subtract(scaled, _ONE, scaled)
        np.add(x, scaled, x)

        self._wide_x[...] = x
        self._polynomial(_LOG, y)
        np.multiply(y, x, y)
        np.multiply(x, x, square)
        np.multiply(power, _LOG_2_LOW, scaled)
        self._wide_x[...] = square
        self._fused(y, self._wide_x, scaled, y)
        np.multiply(square, _ONE_HALF, square)
        np.subtract(y, square, y)
        np.add(x, y, x)
        np.multiply(power, _LOG_2_HIGH, power)
        np.add(x, power, out)

    def _sine_cosine(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        octant, y, square, wide_square = self._i, self._a, self._a, self._wide_x
        cosine, sine = self._c, self._d
        # x - octant * pi / 4 for the even octant next to x.
        np.multiply(x, _FOUR_OVER_PI, y)
        octant[...] = y
        np.add(octant, _INT_ONE, octant)
        np.bitwise_and(octant, _EVEN, octant)
        y[...] = octant
        for part in _QUARTER_PI:
            np.multiply(y, part, sine)
            np.subtract(x, sine, x)
        self._fused(y, _QUARTER_PI_REST, x, x)

        np.multiply(x, x, square)
        wide_square[...] = square
        self._polynomial(_COS, cosine)
        np.multiply(cosine, square, cosine)
        self._polynomial(_SIN, sine)
        np.multiply(sine, square, sine)
        np.multiply(square, _MINUS_HALF, square)
        self._fused(cosine, wide_square, square, cosine)
        np.add(cosine, _ONE, cosine)
        wide_x = wide_square
        wide_x[...] = x
        self._fused(sine, wide_x, x, sine)
        return self._place(octant, sine, cosine)

    def _place(self, octant: np.ndarray, sine: np.ndarray, cosine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Swap and negate sine and cosine as the octant says."""
        sign, difference = self._j, self._a.view(np.int32)
        np.left_shift(octant, _FROM_TWO_TO_SIGN, sign)
        swapped = np.right_shift(sign, _SIGN_BIT, sign)  # all bits set where they change places
        sine_bits, cosine_bits = sine.view(np.int32), cosine.view(np.int32)
        np.bitwise_xor(sine_bits, cosine_bits, difference)
        np.bitwise_and(difference, swapped, difference)
        np.bitwise_xor(sine_bits, difference, sine_bits)
        np.bitwise_xor(cosine_bits, difference, cosine_bits)
        np.bitwise_and(octant, _INT_FOUR, sign)
        _flip(sine, sign)
        np.add(octant, _INT_TWO, octant)
        np.bitwise_and(octant, _INT_FOUR, octant)
        _flip(cosine, octant)
        return sine, cosine


def _flip(values: np.ndarray, four: np.ndarray) -> None:
    """Negate where ``four`` is 4 and not 0."""
    np.left_shift(four, _FROM_FOUR_TO_SIGN, four)
    bits = values.view(np.int32)
    np.bitwise_xor(bits, four, bits)
