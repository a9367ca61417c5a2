"""Special functions (torch.special) that numpy lacks: scipy's, imported on first use."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch.ops.arguments import need_int
from flowtorch.ops.erf import erfcx as erfcx_of
from flowtorch.ops.erf import log_ndtr as log_ndtr_of
from flowtorch.ops.erf import ndtr as ndtr_of
from flowtorch.ops.families import op, pointwise
from flowtorch.ops.op import composite

_NO_LOW = ("complex", "float16", "bfloat16")
_BOTH = ("input", "other")


def _scipy(name: str) -> Callable:
    def kernel(*arrays):
        import scipy.special

        return getattr(scipy.special, name)(*arrays)
    return kernel


def _define(name: str, kernel: Callable, doc: str, vjp: Any = None, low: bool = False, **options: Any) -> Any:
    def body(input):
        return np.asarray(kernel(input)).astype(input.dtype, copy=False)
    body.__name__, body.__doc__ = name, doc
    options.setdefault("namespace", "special")
    options.setdefault("method", False)
    options.setdefault("inplace", False)
    return pointwise(body, promote="float", rejects=("complex",) if low else _NO_LOW,
                     vjp=None if vjp is None else (vjp,), **options)


# ---------------------------------------------------------------- one argument

i0 = _define(
    "i0",
    _scipy("i0"),
    "The modified Bessel function of the first kind, order 0.",
    lambda g, input: g * i1(input),
    True,
    namespace="torch",
    method=True,
    inplace=True,
)
i0e = _define(
    "i0e",
    _scipy("i0e"),
    "``i0`` scaled by exp(-|x|).",
    lambda g, input, out: g * (i1e(input) - input.sgn() * out),
    True,
)
i1 = _define("i1", _scipy("i1"), "The modified Bessel function of the first kind, order 1.",
             lambda g, input, out: g * _at_zero(input, lambda x: i0(x) - out / x), True)
i1e = _define("i1e", _scipy("i1e"), "``i1`` scaled by exp(-|x|).",
              lambda g, input, out: g * _at_zero(input, lambda x: i0e(x) - out * (x.sgn() + x.reciprocal())), True)


def _at_zero(x: Any, slope: Callable) -> Any:
    """``slope(x)``, and its limit 1/2 at 0, where the formula divides by 0."""
    zero = x.abs() <= 1e-30
    return slope(x.masked_fill(zero, 1)).masked_fill(zero, 0.5)


ndtr = _define("ndtr", ndtr_of, "The distribution function of the normal distribution.",
               lambda g, input: g * ((-0.5 * input * input).exp() / math.sqrt(2 * math.pi)), True)
ndtri = _define("ndtri", _scipy("ndtri"), "The inverse of ``ndtr``.",
                lambda g, out: g * (math.sqrt(2 * math.pi) * (0.5 * out * out).exp()))
log_ndtr = _define("log_ndtr", log_ndtr_of, "The logarithm of ``ndtr``, accurate far below 0.",
                   lambda g, input: g / erfcx(input * -math.sqrt(0.5)) * math.sqrt(2 / math.pi))
erfcx = _define(
    "erfcx", erfcx_of, "exp(x^2) erfc(x).", lambda g, input, out: g * (2 * input * out - 2 / math.sqrt(math.pi))
)
entr = _define(
    "entr",
    _scipy("entr"),
    "-x log(x): 0 at 0, -inf below.",
    lambda g, input: g * (-(1 + input.log())).masked_fill(input < 0, math.nan),
    True,
)

for _name, _scipy_name, _doc in (
        ("bessel_j0", "j0", "The Bessel function of the first kind, order 0."),
        ("bessel_j1", "j1", "The Bessel function of the first kind, order 1."),
        ("bessel_y0", "y0", "The Bessel function of the second kind, order 0."),
        ("bessel_y1", "y1", "The Bessel function of the second kind, order 1."),
        ("modified_bessel_i0", "i0", "The modified Bessel function of the first kind, order 0."),
        ("modified_bessel_i1", "i1", "The modified Bessel function of the first kind, order 1."),
        ("modified_bessel_k0", "k0", "The modified Bessel function of the second kind, order 0."),
        ("modified_bessel_k1", "k1", "The modified Bessel function of the second kind, order 1."),
        ("scaled_modified_bessel_k0", "k0e", "``modified_bessel_k0`` scaled by exp(x)."),
        ("scaled_modified_bessel_k1", "k1e", "``modified_bessel_k1`` scaled by exp(x).")):
    globals()[_name] = _define(_name, _scipy(_scipy_name), _doc)


def _airy(x: np.ndarray) -> np.ndarray:
    found = np.array(_scipy("airy")(x)[0])
    lost = np.isnan(found) & np.isfinite(x)  # too far out for scipy: the first term of the expansion
    size = np.abs(np.where(lost, x, 1).astype(np.float64))
    wave = np.sin(2 / 3 * size**1.5 + np.pi / 4) / np.sqrt(np.pi * np.sqrt(size))
    return np.where(lost, np.where(x < 0, wave, 0), found)


def _spherical_j0(x: np.ndarray) -> np.ndarray:
    return np.where(np.isinf(x), 0, np.sinc(x / np.pi))


airy_ai = _define("airy_ai", _airy, "The Airy function Ai.")
spherical_bessel_j0 = _define("spherical_bessel_j0", _spherical_j0, "The spherical Bessel function sin(x) / x.")


# ---------------------------------------------------------------- two arguments

@pointwise(promote="float", namespace="special", method=False, inplace=False, numbers=_BOTH, rejects=("complex",),
           expr="where(isnan(other), nan, where(input == 0, 0, input * log1p(other)))",
           vjp=(lambda g, input, other: g * other.log1p().masked_fill((input == 0) & (other <= -1), 0),
                lambda g, input, other: g * (input / (other + 1))))
def xlog1py(input, other):
    """``input * log1p(other)``, 0 where ``input`` is 0."""
    product = input * np.log1p(other)
    return np.where(np.isnan(other), other, np.where(input == 0, product.dtype.type(0), product))


@pointwise(promote="float", namespace="special", method=False, inplace=False, numbers=_BOTH, rejects=_NO_LOW,
           vjp=(lambda g: _refuse("zeta"), lambda g, input, other: g * (-input * zeta(input + 1, other))))
def zeta(input, other):
    """The Hurwitz zeta function: the sum of ``(k + other) ** -input`` over k = 0, 1, ..."""
    from flowtorch.ops import hurwitz

    return hurwitz.zeta(input, other).astype(input.dtype, copy=False)


def _refuse(name: str) -> Any:
    raise NotImplementedError(f"the derivative for '{name}' is not implemented.")


def _gamma_density(g: Any, a: Any, x: Any) -> Any:
    return g * ((a - 1) * x.log() - x - a.lgamma()).exp()


def _past_nan(regularized: np.ndarray, shape: np.ndarray, x: np.ndarray, below: float) -> np.ndarray:
    """PyTorch looks at the ends first: at x = 0, x = inf and an infinite shape the other operand may be nan."""
    ends = ((x == 0) | np.isposinf(shape), below), (np.isposinf(x), 1 - below)
    for end, value in ends:
        undecided = np.isnan(regularized) & end & (np.isnan(shape) | np.isnan(x))
        regularized = np.where(undecided, regularized.dtype.type(value), regularized)
    return regularized


@pointwise(numbers=(), rejects=("complex", "integer", "bool"),
           vjp=(lambda g: _refuse("igamma: input"), lambda g, input, other: _gamma_density(g, input, other)))
def igamma(input, other):
    """The regularized lower incomplete gamma function."""
    return _past_nan(_scipy("gammainc")(input, other).astype(input.dtype, copy=False), input, other, 0)


@pointwise(numbers=(), rejects=("complex", "integer", "bool"),
           vjp=(lambda g: _refuse("igammac: input"), lambda g, input, other: -_gamma_density(g, input, other)))
def igammac(input, other):
    """The regularized upper incomplete gamma function."""
    return _past_nan(_scipy("gammaincc")(input, other).astype(input.dtype, copy=False), input, other, 1)


# ---------------------------------------------------------------- orthogonal polynomials

def _recurrence(x: np.ndarray, n: np.ndarray, first: Any, step: Callable) -> np.ndarray:
    """The n-th polynomial at x: 1, ``first``, then ``step(k, x, q, p)`` from the two before. 0 for negative n."""
    p, q = np.ones_like(x), first(x)
    out = np.where(n == 0, p, np.where(n < 0, 0.0, q))
    for k in range(1, int(n.max(initial=0))):
        p, q = q, step(k, x, q, p)
        out = np.where(n == k + 1, q, out)
    return out


def _twice(k: int, x: Any, q: Any, p: Any) -> Any:
    return 2 * x * q - p


def _chebyshev(first: Callable, closed: Callable) -> Callable:
    """Inside (-1, 1) high orders are trigonometric functions of acos(x), as accurate and quicker."""
    def kernel(x, n):
        inside = (np.abs(x) < 1) & (n > 8)
        theta = np.arccos(np.where(inside, x, 0))
        return np.where(inside, closed(theta, n), _recurrence(x, np.where(inside, 0, n), first, _twice))
    return kernel


_CHEBYSHEV: dict[str, tuple] = {
    "t": (lambda x: x, lambda t, n: np.cos(n * t), "first"),
    "u": (lambda x: 2 * x, lambda t, n: np.sin((n + 1) * t) / np.sin(t), "second"),
    "v": (lambda x: 2 * x - 1, lambda t, n: np.cos((n + 0.5) * t) / np.cos(t / 2), "third"),
    "w": (lambda x: 2 * x + 1, lambda t, n: np.sin((n + 0.5) * t) / np.sin(t / 2), "fourth"),
}


def _hermite(first: Callable, step: Callable) -> Callable:
    """Beyond these orders PyTorch gives nan, because the values overflow."""
    def kernel(x, n, limit):
        out = _recurrence(x, np.where(n > limit, 0, n), first, step)
        return np.where(n > limit, np.nan, out)
    return kernel


_hermite_h = _hermite(lambda x: 2 * x, lambda k, x, q, p: 2 * x * q - 2 * k * p)
_hermite_he = _hermite(lambda x: x, lambda k, x, q, p: x * q - k * p)


def _laguerre(x, n):
    return _recurrence(x, n, lambda x: 1 - x, lambda k, x, q, p: ((2 * k + 1 - x) * q - k * p) / (k + 1))


def _legendre(x, n):
    return _recurrence(x, n, lambda x: x, lambda k, x, q, p: ((2 * k + 1) * x * q - k * p) / (k + 1))


def _polynomial(name: str, kernel: Callable, doc: str, limited: bool = False) -> Any:
    def body(input, n):
        orders = np.trunc(n.astype(np.float64))
        orders = np.where(np.abs(orders) < 2.0**63, orders, -1)     # what no int64 holds becomes the least in C
        x, order = np.broadcast_arrays(input.astype(np.float64), orders)
        out = kernel(x, order, 128 if input.dtype == np.float32 else 512) if limited else kernel(x, order)
        return out.astype(input.dtype)
    body.__name__, body.__doc__ = name, doc
    return pointwise(
        body, promote="float", namespace="special", method=False, inplace=False, numbers=("input", "n"), rejects=_NO_LOW
    )


for _letter, (_first, _closed, _which) in _CHEBYSHEV.items():
    _kernel = _chebyshev(_first, _closed)
    for _prefix in ("", "shifted_"):
        _name = f"{_prefix}chebyshev_polynomial_{_letter}"
        _body = _kernel if not _prefix else lambda x, n, f=_kernel: f(2 * x - 1, n)
        globals()[_name] = _polynomial(_name, _body, f"The{' shifted' if _prefix else ''} Chebyshev polynomial of the "
                                                     f"{_which} kind, "
                                       "of order ``n``.")
hermite_polynomial_h = _polynomial("hermite_polynomial_h", _hermite_h, "The physicist's Hermite polynomial of order "
                                                                       "``n``.", True)
hermite_polynomial_he = _polynomial("hermite_polynomial_he", _hermite_he, "The probabilist's Hermite polynomial of "
                                                                          "order ``n``.", True)
laguerre_polynomial_l = _polynomial("laguerre_polynomial_l", _laguerre, "The Laguerre polynomial of order ``n``.")
legendre_polynomial_p = _polynomial("legendre_polynomial_p", _legendre, "The Legendre polynomial of order ``n``.")


# ---------------------------------------------------------------- composites of the same kind

@composite(method=True, inplace=True, out=True)
def mvlgamma(input, p):
    """The logarithm of the multivariate gamma function of dimension ``p``."""
    p = need_int("mvlgamma", "p", 2, p)
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    if input.dtype.is_complex:
        raise RuntimeError(f"mvlgamma(): not implemented for '{input.dtype.label}'")
    if input.dtype.rank < 2:
        from flowtorch.dtypes import get_default_dtype

        input = input.to(get_default_dtype())
    from flowtorch.ops.factory import arange

    halves = arange(p, dtype=input.dtype, device=input.device) * -0.5
    return (input.unsqueeze(-1) + halves).lgamma().sum(-1) + p * (p - 1) / 4 * math.log(math.pi)


@op(tensors=("input",), outputs=("mantissa", "exponent"), method=True,
    vjp=(lambda g, out: None if g[0] is None else g[0] / out[1].exp2(),))
def frexp(input):
    """(mantissa, exponent): ``input = mantissa * 2 ** exponent``, with 0.5 <= |mantissa| < 1."""
    if input.dtype.kind != "f":
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    mantissa, exponent = np.frexp(input)
    return mantissa, np.asarray(exponent, np.int32)
