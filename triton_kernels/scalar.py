"""Scalar functions that Triton lacks or rounds differently, as helpers of kernels."""

import triton
import triton.language as tl
from triton.language.extra import libdevice

_COSINE = tl.constexpr((
    -7.700707130601346e-11, 3.6047307974624982e-09, -1.387895246221376e-07, 4.303069587032944e-06,
    -0.00010463810492484565, 0.001929574309403922, -0.02580689139001405, 0.23533063035889312,
    -1.3352627688545893, 4.058712126416768, -4.934802200544679, 1.0,
))  # fmt: skip
"""The coefficients of cos(pi * z), the highest power first."""


@triton.jit
def divide(a, b):
    """a / b rounded correctly; Triton's own float32 division is approximate."""
    if a.dtype == tl.float32:
        return tl.div_rn(a, b)
    else:  # noqa: RET505 - Triton's compiler takes both returns otherwise
        return a / b


@triton.jit
def square_root(x):
    """sqrt(x) rounded correctly."""
    if x.dtype == tl.float32:
        return tl.sqrt_rn(x)
    else:  # noqa: RET505
        return tl.sqrt(x)


@triton.jit
def nan_minimum(a, b):
    """The smaller, NaN if either is."""
    return tl.where(a != a, a, tl.where(a < b, a, b))


@triton.jit
def nan_maximum(a, b):
    """The larger, NaN if either is."""
    return tl.where(a != a, a, tl.where(a > b, a, b))


@triton.jit
def float_floor_divide(a, b):
    """a / b rounded down, exact where the quotient is near an integer."""
    remainder = libdevice.fmod(a, b)
    quotient = divide(a - remainder, b)
    quotient = tl.where((remainder != 0) & ((b < 0) != (remainder < 0)), quotient - 1, quotient)
    rounded = tl.floor(quotient)
    rounded = tl.where(quotient - rounded > 0.5, rounded + 1, rounded)
    exact = divide(a, b)
    rounded = tl.where(quotient == 0, libdevice.copysign(quotient * 0, exact), rounded)
    return tl.where(b == 0, exact, rounded)


@triton.jit
def float_remainder(a, b):
    """The remainder of a / b with the sign of b."""
    remainder = libdevice.fmod(a, b)
    return tl.where((remainder != 0) & ((b < 0) != (remainder < 0)), remainder + b, remainder)


@triton.jit
def integer_floor_divide(a, b):
    """a / b rounded down; Triton's own // truncates."""
    quotient = a // b
    remainder = a - quotient * b
    return tl.where((remainder != 0) & ((b < 0) != (remainder < 0)), quotient - 1, quotient)


@triton.jit
def integer_remainder(a, b):
    """The remainder of a / b with the sign of b; Triton's own % has the sign of a."""
    remainder = a % b
    return tl.where((remainder != 0) & ((b < 0) != (remainder < 0)), remainder + b, remainder)


@triton.jit
def integer_power(base, exponent, BITS: tl.constexpr):
    """base to the power exponent by squaring; 1, -1 or 0 for a negative exponent."""
    result = base * 0 + 1
    factor = base
    left = exponent
    for _ in range(BITS):
        result = tl.where((left & 1) != 0, result * factor, result)
        factor = factor * factor
        left = left >> 1
    odd = (exponent & 1) != 0
    unit = tl.where((base == 1) | ((base + 1 == 0) & (odd == 0)), base * 0 + 1, tl.where(base + 1 == 0, base, base * 0))
    return tl.where(exponent < 0, unit, result)


@triton.jit
def left_shift(x, count, BITS: tl.constexpr):
    """x << count, 0 where count is outside the width."""
    outside = (count < 0) | (count >= BITS)
    return tl.where(outside, x * 0, x << tl.where(outside, count * 0, count))


@triton.jit
def right_shift(x, count, BITS: tl.constexpr):
    """x >> count, the sign where count is outside the width."""
    outside = (count < 0) | (count >= BITS)
    return tl.where(outside, tl.where(x < 0, x * 0 - 1, x * 0), x >> tl.where(outside, count * 0, count))


@triton.jit
def sign(x):
    """-1, 0 or 1; 0 for NaN."""
    return (x > 0).to(x.dtype) - (x < 0).to(x.dtype)


@triton.jit
def angle(x):
    """0 or pi, NaN for NaN."""
    return tl.where(x != x, x, tl.where(x < 0, 3.141592653589793, tl.zeros_like(x)))


@triton.jit
def digamma(x):
    """Derivative of lgamma: reflection, recurrence up to 10, then the asymptotic series."""
    below = x < 0.5
    value = tl.where(below, 1 - x, x)
    one = tl.zeros_like(x) + 1
    shift = tl.zeros_like(x)
    for _ in tl.static_range(10):
        small = value < 10
        shift = tl.where(small, shift + divide(one, value), shift)
        value = tl.where(small, value + 1, value)
    inverse = divide(one, value)
    square = inverse * inverse
    series = square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square * (1 / 132)))))
    result = libdevice.log(value) - 0.5 * inverse - series - shift
    angle = 3.141592653589793 * (x - tl.floor(x))
    reflected = result - 3.141592653589793 * divide(libdevice.cos(angle), libdevice.sin(angle))
    pole = (x <= 0) & (x == tl.floor(x))
    reflected = tl.where(pole, tl.where(x == 0, libdevice.copysign(one / 0, x * -1.0), float("nan")), reflected)
    return tl.where(below, reflected, result)


@triton.jit
def cosine_of_half_turns(x):
    """cos(pi * x) by its series on a quarter of a turn; not all devices' libraries have it."""
    away = tl.abs(x - 2 * tl.floor(x * 0.5 + 0.5))
    far = away > 0.5
    z = tl.where(far, 1 - away, away)
    square = z * z
    series = tl.zeros_like(x)
    for k in tl.static_range(12):
        series = series * square + _COSINE[k]
    return tl.where(far, -series, series)


@triton.jit
def multiply(a, b):
    """The product, as a combine function."""
    return a * b


@triton.jit
def maximum(a, b):
    """The larger of two integers, as a combine function."""
    return tl.maximum(a, b)


@triton.jit
def minimum(a, b):
    """The smaller of two integers, as a combine function."""
    return tl.minimum(a, b)


@triton.jit
def greatest_common_divisor(a, b):
    """Euclid's, of the magnitudes; all elements step until the last is done."""
    a = tl.abs(a)
    b = tl.abs(b)
    while tl.max((b != 0).to(tl.int32)) > 0:
        rest = a % tl.where(b == 0, 1, b)
        a, b = tl.where(b == 0, a, b), tl.where(b == 0, b, rest)
    return a
