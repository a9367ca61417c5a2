"""Special functions that CUDA's library lacks, in float64: helpers of kernels.

Series stop where no term changes any sum; the integrals of the modified Bessel functions are trapezoidal sums, which
converge faster than any power of the step for functions that fall off like these.
"""

import triton
import triton.language as tl
from triton.language.extra import libdevice

from .scalar import digamma

_PI = tl.constexpr(3.141592653589793)
_EULER = tl.constexpr(0.5772156649015329)
_BERNOULLI = tl.constexpr((
    -1.3888888888888889e-03, 3.306878306878307e-05, -8.267195767195768e-07, 2.08767569878681e-08,
    -5.284190138687493e-10, 1.3382536530684679e-11, -3.3896802963225827e-13, 8.586062056277845e-15,
    -2.174868698558062e-16, 5.5090028283602295e-18, -1.3954464685812522e-19,
))  # fmt: skip
"""B(2k) / (2k)! from k = 2."""


@triton.jit
def zeta(s, q):
    """Hurwitz's zeta function: ten terms or more, then the Euler-Maclaurin remainder."""
    a = q
    total = tl.zeros_like(q)
    k = 0
    while (k < 10) | (tl.max(tl.where(a < 10, 1, 0)) > 0):
        near = (a < 10) | (k < 10)
        total = tl.where(near, total + libdevice.pow(a, -s), total)
        a = tl.where(near, a + 1, a)
        k += 1
        if k > 4096:  # what is further below zero has no value in PyTorch's sum either
            a = tl.zeros_like(a) + 10
    power = libdevice.pow(a, -s)
    total += power * a / (s - 1) + power * 0.5
    power = power / a
    factor = s
    term = factor * power
    total += term * 0.08333333333333333
    rise = s
    for k in tl.static_range(1, 12):
        factor = factor * (rise + 1) * (rise + 2)
        rise = rise + 2
        power = power / (a * a)
        total += factor * power * _BERNOULLI[k - 1]
    pole = (q <= 0) & (q == tl.floor(q))
    total = tl.where(pole, float("inf"), total)
    total = tl.where((q <= 0) & (q != tl.floor(q)) & (s != tl.floor(s)), float("nan"), total)
    total = tl.where(q == float("inf"), 0.0, total)
    return tl.where(s == 1, float("inf"), tl.where(s > 1, total, float("nan")))


@triton.jit
def polygamma(n, x):
    """The n-th derivative of digamma, n >= 1; the first by reflection where x is negative."""
    low = (n == 1) & (x < 0.5)
    found = zeta(n + 1, tl.where(low, 1 - x, x))
    sine = libdevice.sin(x * _PI)
    found = tl.where(low, _PI * _PI / (sine * sine) - found, found)
    size = libdevice.exp(libdevice.lgamma(n + 1))
    even = n - 2 * tl.floor(n / 2) == 0
    return tl.where(even, -found, found) * tl.where(n < 20, libdevice.nearbyint(size), size)


@triton.jit
def normal_quantile(p):
    """Where the normal distribution reaches p: Abramowitz and Stegun 26.2.23, then two of Halley's steps."""
    tail = tl.minimum(p, 1 - p)
    q = tl.where(tail > 0, tail, 0.25)
    t = tl.sqrt(-2 * libdevice.log(q))
    x = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
    for _ in tl.static_range(2):
        away = libdevice.erfc(x * 0.7071067811865476) * 0.5 - q
        u = away * 2.5066282746310002 * libdevice.exp(x * x * 0.5)
        x += u / (1 - x * u * 0.5)
    x = tl.where(tail > 0, x, tl.where(tail == 0, float("inf"), float("nan")))
    return tl.where(p < 0.5, -x, x)


@triton.jit
def _gamma_weight(a, x):
    """x ** a * exp(-x) / gamma(a + 1)"""
    return libdevice.exp(a * libdevice.log(x) - x - libdevice.lgamma(a + 1))


@triton.jit
def _lower(a, x, active):
    """The series of the lower incomplete gamma function over its weight, where `active`."""
    term = tl.zeros_like(x) + 1
    total = term
    k = 1
    going = active
    while tl.max(going.to(tl.int32)) > 0:
        term = tl.where(going, term * x / (a + k), 0.0)
        total += term
        going = going & (term > total * 1e-17)
        k += 1
    return total


@triton.jit
def _upper(a, x, active):
    """The upper incomplete gamma function over x ** a * exp(-x), by its continued fraction (Lentz), where `active`."""
    b = x + 1 - a
    c = tl.zeros_like(x) + 1e300
    d = 1 / tl.where(b == 0, 1e-300, b)
    h = d
    k = 1
    going = active
    while tl.max(going.to(tl.int32)) > 0:
        an = -k * (k - a)
        b += 2
        d = an * d + b
        c = b + an / c
        d = 1 / tl.where(tl.abs(d) < 1e-300, 1e-300, d)
        c = tl.where(tl.abs(c) < 1e-300, 1e-300, c)
        step = tl.where(going, d * c, 1.0)
        h = h * step
        going = going & (tl.abs(step - 1) > 1e-16) & (k < 20000)
        k += 1
    return h


@triton.jit
def incomplete_gamma(a, x, UPPER: tl.constexpr):
    """The regularised lower (or upper) incomplete gamma function."""
    good = (a > 0) & (x > 0) & (x < float("inf")) & (a < float("inf"))
    a1 = tl.where(good, a, 1.0)
    x1 = tl.where(good, x, 1.0)
    series = (x1 <= 1) | (x1 <= a1 + 1)
    weight = _gamma_weight(a1, x1)
    below = weight * _lower(a1, x1, good & series)
    above = weight * a1 * _upper(a1, tl.where(series, a1 + 2, x1), good & (series == 0))
    lower = tl.where(series, below, 1 - above)
    upper = tl.where(series, 1 - below, above)
    # what is no ordinary point: x = 0, a = 0, or one of them infinite
    ends = (x == 0) | (x == float("inf")) | (a == float("inf"))  # nan in the other operand matters only elsewhere
    none = (x < 0) | (a < 0) | (((x != x) | (a != a)) & (ends == 0)) | ((a == 0) & ((x == 0) | (x != x)))
    none = none | ((a == float("inf")) & (x == float("inf")))
    whole = (a == 0) | (x == float("inf"))
    lower = tl.where(good, lower, tl.where(whole, 1.0, 0.0))
    upper = tl.where(good, upper, tl.where(whole, 0.0, 1.0))
    if UPPER:
        lower = upper
    return tl.where(none, float("nan"), lower)


@triton.jit
def gamma_gradient(a, x):
    """How a gamma sample x moves with its shape a: minus the derivative of the distribution by a, over the density."""
    term = tl.zeros_like(x) + 1
    total = term
    slope = tl.zeros_like(x)
    harmonic = tl.zeros_like(x)
    k = 1
    going = (x > 0) & (a > 0)
    while tl.max(going.to(tl.int32)) > 0:
        term = tl.where(going, term * x / (a + k), 0.0)
        harmonic += 1 / (a + k)
        total += term
        slope -= term * harmonic
        going = going & (term * (1 + harmonic) > total * 1e-17) & (k < 100000)
        k += 1
    return -x / a * (total * (libdevice.log(x) - digamma(a + 1)) + slope)


@triton.jit
def dirichlet_gradient(x, a, total):
    """The derivative of a Dirichlet component x by its concentration a, over 1 - x; from the beta distribution."""
    b = total - a
    near = x * (total + 2) <= a + 1
    z = tl.where(near, x, 1 - x)
    own = tl.where(near, a, b)
    term = tl.zeros_like(x) + 1
    sum = term
    slope = tl.zeros_like(x)
    harmonic = tl.zeros_like(x)
    k = 1
    going = (x > 0) & (x < 1)
    while tl.max(going.to(tl.int32)) > 0:
        term = tl.where(going, term * z * (total + k - 1) / (own + k), 0.0)
        harmonic += 1 / (total + k - 1) - tl.where(near, 1 / (a + k), 0.0)
        sum += term
        slope += term * harmonic
        going = going & (term * (1 + tl.abs(harmonic)) > sum * 1e-17) & (k < 100000)
        k += 1
    tilt = libdevice.log(x) + digamma(total) - digamma(a)
    below = -x / a * (sum * (tilt - 1 / a) + slope)
    above = x / b * (sum * tilt + slope)
    return tl.where(near, below, above)


@triton.jit
def bessel_k(x, ORDER: tl.constexpr, SCALED: tl.constexpr):
    """The modified Bessel function of the second kind of order 0 or 1, times exp(x) if SCALED."""
    low = x <= 2
    y = tl.where(low, x, 2.0) * 0.5
    q = y * y
    term = tl.zeros_like(x) + 1
    first = term
    second = -2 * _EULER * term if ORDER == 0 else (1 - 2 * _EULER) * term
    harmonic = tl.zeros_like(x)
    for k in tl.static_range(1, 22):
        term = term * q / (k * (k + ORDER))
        harmonic += 1.0 / k
        first += term
        if ORDER == 0:
            second += term * 2 * (harmonic - _EULER)
        else:
            second += term * (2 * harmonic + 1.0 / (k + 1) - 2 * _EULER)
    if ORDER == 0:
        near = second * 0.5 - libdevice.log(y) * first
    else:
        near = 0.5 / y + y * (libdevice.log(y) * first - second * 0.5)
    far = bessel_k_integral(tl.where(low, 2.0, x), ORDER)
    fall = libdevice.exp(-x)
    if SCALED:
        near = near / fall
    else:
        far = far * fall
    value = tl.where(low, near, far)
    value = tl.where(x == float("inf"), 0.0, value)
    return tl.where(x > 0, value, tl.where(x == 0, float("inf"), float("nan")))


@triton.jit
def bessel_k_integral(x, order):
    """exp(x) * K(x) for x of 2 or more: the integral of exp(-x (cosh t - 1)) cosh(order t)."""
    step = 0.25 / tl.sqrt(x)
    total = tl.zeros_like(x) + 0.5
    for k in range(1, 40):
        t = step * k
        half = libdevice.sinh(t * 0.5)
        total += libdevice.exp(-2 * x * half * half) * libdevice.cosh(t * order)
    return total * step


@triton.jit
def airy(x):
    """Airy's Ai: its power series near 0, an integral to the right, asymptotic series to the left."""
    middle = (x > -7) & (x < 3)
    z = tl.where(middle, x, 0.0)
    cube = z * z * z
    f = tl.zeros_like(x) + 0.3550280538878172
    g = z * -0.2588194037928068
    near = f + g
    for k in tl.static_range(1, 45):
        f = f * cube / ((3 * k - 1) * (3 * k))
        g = g * cube / ((3 * k) * (3 * k + 1))
        near += f + g
    right = tl.where(x >= 3, x, 3.0)
    size = right * tl.sqrt(right) * (2.0 / 3.0)
    above = bessel_k_integral(size, 1.0 / 3.0) * libdevice.exp(-size) * tl.sqrt(right / 3) / _PI
    left = tl.where(x <= -7, -x, 7.0)
    size = left * tl.sqrt(left) * (2.0 / 3.0)
    p = tl.zeros_like(x) + 1
    q = tl.zeros_like(x)
    term = p
    for k in tl.static_range(1, 16):
        term = term * ((6 * k - 5) * (6 * k - 1)) / (72.0 * k) / size
        if k % 4 == 0:
            p += term
        elif k % 4 == 1:
            q += term
        elif k % 4 == 2:
            p -= term
        else:
            q -= term
    turn = size + _PI / 4
    below = (libdevice.sin(turn) * p - libdevice.cos(turn) * q) / tl.sqrt(tl.sqrt(left) * _PI)
    value = tl.where(middle, near, tl.where(x >= 3, above, below))
    return tl.where(x == float("inf"), 0.0, tl.where(x == float("-inf"), float("nan"), value))
