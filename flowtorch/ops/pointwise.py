"""Pointwise arithmetic on two operands. One: pointwise_unary; three: pointwise_ternary; truth values: comparison."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.array import vectors
from flowtorch.array.blocks import in_double
from flowtorch.array.select import cleared
from flowtorch.ops.families import pointwise, result_dtype
from flowtorch.ops.op import REGISTRY, composite
from flowtorch.ops.second_order import linked
from flowtorch.tensor import Tensor


def conj(x: Any) -> Any:
    """The complex conjugate in derivative formulas: nothing for real tensors and numbers."""
    if isinstance(x, Tensor):
        return REGISTRY["_conj"].public(x) if x.dtype.is_complex else x
    if hasattr(type(x), "__flowtorch_symbol__"):                        # the formula is read, not computed
        return x.conj()
    return x.conjugate() if isinstance(x, complex) else x


def nothing(g):
    """The gradient of what does not depend on an input: zeros shaped like ``g``, also where ``g`` is nan or inf."""
    return g.new_zeros(g.shape) if isinstance(g, Tensor) and g._type.plain else g * 0


def need_tensors(name, **arguments):
    for position, (what, value) in enumerate(arguments.items(), 1):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name}(): argument '{what}' (position {position}) must be Tensor, not "
                            f"{type(value).__name__}")


_NO_BOOL_SUB = {"bool": "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or "
                        "`logical_xor()` "
                        "operator instead."}
_ONE_BOOL_SUB = ("Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert "
                 "a mask, use the `~` or `logical_not()` operator instead.")
_NO_BOOL_NEG = {"bool": "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a "
                        "mask, use "
                        "the `~` or `logical_not()` operator instead."}
_BOTH = ("input", "other")


def _no_bool(operands, dtype):
    """Refuse bools beside other dtypes in a subtraction."""
    kinds = [x.dtype.name == "bool" if isinstance(x, Tensor) else isinstance(x, bool) for x in operands]
    if any(kinds) and not all(kinds):
        raise RuntimeError(_ONE_BOOL_SUB)


_no_bool.of_dtypes = True                                               # type: ignore[attr-defined]


def _scaled(other, alpha):
    """``alpha * other`` for add and sub; an integer result cannot take a fractional factor."""
    if other.dtype.kind in "biu" and isinstance(alpha, (float, complex)):
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    if isinstance(alpha, complex) and other.dtype.kind != "c":
        raise RuntimeError("For non-complex input tensors, argument alpha must not be a complex number.")
    if isinstance(alpha, bool) and other.dtype.kind != "b":
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    return np.multiply(other, np.asarray(alpha).astype(other.dtype))


@pointwise(numpy=np.add, numbers=_BOTH, expr="input + alpha * other", linear=True, dunder="add",
           vjp=(lambda g: g, lambda g, alpha: g if alpha == 1 else g * conj(alpha)))
def add(input, other, *, alpha=1):
    """``input + alpha * other``, element by element, with broadcasting and type promotion.

    RuntimeError if the shapes do not broadcast. ``alpha`` must be an integer where both inputs are.

    >>> torch.add(torch.tensor([[1], [2]]), torch.tensor([10, 20]))
    tensor([[11, 21],
            [12, 22]])
    >>> torch.ones(2).add(torch.ones(2), alpha=0.5)
    tensor([1.5000, 1.5000])
    """
    return np.add(input, _scaled(other, alpha))


@pointwise(
    numpy=np.subtract,
    expr="input - alpha * other",
    linear=True,
    dunder="sub",
    rejects=_NO_BOOL_SUB,
    check=_no_bool,
    numbers=_BOTH,
    vjp=(lambda g: g, lambda g, alpha: -g if alpha == 1 else g * -conj(alpha)),
)
def sub(input, other, *, alpha=1):
    """``input - alpha * other``, element by element, with broadcasting and type promotion. Booleans are refused.

    >>> torch.tensor([3, 4]).sub(1)
    tensor([2, 3])
    """
    return np.subtract(input, _scaled(other, alpha))


@pointwise(numbers=_BOTH, numpy=np.multiply, expr="input * other", dunder="mul",
           vjp=(lambda g, other: g * conj(other), lambda g, input: g * conj(input)))
def mul(input, other):
    """``input * other``, element by element, with broadcasting and type promotion (for matrices see ``matmul``).

    >>> torch.mul(torch.tensor([1, 2]), 0.5)
    tensor([0.5000, 1.0000])
    """


@pointwise(
    numbers=_BOTH,
    numpy=np.true_divide,
    expr="input / other",
    promote="float",
    name="true_divide",
    node="DivBackward0",
    dunder="truediv",
    vjp=(lambda g, other: g / conj(other), lambda g, input, other: -g * conj(input / other / other)),
)
def true_divide(input, other):
    """Divide ``input`` by ``other`` element by element; integers give the default floating-point type."""


@pointwise(numpy=np.negative, expr="-input", linear=True, dunder="neg", rejects=_NO_BOOL_NEG, vjp=(lambda g: -g,))
def neg(input):
    """Change the sign of every element. Booleans are refused (RuntimeError).

    >>> torch.tensor([1, -2]).neg()
    tensor([-1,  2])
    """


_exp = in_double(np.exp)


@pointwise(expr="exp(input)", promote="float", vjp=(lambda g, out: g * conj(out),))
def exp(input):
    """e raised to every element. Integers give the default floating-point dtype.

    >>> torch.exp(torch.tensor([0, 1]))
    tensor([1.0000, 2.7183])
    """
    return _exp(input)


@pointwise(expr="log(input)", promote="float", vjp=(lambda g, input: g / conj(input),))
def log(input):
    """The natural logarithm of every element: -inf at zero, nan below.

    >>> torch.log(torch.tensor([1.0, 0.0, -1.0]))
    tensor([0., -inf, nan])
    """
    return vectors.log(input)


@pointwise(numpy=np.sqrt, expr="sqrt(input)", promote="float", vjp=(lambda g, out: g / (2 * conj(out)),))
def sqrt(input):
    """The square root of every element: nan below zero.

    >>> torch.sqrt(torch.tensor([4.0, -1.0]))
    tensor([2., nan])
    """


@pointwise(name="_tanh_backward", method=False, inplace=False, out=False, numbers=(), node="TanhBackwardBackward0",
           expr="grad * conj(1 - result * result)",
           vjp=(lambda g, result: g * (1 - result * result),
                lambda g, grad, result: conj(g) * grad * conj(-2 * result)))
def _tanh_backward(grad, result):
    """``grad`` times the derivative of tanh where it gave ``result``."""
    slope = 1 - result * result
    return grad * (slope.conj() if slope.dtype.kind == "c" else slope)


@pointwise(numpy=np.tanh, expr="tanh(input)", promote="float", vjp=(lambda g, out: _tanh_backward(g, out),))
def tanh(input):
    """The hyperbolic tangent of every element.

    >>> torch.tanh(torch.tensor([0.0, 1.0]))
    tensor([0.0000, 0.7616])
    """


_ZERO: dict = {}


@pointwise(name="_relu_backward", method=False, inplace=False, out=False, numbers=(), node="ThresholdBackwardBackward0",
           expr="where(result <= 0, 0, grad)", rejects=("complex",),
           vjp=(lambda g, result: _relu_backward(g, result), None))
def _relu_backward(grad, result):
    """``grad`` where ``result`` of relu is not zero."""
    return cleared(result <= _zero_of(result.dtype), grad, _zero_of(grad.dtype))


@pointwise(out=False, expr="where(input <= 0, 0, input)",
           rejects={"complex": None, "bool": "Boolean inputs not supported for relu"},
           vjp=(lambda g, out: linked(_relu_backward(g, out), out),))
def relu(input):
    """Replace negative elements by zero; NaN stays."""
    return np.maximum(input, _zero_of(input.dtype))


def _zero_of(d):
    z = _ZERO.get(d)
    if z is None:
        z = _ZERO[d] = np.zeros((), d)
    return z


# ---------------------------------------------------------------- division and remainders

@composite(method=True, out=True)
def div(input, other, *, rounding_mode=None):
    """``input / other``, element by element, with broadcasting. Integers give the default floating-point dtype.

    ``rounding_mode="trunc"`` rounds the quotient towards zero and ``"floor"`` down; both keep integers, and then a
    zero divisor is a RuntimeError.

    >>> x = torch.tensor([7, -7])
    >>> torch.div(x, 2)
    tensor([ 3.5000, -3.5000])
    >>> torch.div(x, 2, rounding_mode="floor")
    tensor([ 3, -4])
    """
    return _division(rounding_mode)(input, other)


@composite(namespace="Tensor", method=True)
def div_(self, other, *, rounding_mode=None):
    """``div`` that overwrites this tensor."""
    return _division(rounding_mode).op.public_inplace(self, other)


def _division(rounding_mode):
    if rounding_mode is None:
        return true_divide
    if rounding_mode == "floor":
        return floor_divide
    if rounding_mode == "trunc":
        return _trunc_divide
    raise RuntimeError("div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
                       f"'{rounding_mode}'")


def _check_zero(input, other):
    if other.dtype.kind in "iu" and input.size and not np.all(other):
        raise RuntimeError("ZeroDivisionError")


@pointwise(
    numbers=_BOTH,
    expr="floor_divide(input, other)",
    dunder="floordiv",
    rejects=("complex", "bool"),
    node="DivBackward2",
    vjp=(nothing, nothing),
)
def floor_divide(input, other):
    """The quotient rounded down."""
    _check_zero(input, other)
    if input.dtype.kind != "f":
        return np.floor_divide(input, other)
    # As in C: exact for representable quotients, and inf or nan where the division gives them.
    with_zero = other == 0
    if not np.any(with_zero) and np.all(np.isfinite(input)) and np.all(np.isfinite(other)):
        return np.floor_divide(input, other)
    mod = np.fmod(input, other)
    quotient = (input - mod) / other
    quotient = np.where((mod != 0) & ((other < 0) != (mod < 0)), quotient - 1, quotient)
    low = np.floor(quotient)
    low = np.where(quotient - low > 0.5, low + 1, low)
    result = np.where(quotient == 0, np.copysign(quotient.dtype.type(0), input / other), low)
    return np.where(with_zero, input / other, result).astype(input.dtype)


@pointwise(
    low="keep",
    numbers=_BOTH,
    expr="trunc_divide(input, other)",
    method=False,
    inplace=True,
    rejects=("complex", "bool"),
    node="DivBackward2",
    vjp=(nothing, nothing),
)
def _trunc_divide(input, other):
    """The quotient rounded towards zero."""
    _check_zero(input, other)
    if input.dtype.kind not in "biu":
        return np.trunc(input / other)           # in low precision too the quotient is rounded before it is truncated
    if input.dtype.kind == "u" or input.dtype.kind == "b":
        return np.floor_divide(input, other)
    quotient = np.floor_divide(input, other)
    return quotient + ((quotient < 0) & (quotient * other != input))


@pointwise(numbers=_BOTH, expr="remainder(input, other)", dunder="mod", rejects=("complex", "bool"),
           vjp=(lambda g: g, lambda g, input, other: -g * input.div(other, rounding_mode="floor")))
def remainder(input, other):
    """The remainder with the sign of ``other``; zero has that of ``input``."""
    _check_zero(input, other)
    out = np.remainder(input, other)
    if input.dtype.kind in "biu":
        return out
    out = np.asarray(out)
    return np.copysign(out, input, out=out, where=out == 0)


@pointwise(expr="fmod(input, other)", rejects=("complex", "bool"),
           vjp=(lambda g: g, lambda g, input, other: -g * input.div(other, rounding_mode="trunc")))
def fmod(input, other):
    """The remainder with the sign of ``input``."""
    _check_zero(input, other)
    return np.fmod(input, other)


# ---------------------------------------------------------------- powers

def _pow_kernel(input, exponent):
    if input.dtype.kind in "iu":
        if np.any(exponent < 0) and exponent.dtype.kind == "i":
            return _negative_integer_power(input, exponent)
        return np.power(input, exponent)
    if exponent.ndim == 0:
        e = exponent.item()
        if e == 2:
            return np.multiply(input, input)
        if e == 3:
            return input * input * input
        if e == 0.5 and input.dtype.kind == "f":
            return np.sqrt(input)
        if e == -1:
            return np.reciprocal(input)
        if e == -2:
            return np.reciprocal(input * input)
        if e == -0.5 and input.dtype.kind == "f":
            return np.reciprocal(np.sqrt(input))
    return np.power(input, exponent)


def _negative_integer_power(input, exponent):
    negative = exponent < 0
    power = np.power(input, np.where(negative, 0, exponent))
    inverse = np.where(input == 1, 1, np.where(input == -1, np.where(exponent % 2 == 0, 1, -1), 0)).astype(power.dtype)
    return np.where(negative, inverse, power).astype(power.dtype)


def _check_pow(operands, dtype):
    exponent = operands[1]
    if dtype.name == "bool" and not isinstance(exponent, bool):
        raise NotImplementedError("\"pow\" not implemented for 'Bool'")
    if dtype.rank == 1 and isinstance(exponent, int) and exponent < 0:
        raise RuntimeError("Integers to negative integer powers are not allowed.")


@pointwise(
    check=_check_pow,
    numbers=("input", "exponent"),
    expr="pow(input, exponent)",
    dunder="pow",
    name="pow",
    node="PowBackward0",
    vjp=(
        lambda g, input, exponent: _pow_input(g, input, exponent),
        lambda g, input, exponent, out: _pow_exponent(g, input, exponent, out),
    ),
)
def pow_(input, exponent):
    """``input`` raised to ``exponent``, element by element; either may be a number.

    Integers to negative integer powers are refused (RuntimeError): use a floating-point exponent.

    >>> torch.pow(torch.tensor([1.0, 2.0, 3.0]), 2)
    tensor([1., 4., 9.])
    >>> torch.pow(2, torch.tensor([1, 2, 3]))
    tensor([2, 4, 8])
    """
    if input.dtype.kind == "b":
        return np.logical_or(input, np.logical_not(exponent))
    return _pow_kernel(input, exponent)


def _pow_input(g, input, exponent):
    if not isinstance(exponent, Tensor):
        if exponent == 0:
            return g.new_zeros(g.shape)
        if exponent == 1:
            return linked(g, input)
        if exponent == 2:
            return g * conj(input * 2)
        return g * conj(input ** (exponent - 1) * exponent)
    one = (
        conj(exponent * input.pow(exponent - 1))
        if isinstance(input, Tensor)
        else conj(exponent * input ** (exponent - 1))
    )
    return (g * one).masked_fill(exponent == 0, 0)


def _pow_exponent(g, input, exponent, out):
    log = input.log() if isinstance(input, Tensor) else _log_number(input, exponent)
    value = g * conj(out * log)
    zero = (input == 0) & (exponent.real >= 0 if exponent.dtype.is_complex else exponent >= 0) if isinstance(
        exponent, Tensor) else input == 0
    if isinstance(zero, Tensor):
        return value.masked_fill(zero, 0)
    return g * 0 if zero else value


def _log_number(x, like):
    import cmath

    if isinstance(x, complex) or (x < 0 and like.dtype.is_complex):
        return cmath.log(x)
    return math.log(x) if x > 0 else (float("-inf") if x == 0 else float("nan"))


@composite(method=True, inplace=True, out=True)
def float_power(input, exponent):
    """``input ** exponent`` computed in double precision."""
    if not (isinstance(input, Tensor) or isinstance(exponent, Tensor)) or isinstance(input, (list, tuple, str)):
        raise TypeError("float_power() received an invalid combination of arguments - got (" + ", ".join(
            type(x).__name__ for x in (input, exponent)) + "), but expected a Tensor among them")
    complex_ = any(x.dtype.is_complex if isinstance(x, Tensor) else isinstance(x, complex) for x in (input, exponent))
    wide = dtypes.complex128 if complex_ else dtypes.float64
    a = input.to(wide) if isinstance(input, Tensor) else _number(input, wide)
    b = exponent.to(wide) if isinstance(exponent, Tensor) else exponent
    return pow_(a, b)


def _number(value, dtype):
    from flowtorch.ops.factory import tensor

    return tensor(value, dtype=dtype)


# ---------------------------------------------------------------- extrema and choice

def _ties(g, mine, other, chosen):
    """The gradient of maximum/minimum for one operand: halved where both are equal."""
    return (g / 2).where(mine == other, g).masked_fill(chosen, 0)


@pointwise(numpy=np.maximum, numbers=(), expr="maximum(input, other)",
           rejects={"complex": "maximum not implemented for complex tensors."}, inplace=False,
           vjp=(lambda g, input, other: _ties(g, input, other, input < other),
                lambda g, input, other: _ties(g, input, other, other < input)))
def maximum(input, other):
    """The larger of two elements, with broadcasting; nan if either is nan.

    >>> torch.maximum(torch.tensor([1, 5]), torch.tensor([3, 2]))
    tensor([3, 5])
    """


@pointwise(numpy=np.minimum, numbers=(), expr="minimum(input, other)",
           rejects={"complex": "minimum not implemented for complex tensors."}, inplace=False,
           vjp=(lambda g, input, other: _ties(g, input, other, input > other),
                lambda g, input, other: _ties(g, input, other, other > input)))
def minimum(input, other):
    """The smaller of two elements; nan if either is nan."""


@pointwise(numpy=np.fmax, numbers=(), expr="fmax(input, other)",
           rejects={"complex": "fmax not implemented for complex tensors."}, inplace=False,
           vjp=(lambda g, input, other: g.masked_fill(~((input >= other) | other.isnan()), 0),
                lambda g, input, other: g.masked_fill((input >= other) | other.isnan(), 0)))
def fmax(input, other):
    """The larger of two elements; a nan gives way to a number."""


@pointwise(numpy=np.fmin, numbers=(), expr="fmin(input, other)",
           rejects={"complex": "fmin not implemented for complex tensors."}, inplace=False,
           vjp=(lambda g, input, other: g.masked_fill(~((input <= other) | other.isnan()), 0),
                lambda g, input, other: g.masked_fill((input <= other) | other.isnan(), 0)))
def fmin(input, other):
    """The smaller of two elements; a nan gives way to a number."""


# ---------------------------------------------------------------- other functions of two tensors

@pointwise(numbers=(), expr="atan2(input, other)", promote="float", rejects=("complex",),
           vjp=(lambda g, input, other: g * _safe_quotient(other, input * input + other * other),
                lambda g, input, other: g * -_safe_quotient(input, input * input + other * other)))
def atan2(input, other):
    """The angle of the point (other, input), in (-pi, pi]."""
    if input.dtype != np.float32:
        return np.arctan2(input, other)
    return np.arctan2(input, other, dtype=np.float64).astype(np.float32)    # its float32 loop errs by two units


def _safe_quotient(a, b):
    return (a / b).masked_fill(b == 0, 0)


@pointwise(numpy=np.hypot, numbers=(), expr="hypot(input, other)", rejects=("complex", "integer", "bool"),
           vjp=(lambda g, input, out: g * (input / out), lambda g, other, out: g * (other / out)))
def hypot(input, other):
    """The length of the hypotenuse, without overflow."""


@pointwise(numbers=(), expr="logaddexp(input, other)", rejects=("integer", "bool"), inplace=False,
           vjp=(lambda g, input, other: g / conj(1 + (other - input).exp()),
                lambda g, input, other: g / conj(1 + (input - other).exp())))
def logaddexp(input, other):
    """log(exp(input) + exp(other)), without overflow."""
    if input.dtype.kind == "c":
        a = np.where(input.real >= other.real, input, other)
        b = np.where(input.real >= other.real, other, input)
        return np.where(np.isinf(a.real) & (a == b), a, a + np.log1p(np.exp(b - a)))
    if input.dtype == np.float32:                     # a result near 0 loses the digits that cancel
        return np.logaddexp(input, other, dtype=np.float64).astype(np.float32)
    return np.logaddexp(input, other)


@pointwise(
    numbers=(),
    expr="logaddexp2(input, other)",
    rejects=("complex", "integer", "bool"),
    inplace=False,
    vjp=(
        lambda g, input, other: g / (1 + (other - input).exp2()),
        lambda g, input, other: g / (1 + (input - other).exp2()),
    ),
)
def logaddexp2(input, other):
    """log2(2**input + 2**other), without overflow."""
    if input.dtype == np.float32:
        return np.logaddexp2(input, other, dtype=np.float64).astype(np.float32)
    return np.logaddexp2(input, other)


@pointwise(numpy=np.copysign, expr="copysign(input, other)", promote="float", low="keep", rejects=("complex",),
           vjp=(lambda g, input, out: g * _same_sign(input, out), nothing))
def copysign(input, other):
    """The magnitude of ``input`` with the sign of ``other``."""


def _same_sign(input, out):
    return (out / input).masked_fill(input == 0, 0)


@pointwise(numbers=(), expr="nextafter(input, other)", low="keep", rejects=("complex", "integer", "bool"),
           vjp=(lambda g, input, other: g.masked_fill(input == other, 0), nothing))
def nextafter(input, other):
    """The next representable number after ``input`` towards ``other``."""
    after = np.nextafter(input, other)
    return after if after.dtype.itemsize > 2 else np.where(input == other, other, after)    # of two zeros the second


@pointwise(
    numbers=_BOTH,
    expr="xlogy(input, other)",
    promote="float",
    rejects=("complex",),
    vjp=(
        lambda g, input, other: (
            g * (other.log() if isinstance(other, Tensor) else _log_number(other, input))
        ).masked_fill((input == 0) & (other <= 0), 0),
        lambda g, input, other: g * input / other,
    ),
)
def xlogy(input, other):
    """input * log(other), 0 where input is 0 (nan where other is nan)."""
    return np.where(np.isnan(other), other, np.where(input == 0, input.dtype.type(0), input * np.log(other)))


def _alike_for_heaviside(operands: Any, dtype: Any) -> None:
    if any(x._type.dtype is not dtype for x in operands):
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")


@pointwise(numbers=(), expr="heaviside(input, values)", check=_alike_for_heaviside,
           rejects={"complex": "heaviside is not yet implemented for complex tensors."})
def heaviside(input, values):
    """0 below zero, ``values`` at zero, 1 above."""
    return np.where(input == 0, values, (input > 0).astype(input.dtype))


@composite(method=True, inplace=True, out=True)
def ldexp(input, other):
    """input * 2**other."""
    need_tensors("ldexp", input=input, other=other)
    if other.dtype.name == "bool" and input.dtype.is_floating_point:
        raise NotImplementedError("\"ldexp_cpu_exp\" not implemented for 'Bool'")
    if input.dtype.is_complex and other.dtype is dtypes.float16 and other.dim():
        raise NotImplementedError("\"pow\" not implemented for 'ComplexHalf'")
    if other.dtype.rank < 2 <= input.dtype.rank < 3:
        return _raised(input, other)
    own = input.dtype.rank >= 2 and input.dtype is not dtypes.get_default_dtype()
    base = input.new_empty(()) if own else 2.0                          # as PyTorch takes two to the power of other
    return input * other.to(result_dtype((base, other))).exp2()


def _raised(input: Any, other: Any) -> Any:
    """A floating-point tensor times powers of two that may be out of its range while the products are not."""
    exponents, out = other.double().clamp(-2100, 2100), input.double()
    for parts in (3, 2, 1):
        part = (exponents / parts).floor()
        out, exponents = out * part.exp2(), exponents - part
    return out.to(input.dtype)


# ---------------------------------------------------------------- other names, and functions made of the above

@composite(method=True)
def rsub(input, other, *, alpha=1):
    """``other - alpha * input``."""
    need_tensors("rsub", input=input)
    if not isinstance(other, Tensor):
        return sub(other, input, alpha=alpha)
    return sub(other, input, alpha=alpha)


ALIASES = {
    "divide": "div",
    "multiply": "mul",
    "subtract": "sub",
    "negative": "neg",
    "absolute": "abs",
    "arctan2": "atan2",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "not_equal": "ne",
    "clip": "clamp",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "fix": "trunc",
}
