"""How gamma and Dirichlet samples move with their parameters, by PyTorch's approximations.

A sample x of a distribution with parameter a and cumulative function F moves as -(dF/da) / (dF/dx). The expansions
and rational fits are those of Jankowiak and Obermeyer (2018), which PyTorch evaluates; each element takes the one
made for its region.
"""

from __future__ import annotations

import numpy as np

_GAMMA_FIT = np.array(
    [
        [0.16009398, -0.094634809, 0.025146376, -0.0030648343, 1, 0.32668115, 0.10406089, 0.0014179084],
        [0.53487893, 0.1298071, 0.065735949, -0.0015649758, 0.16639465, 0.020070113, -0.0035938915, -0.00058392623],
        [0.040121004, -0.0065914022, -0.0026286047, -0.0013441777, 0.017050642, -0.0021309326, 0.00085092367,
         -1.5247877e-07],
    ]
)  # fmt: skip
# Numerator and denominator, by power of log x, of log(alpha / x) and of what is left of log(total).
_BETA_FIT = np.array(
    [
        [
            [
                [1.003668233, -0.01061107488, -0.0657888334, 0.01201642863],
                [0.6336835991, -0.3557432599, 0.05486251648, -0.001465281033],
                [-0.03276231906, 0.004474107445, 0.002429354597, -0.0001557569013],
            ],
            [
                [0.221950385, -0.3187676331, 0.01799915743, 0.01074823814],
                [-0.2951249643, 0.06219954479, 0.01535556598, 0.001550077057],
                [0.02155310298, 0.004170831599, 0.001292462449, 6.976601077e-05],
            ],
            [
                [-0.05980841433, 0.008441916499, 0.01085618172, 0.002319392565],
                [0.02911413504, 0.01400243777, -0.002721828457, 0.000751041181],
                [0.005900514878, -0.001936558688, -9.495446725e-06, 5.385558597e-05],
            ],
        ],
        [
            [
                [1, -0.02924021934, -0.04438342661, 0.007285809825],
                [0.6357567472, -0.3473456711, 0.05454656494, -0.002407477521],
                [-0.03301322327, 0.004845219414, 0.00231480583, -0.0002307248149],
            ],
            [
                [0.5925320577, -0.1757678135, 0.01505928619, 0.000564515273],
                [0.1014815858, -0.06589186703, 0.01272886114, -0.0007316646956],
                [-0.007258481865, 0.001096195486, 0.0003934994223, -4.12701925e-05],
            ],
            [
                [0.06469649321, -0.0236701437, 0.002902096474, -5.896963079e-05],
                [0.001925008108, -0.002869809258, 0.0008000589141, -6.063713228e-05],
                [-0.0003477407336, 6.959756487e-05, 1.097287507e-05, -1.650964693e-06],
            ],
        ],
    ]
)


def standard_gamma_grad(alpha: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The derivative of gamma samples ``x`` by their shapes ``alpha``."""
    alpha, x = np.broadcast_arrays(alpha, x)
    dtype = x.dtype
    alpha, x = alpha.astype(np.float64), x.astype(np.float64)
    small = x < 0.8
    large = ~small & (alpha > 8)
    middle = large & (0.9 * alpha <= x) & (x <= 1.1 * alpha)
    regions = (
        (small, _gamma_series),
        (middle, _gamma_near_mean),
        (large & ~middle, _gamma_saddle_point),
        (~small & ~large, _gamma_fit),
    )
    return _by_region(regions, alpha, x).astype(dtype)


def _by_region(regions: tuple, *arguments: np.ndarray) -> np.ndarray:
    result = np.empty(arguments[0].shape)
    with np.errstate(all="ignore"):
        for where, function in regions:
            if where.any():
                result[where] = function(*[argument[where] for argument in arguments])
    return result


def _gamma_series(alpha: np.ndarray, x: np.ndarray) -> np.ndarray:
    # Term by term: x**alpha * sum of (-x)**i / (i! (alpha + i)), and its derivative by alpha.
    from scipy.special import digamma

    term = np.ones_like(x)
    value, slope = 1 / alpha, 1 / alpha**2
    for i in range(1, 6):
        term *= -x / i
        value += term / (alpha + i)
        slope += term / (alpha + i) ** 2
    power = x**alpha
    moved = (np.log(x) - digamma(alpha)) * power * value - power * slope
    return np.nan_to_num(-moved / (x ** (alpha - 1) * np.exp(-x)), nan=0.0, posinf=np.inf, neginf=-np.inf)


def _gamma_near_mean(alpha: np.ndarray, x: np.ndarray) -> np.ndarray:
    first = 1 + 24 * alpha * (1 + 12 * alpha)
    second = 1440 * alpha**2 + 6 * x * (53 - 120 * x) - 65 * x * x / alpha + alpha * (107 + 3600 * x)
    return first * second / (1244160 * alpha**4)


def _gamma_saddle_point(alpha: np.ndarray, x: np.ndarray) -> np.ndarray:
    width = np.sqrt(8 * alpha)
    distance = alpha - x
    ratio = np.log(x / alpha)
    depth = (x - alpha - alpha * ratio) ** -1.5
    sum_ = width / distance + np.where(x < alpha, -depth, depth)
    term = ratio * sum_ - np.sqrt(2 / alpha) * (alpha + x) / distance**2
    stirling = 1 + 1 / (12 * alpha) * (1 + 1 / (24 * alpha))
    return -stirling * x * term / width


def _gamma_fit(alpha: np.ndarray, x: np.ndarray) -> np.ndarray:
    u, v = np.log(x / alpha), np.log(alpha)
    c = [_GAMMA_FIT[0, i] + u * (_GAMMA_FIT[1, i] + u * _GAMMA_FIT[2, i]) for i in range(8)]
    return np.exp(_cubic(c[:4], v) / _cubic(c[4:], v))


def _cubic(c: list, v: np.ndarray) -> np.ndarray:
    return c[0] + v * (c[1] + v * (c[2] + v * c[3]))


def dirichlet_grad(x: np.ndarray, alpha: np.ndarray, total: np.ndarray) -> np.ndarray:
    """The derivative of a Dirichlet component by its own concentration, over ``1 - x``; ``total`` sums them all."""
    x, alpha, total = np.broadcast_arrays(x, alpha, total)
    dtype = x.dtype
    x, alpha, total = (array.astype(np.float64) for array in (x, alpha, total))
    beta = total - alpha
    boundary = total * x * (1 - x)
    low = (x <= 0.5) & (boundary < 2.5)
    high = ~low & (x >= 0.5) & (boundary < 0.75)
    large = ~low & ~high & (alpha > 6) & (beta > 6)
    middle = large & (np.abs(x - alpha / total) <= 0.1 * _beta_deviation(alpha, beta))
    regions = (
        (low, _beta_low),
        (high, _beta_high),
        (middle, _beta_near_mean),
        (large & ~middle, _beta_saddle_point),
        (~(low | high | large), _beta_fit),
    )
    return _by_region(regions, x, alpha, beta).astype(dtype)


def _beta_deviation(alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    total = alpha + beta
    return np.sqrt(alpha * beta / (total + 1)) / total


def _beta_low(x: np.ndarray, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    from scipy.special import digamma

    factor = digamma(alpha) - digamma(alpha + beta) - np.log(x)
    term = np.ones_like(x)
    series = (factor + 1 / alpha) / alpha
    for i in range(1, 11):
        term *= (i - beta) * x / i
        series += term / (alpha + i) * (factor + 1 / (alpha + i))
    return np.nan_to_num(x * (1 - x) ** -beta * series, nan=0.0, posinf=np.inf, neginf=-np.inf)


def _beta_high(x: np.ndarray, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    # The other component of the pair lies near zero; the product of (alpha - i) is differentiated along.
    from scipy.special import digamma

    y = 1 - x
    factor = digamma(alpha + beta) - digamma(alpha)
    term, product, slope = np.ones_like(x), np.ones_like(x), np.zeros_like(x)
    series = factor / beta
    for i in range(1, 9):
        term *= -y / i
        slope = slope * (alpha - i) + product
        product = product * (alpha - i)
        series += term / (beta + i) * (slope + factor * product)
    return np.nan_to_num(x ** (1 - alpha) * series, nan=0.0, posinf=np.inf, neginf=-np.inf)


def _beta_near_mean(x: np.ndarray, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    total = alpha + beta
    cubic = 8 * (1 - x) * (135 * beta - 11) * alpha + (453 + 1620 * beta * (1 - x) - 455 * x) * beta
    quadratic = cubic * alpha + 3 * (59 + 180 * beta - 90 * x) * beta**2
    linear = quadratic * alpha + (43 + 20 * (16 + 27 * beta) * x) * beta**3
    value = linear * alpha + 47 * x * beta**4
    scale = (1 + 12 * alpha) * (1 + 12 * beta) / total**2
    return scale / (1 - x) * value / (12960 * alpha**3 * beta**2 * (1 + 12 * total))


def _beta_saddle_point(x: np.ndarray, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    total = alpha + beta
    offset = alpha * (x - 1) + beta * x
    slope = (2 * alpha**2 + alpha * beta) * (x - 1) - x * beta**2
    slope /= np.sqrt(2 * alpha / beta) * total**1.5 * offset**2
    ratio = np.log(alpha / (total * x))
    depth = (beta * np.log(beta / (total * (1 - x))) + alpha * ratio) ** -1.5
    rest = np.sqrt(8 * alpha * beta / total) / offset + np.where(x < alpha / total, depth, -depth)
    stirling = _stirling(alpha) * _stirling(beta) / _stirling(total)
    return -stirling * x / np.sqrt(2 * alpha * beta / total) * (slope + 0.5 * ratio * rest)


def _stirling(z: np.ndarray) -> np.ndarray:
    return 1 + 1 / (12 * z) + 1 / (288 * z * z)


def _beta_fit(x: np.ndarray, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    from scipy.special import digamma

    total = alpha + beta
    u = np.log(x)
    a = np.log(alpha) - u
    b = np.log(total) - a
    powers = [1, b, b * b, b * b * b]
    fit = [
        sum(
            u**i * a**j * sum(c * power for c, power in zip(table[i, j], powers, strict=True))
            for i in range(3)
            for j in range(3)
        )
        for table in _BETA_FIT
    ]
    return fit[0] / fit[1] * x * (digamma(total) - digamma(alpha)) / beta
