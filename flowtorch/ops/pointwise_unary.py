"""Pointwise functions of one tensor: exponentials, trigonometry, rounding, signs, classification."""
from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from flowtorch.array.blocks import BLOCK, fill, in_double
from flowtorch.array.vectors import one_plus_exp
from flowtorch.ops.arguments import need_int
from flowtorch.ops.erf import erf as erf_of
from flowtorch.ops.erf import erfc as erfc_of
from flowtorch.ops.families import pointwise
from flowtorch.ops.op import composite
from flowtorch.ops.order import astype, copy_of
from flowtorch.ops.pointwise import conj, need_tensors, nothing
from flowtorch.tensor import mark_conjugated

_SCALE = {name: 1 / math.log(base) for name, base in (("log2", 2.0), ("log10", 10.0))}


def _float(ufunc: Any, expr: str, vjp: Any, **options: Any) -> Any:
    """A function that gives floating-point results: integers become the default float first."""
    return pointwise(numpy=ufunc, expr=expr, promote="float", vjp=(vjp,), **options)


def _rounded(ufunc: Any, expr: str, vjp: Any) -> Any:
    """``_float`` for a ufunc whose float32 loops err by more than one unit: in float64, rounded once."""
    kernel = in_double(ufunc)

    def decorate(f: Any) -> Any:
        kernel.__name__, kernel.__doc__ = f.__name__, f.__doc__
        return pointwise(kernel, expr=expr, promote="float", vjp=(vjp,))
    return decorate


@_rounded(np.expm1, "expm1(input)", lambda g, out: g * conj(out + 1))
def expm1(input):
    """``exp(input) - 1``, accurate for small values."""


@_rounded(np.exp2, "exp2(input)", lambda g, out: g * conj(out) * math.log(2))
def exp2(input):
    """Raise 2 to every element."""


@_float(np.log2, "log2(input)", lambda g, input: g / (conj(input) * math.log(2)))
def log2(input):
    """The logarithm to base 2 of every element."""


@_rounded(np.log10, "log10(input)", lambda g, input: g / (conj(input) * math.log(10)))
def log10(input):
    """The logarithm to base 10 of every element."""


@_float(np.log1p, "log1p(input)", lambda g, input: g / conj(input + 1))
def log1p(input):
    """``log(1 + input)``, accurate for small values."""


@_float(None, "rsqrt(input)", lambda g, out: -0.5 * g * conj(out * out * out))
def rsqrt(input):
    """The reciprocal of the square root."""
    return np.reciprocal(np.sqrt(input))


@_float(None, "1 / input", lambda g, out: -g * conj(out * out))
def reciprocal(input):
    """One divided by every element."""
    return np.true_divide(input.dtype.type(1), input)


@_float(np.sin, "sin(input)", lambda g, input: g * conj(input.cos()))
def sin(input):
    """The sine of every element, in radians.

    >>> torch.sin(torch.tensor([0.0, 1.0]))
    tensor([0.0000, 0.8415])
    """


@_float(np.cos, "cos(input)", lambda g, input: g * -conj(input.sin()))
def cos(input):
    """The cosine of every element, in radians.

    >>> torch.cos(torch.tensor([0.0, 1.0]))
    tensor([1.0000, 0.5403])
    """


@_rounded(np.tan, "tan(input)", lambda g, out: g * conj(1 + out * out))
def tan(input):
    """The tangent of every element, in radians."""


@_rounded(np.arcsin, "asin(input)", lambda g, input: g * conj((-input * input + 1).rsqrt()))
def asin(input):
    """The angle whose sine is the element."""


@_float(np.arccos, "acos(input)", lambda g, input: g * -conj((-input * input + 1).rsqrt()))
def acos(input):
    """The angle whose cosine is the element."""


@_float(np.arctan, "atan(input)", lambda g, input: g / conj(input * input + 1))
def atan(input):
    """The angle whose tangent is the element."""


@_float(np.sinh, "sinh(input)", lambda g, input: g * conj(input.cosh()))
def sinh(input):
    """The hyperbolic sine."""


@_rounded(np.cosh, "cosh(input)", lambda g, input: g * conj(input.sinh()))
def cosh(input):
    """The hyperbolic cosine."""


@_float(np.arcsinh, "asinh(input)", lambda g, input: g * conj((input * input + 1).rsqrt()))
def asinh(input):
    """The inverse hyperbolic sine."""


@_float(np.arccosh, "acosh(input)", lambda g, input: g * conj((input - 1).rsqrt() * (input + 1).rsqrt()))
def acosh(input):
    """The inverse hyperbolic cosine."""


@_float(np.arctanh, "atanh(input)", lambda g, input: g / conj(1 - input * input))
def atanh(input):
    """The inverse hyperbolic tangent."""


@pointwise(
    name="_sigmoid_backward",
    method=False,
    inplace=False,
    out=False,
    numbers=(),
    rejects=("integer", "bool"),
    node="SigmoidBackwardBackward0",
    expr="grad * conj((1 - result) * result)",
    vjp=(lambda g, result: g * ((1 - result) * result), lambda g, grad, result: conj(g) * grad * conj(1 - 2 * result)),
)
def _sigmoid_backward(grad, result):
    """``grad`` times the derivative of sigmoid where it gave ``result``."""
    return fill(_sigmoid_slope, result, grad)


def _sigmoid_slope(result: np.ndarray, grad: np.ndarray, out: np.ndarray) -> None:
    np.subtract(1, result, out)
    out *= result
    if out.dtype.kind == "c":
        np.conjugate(out, out)
    out *= grad


@_float(None, "1 / (1 + exp(-input))", lambda g, out: _sigmoid_backward(g, out))
def sigmoid(input):
    """The logistic function ``1 / (1 + exp(-x))`` of every element.

    >>> torch.sigmoid(torch.tensor([0.0, 1.0]))
    tensor([0.5000, 0.7311])
    """
    if input.size > BLOCK:
        return fill(_sigmoid_block, input)
    e = np.exp(-input)
    e += e.dtype.type(1)
    return np.reciprocal(e, e) if e.ndim else np.reciprocal(e)


def _sigmoid_block(part: np.ndarray, out: np.ndarray) -> None:
    np.negative(part, out)
    one_plus_exp(out, out)
    np.reciprocal(out, out)


def _rounding(ufunc: Any, name: str, doc: str) -> Any:
    def body(input):
        return ufunc(input) if input.dtype.kind == "f" else copy_of(input)
    body.__name__, body.__doc__ = name, doc
    return pointwise(body, expr=f"{name}(input)", rejects=("complex", "bool"), vjp=(nothing,))


floor = _rounding(np.floor, "floor", "The largest integer not above every element.")
ceil = _rounding(np.ceil, "ceil", """Round every element up to an integer; the dtype stays.

    >>> torch.tensor([1.2, -1.2]).ceil()
    tensor([ 2., -1.])
    """)
trunc = _rounding(np.trunc, "trunc", "Every element without its fraction.")


@pointwise(expr="input - trunc(input)", rejects=("complex", "integer", "bool"), vjp=(lambda g: g,))
def frac(input):
    """The fractional part, with the element's sign."""
    return input - np.trunc(input)


@pointwise(expr="round(input)", rejects=("complex", "bool"), vjp=(nothing,), name="round")
def round_(input, *, decimals=0):
    """Round to the nearest integer (halves to even), or to ``decimals`` decimal places."""
    if input.dtype.kind != "f":
        if decimals:
            raise NotImplementedError("\"round_cpu\" not implemented for integers with decimals")
        return copy_of(input)
    if not decimals:
        return np.rint(input)
    scale = input.dtype.type(10.0 ** abs(decimals))
    return np.rint(input * scale) / scale if decimals > 0 else np.rint(input / scale) * scale


@pointwise(numpy=np.absolute, expr="abs(input)", promote="real", dunder="abs", name="abs",
           vjp=(lambda g, input: g * input.sgn(),), rejects=("bool",))
def abs_(input):
    """The absolute value of every element; of complex elements the modulus, which is real.

    >>> torch.abs(torch.tensor([-1, 2]))
    tensor([1, 2])
    """


@pointwise(expr="sign(input)", rejects=("complex",), vjp=(nothing,))
def sign(input):
    """-1, 0 or 1 by the sign of every element.

    >>> torch.sign(torch.tensor([-3.0, 0.0, 2.0]))
    tensor([-1.,  0.,  1.])
    """
    if input.dtype.kind == "b":
        return copy_of(input)
    if input.dtype.kind == "f":            # PyTorch gives 0 for nan
        return ((input > 0).astype(np.int8) - (input < 0).astype(np.int8)).astype(input.dtype)
    return np.sign(input)


@pointwise(expr="sgn(input)", vjp=(lambda g, input, out: _sgn_backward(g, input, out),))
def sgn(input):
    """The sign; for complex elements the number of modulus 1 in the same direction (0 for 0)."""
    if input.dtype.kind == "c":
        size = np.absolute(input)
        return np.where(size == 0, input.dtype.type(0), input / np.where(size == 0, size.dtype.type(1), size))
    return ((input > 0).astype(np.int8) - (input < 0).astype(np.int8)).astype(input.dtype) if input.dtype.kind != "b" \
        else copy_of(input)


def _sgn_backward(g, input, out):
    if not input.dtype.is_complex:
        return g * 0
    size = input.abs()
    flat = (g * out.conj())
    return ((g - out * flat.real) / size.masked_fill(size == 0, 1)).masked_fill(size == 0, 0)


@composite(method=True)
def positive(input):
    """``input`` itself."""
    if input.dtype.name == "bool":
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


@pointwise(expr="input * input", promote="number", vjp=(lambda g, input: 2 * g * conj(input),))
def square(input):
    """Every element times itself."""
    return np.multiply(input, input)


@pointwise(
    expr="conj(input)", inplace=True, name="_conj", method=False, node="ConjBackward0", vjp=(lambda g: g.conj(),)
)
def _conjugate(input):
    """The complex conjugate, as a copy."""
    return np.conjugate(input)


@composite(method=True, name="conj")
def conj_(input):
    """The complex conjugate; real tensors come back as they are."""
    if not input.is_complex():
        return input
    out = _conjugate(input)
    return out if input.is_conj() else mark_conjugated(out)


@composite(method=True, inplace=True, out=True)
def conj_physical(input):
    """The complex conjugate; real tensors come back as they are."""
    return _conjugate(input) if input.is_complex() else input


@composite(method=True)
def resolve_conj(input):
    """A copy of what ``conj()`` gave, which then counts as an ordinary tensor; other tensors as they are."""
    return input.clone() if input.is_conj() else input


@composite(method=True)
def resolve_neg(input):
    """``input``: negation is never left pending here."""
    need_tensors("resolve_neg", input=input)
    return input


@composite
def is_complex(input):
    """Whether the dtype is complex."""
    return input.dtype.is_complex


@composite
def is_floating_point(input):
    """Whether the dtype is a floating-point type (complex types are not).

    >>> torch.is_floating_point(torch.ones(1)), torch.is_floating_point(torch.tensor(1))
    (True, False)
    """
    return input.dtype.is_floating_point


@pointwise(promote="float_real", inplace=False, expr="angle(input)", vjp=(lambda g, input: _angle_backward(g, input),))
def angle(input):
    """The angle of complex elements; 0 or pi by the sign of real ones."""
    if input.dtype.kind == "c":
        return np.angle(input)
    out = np.where(input < 0, input.dtype.type(math.pi), input.dtype.type(0))
    return np.where(np.isnan(input), input, out)


def _angle_backward(g, input):
    if not input.dtype.is_complex:
        return g * 0
    re, im = input.real, input.imag
    size = re * re + im * im
    factor = (g / size.masked_fill(size == 0, 1)).masked_fill(size == 0, 0)
    from flowtorch.ops.op import REGISTRY

    return REGISTRY["complex"].public(-im * factor, re * factor)


def _nowhere(a: np.ndarray) -> np.ndarray:
    return np.zeros_like(a, bool, order="C" if 0 in a.strides else "K")


def _classify(ufunc: Any, name: str, doc: str, rejects: Any = (), out: Any = False) -> Any:
    def body(input):
        return ufunc(input)
    body.__name__, body.__doc__ = name, doc
    return pointwise(body, numpy=ufunc, promote="bool", inplace=False, low="keep", expr=f"{name}(input)",
                     rejects=rejects, out=out)


def _without_imaginary(a: np.ndarray) -> np.ndarray:
    return a.imag == 0 if a.dtype.kind == "c" else np.ones_like(a, bool, order="C" if 0 in a.strides else "K")


isnan = _classify(np.isnan, "isnan", """Whether each element is nan, as bool.

    >>> torch.isnan(torch.tensor([1.0, float("nan")]))
    tensor([False,  True])
    """)
isinf = _classify(np.isinf, "isinf", "Whether every element is infinite.")
isfinite = _classify(np.isfinite, "isfinite", """Whether each element is neither infinite nor nan, as bool.

    >>> torch.isfinite(torch.tensor([1.0, float("inf")]))
    tensor([ True, False])
    """)
isposinf = _classify(lambda a: a == np.inf if a.dtype.kind in "fV" else _nowhere(a), "isposinf",
                     "Whether every element is +inf.", {"complex": "isposinf does not support complex inputs."}, True)
isneginf = _classify(lambda a: a == -np.inf if a.dtype.kind in "fV" else _nowhere(a), "isneginf",
                     "Whether every element is -inf.", {"complex": "isneginf does not support complex inputs."}, True)
signbit = _classify(lambda a: np.signbit(a) if a.dtype.kind in "fV" else a < 0 if a.dtype.kind == "i" else
                    _nowhere(a), "signbit", "Whether every element has its sign bit set.",
                    ("complex",), True)
isreal = _classify(_without_imaginary, "isreal", "Whether every element has no imaginary part.")
logical_not = pointwise(numpy=np.logical_not, promote="bool", expr="logical_not(input)", name="logical_not")(
    lambda input: None)


@pointwise(rejects=("inexact",), dunder="invert", expr="bitwise_not(input)", numpy=np.invert)
def bitwise_not(input):
    """All bits inverted (logical not for bool)."""


@pointwise(
    promote="float", expr="input * pi / 180", linear=True, vjp=(lambda g: g * (math.pi / 180),),
    rejects={"complex": "deg2rad is not supported for complex tensors."}
)
def deg2rad(input):
    """Degrees to radians."""
    return input * input.dtype.type(math.pi / 180)


@pointwise(
    promote="float", expr="input * 180 / pi", linear=True, vjp=(lambda g: g * (180 / math.pi),),
    rejects={"complex": "rad2deg is not supported for complex tensors."}
)
def rad2deg(input):
    """Radians to degrees."""
    return input * input.dtype.type(180 / math.pi)


@pointwise(
    expr="where(isnan(input), nan, where(isposinf(input), posinf, where(isneginf(input), neginf, input)))",
    low="keep",
    vjp=(lambda g, input: g * (~(input.isnan() | input.isinf())),),
)
def nan_to_num(input, nan=None, posinf=None, neginf=None):
    """Replace nan, +inf and -inf by numbers (0 and the dtype's extremes unless given)."""
    if input.dtype.kind == "c":
        parts = np.array(input, order="K")
        parts.real, parts.imag = (nan_to_num.op.body(part, nan, posinf, neginf) for part in (input.real, input.imag))
        return parts
    if input.dtype.kind == "V":
        import ml_dtypes

        info: Any = ml_dtypes.finfo(input.dtype)
        ends = (0.0, float(info.max), float(info.min))
        given = zip(ends, (nan, posinf, neginf), strict=True)
        with_nan, high, low = (end if number is None else number for end, number in given)
        wide = np.nan_to_num(input.astype(np.float32), nan=with_nan, posinf=high, neginf=low)
        return wide.astype(input.dtype)
    if input.dtype.kind != "f":
        return copy_of(input)
    info = np.finfo(input.dtype)
    return np.nan_to_num(input, nan=0.0 if nan is None else nan, posinf=info.max if posinf is None else posinf,
                         neginf=info.min if neginf is None else neginf)


# ---- functions that numpy lacks: scipy's, imported on first use

def _special(name: str) -> Any:
    def kernel(input):
        import scipy.special

        result = getattr(scipy.special, name)(input)
        return _near_zeros(input, result) if name == "gammaln" else result
    return kernel


@functools.cache
def _around_two() -> tuple:
    """The coefficients c of ``lgamma(2 + z) = z * (c0 + c1 z + ...)`` for |z| <= 1/2."""
    import scipy.special

    terms = (float(scipy.special.zetac(k)) * (-1) ** k / k for k in range(2, 28))
    return (1 - float(np.euler_gamma), *terms)


def _near_zeros(x: np.ndarray, value: np.ndarray) -> np.ndarray:
    """log |gamma(x)| made right where scipy's is not: beside its zeros 1 and 2, at subnormal numbers and -inf."""
    near = (x > 0.5) & (x < 2.5)
    tiny = np.abs(x) < np.finfo(x.dtype).tiny
    if near.any():
        low = x < 1.5                                   # lgamma(1 + z) = lgamma(2 + z) - log(1 + z)
        z = np.where(near, x, 2).astype(np.float64) - np.where(low & near, 1, 2)
        series = np.zeros_like(z)
        for c in reversed(_around_two()):
            series = series * z + c
        value = np.where(near, z * series - np.where(low, np.log1p(z), 0), value)
    if tiny.any():
        value = np.where(tiny, -np.log(np.abs(x)), value)
    return np.where(np.isneginf(x), -x, value).astype(x.dtype, copy=False)


def _scipy(name: str, vjp: Any, doc: str, scipy_name: str | None = None, **options: Any) -> Any:
    f = _special(scipy_name or name)

    def body(input):
        return f(input)
    body.__name__, body.__doc__ = name, doc
    return pointwise(body, promote="float", expr=f"{name}(input)", rejects=("complex",),
                     vjp=None if vjp is None else (vjp,), **options)


_TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)


@pointwise(promote="float", expr="erf(input)", rejects=("complex",),
           vjp=(lambda g, input: g * (_TWO_OVER_SQRT_PI * (-input * input).exp()),))
def erf(input):
    """The error function."""
    return erf_of(input)


@pointwise(promote="float", expr="erfc(input)", rejects=("complex",),
           vjp=(lambda g, input: g * (-_TWO_OVER_SQRT_PI * (-input * input).exp()),))
def erfc(input):
    """One minus the error function, accurate for large values."""
    return erfc_of(input)


@pointwise(promote="float", expr="erfinv(input)", rejects=("complex",),
           vjp=(lambda g, out: g * (math.sqrt(math.pi) / 2 * (out * out).exp()),))
def erfinv(input):
    """The inverse of the error function."""
    import scipy.special

    out = scipy.special.erfinv(astype(input, np.float64, copy=False)).astype(input.dtype, copy=False)
    return np.copysign(out, input)


lgamma = _scipy("lgamma", lambda g, input: g * input.digamma(), "The logarithm of the absolute value of the gamma "
                                                                "function.",
                "gammaln")


@pointwise(promote="float", expr="digamma(input)", rejects=("complex",), vjp=(lambda g, input: g * input.polygamma(1),))
def digamma(input):
    """The logarithmic derivative of the gamma function."""
    import scipy.special

    out = scipy.special.digamma(input)
    zero = input == 0
    if zero.any():                                    # -inf at +0 and +inf at -0, as the function's two limits
        out = np.where(zero, np.copysign(out.dtype.type(np.inf), -input), out)
    return np.where((input < 0) & (input == np.floor(input)), out.dtype.type(np.nan), out)


def _polygamma_body(input, n):
    import scipy.special

    if n == 0:
        return digamma.op.body(input)
    from flowtorch.ops.hurwitz import zeta

    wide = input.astype(np.float64)
    if n == 1:
        return (
            zeta(2.0, wide).astype(input.dtype)
            if (wide > 0).all()
            else _trigamma(wide).astype(input.dtype)
        )
    factor = (-1.0) ** (n + 1) * scipy.special.factorial(n)
    return (factor * zeta(n + 1.0, wide)).astype(input.dtype)


def _trigamma(x: np.ndarray) -> np.ndarray:
    """psi_1 on the whole real line, by reflection for negative arguments."""
    from flowtorch.ops.hurwitz import zeta

    negative = x < 0.5
    y = np.where(negative, 1 - x, x)
    value = zeta(2.0, y)
    return np.where(negative, (np.pi / np.sin(np.pi * x)) ** 2 - value, value)


@pointwise(promote="float", method=False, inplace=False, name="_polygamma", expr=None, rejects=("complex",),
           vjp=(lambda g, input, n: g * _polygamma(input, n=n + 1),))
def _polygamma(input, *, n=0):
    """The n-th derivative of digamma."""
    return _polygamma_body(input, n)


@composite(out=True)
def polygamma(n, input):
    """The ``n``-th derivative of the digamma function."""
    if need_int("polygamma", "n", 1, n) < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return digamma(input) if n == 0 else _polygamma(input, n=n)


@composite(namespace="Tensor", method="polygamma", name="polygamma", inplace=True)
def _polygamma_method(self, n):
    """The ``n``-th derivative of the digamma function."""
    return polygamma(n, self)


@pointwise(promote="float", expr="sinc(input)", vjp=(lambda g, input: _sinc_backward(g, input),))
def sinc(input):
    """sin(pi x) / (pi x), 1 at 0."""
    return np.sinc(input).astype(input.dtype, copy=False)


def _sinc_backward(g, input):
    x = input * math.pi
    value = g * conj((x * x.cos() - x.sin()) / (x * input))
    return value.masked_fill(input == 0, 0)


@composite(method=True, inplace=True, out=True)
def logit(input, eps=None):
    """log(x / (1 - x)), of ``input`` clamped to [eps, 1 - eps] if ``eps`` is given."""
    if not input.dtype.is_floating_point and not input.dtype.is_complex:
        input = input.to(_default())
    if eps is not None:
        return _logit(input, eps=eps)
    return _logit(input)


def _default():
    from flowtorch.dtypes import get_default_dtype

    return get_default_dtype()


@pointwise(promote="float", method=False, inplace=False, rejects=("complex",),
           expr="log(input / (1 - input))", vjp=(lambda g, input, eps: _logit_backward(g, input, eps),))
def _logit(input, *, eps=None):
    """log(x / (1 - x))."""
    if eps is not None:
        input = np.clip(input, input.dtype.type(eps), input.dtype.type(1 - eps))
    rest = 1 - input
    return np.where(np.abs(input - 0.5) < 0.2, np.log1p(2 * (input - 0.5) / rest), np.log(input / rest))


def _logit_backward(g, input, eps):
    value = g / (input * (1 - input))
    if eps is None:
        return value.masked_fill((input < 0) | (input > 1), float("nan"))
    return value.masked_fill((input < eps) | (input > 1 - eps), 0)




@composite(namespace="Tensor", method=True, name="__pos__")
def _pos(self):
    """``+self``: the tensor itself."""
    return positive(self)
