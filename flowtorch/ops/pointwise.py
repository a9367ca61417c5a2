"""Pointwise arithmetic and comparisons: the operators. Functions of one argument are in pointwise_unary."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.ops.families import pointwise
from flowtorch.tensor import Tensor


def conj(x: Any) -> Any:
    """The complex conjugate in derivative formulas: nothing for real tensors and numbers."""
    if isinstance(x, Tensor):
        return x.conj() if x.dtype.is_complex else x                    # type: ignore[attr-defined]
    return x.conjugate() if isinstance(x, complex) else x


@pointwise(numpy=np.add, expr="input + alpha * other", linear=True, dunder="add",
           vjp=(lambda g: g, lambda g, alpha: g if alpha == 1 else g * conj(alpha)))
def add(input, other, *, alpha=1):
    """Add ``other``, scaled by ``alpha``, to ``input``, with broadcasting."""
    return np.add(input, np.multiply(other, np.asarray(alpha).astype(other.dtype)))


@pointwise(numpy=np.subtract, expr="input - alpha * other", linear=True, dunder="sub", rejects=("bool",),
           vjp=(lambda g: g, lambda g, alpha: -g if alpha == 1 else g * -conj(alpha)))
def sub(input, other, *, alpha=1):
    """Subtract ``other``, scaled by ``alpha``, from ``input``, with broadcasting."""
    return np.subtract(input, np.multiply(other, np.asarray(alpha).astype(other.dtype)))


@pointwise(numpy=np.multiply, expr="input * other", dunder="mul",
           vjp=(lambda g, other: g * conj(other), lambda g, input: g * conj(input)))
def mul(input, other):
    """Multiply ``input`` by ``other`` element by element, with broadcasting."""


@pointwise(numpy=np.true_divide, expr="input / other", promote="float", name="true_divide", node="DivBackward0",
           dunder="truediv", vjp=(lambda g, other: g / conj(other), lambda g, input, other: -g * conj(input / other / other)))
def true_divide(input, other):
    """Divide ``input`` by ``other`` element by element; integers give the default floating-point type."""


@pointwise(numpy=np.negative, expr="-input", linear=True, dunder="neg", rejects=("bool",), vjp=(lambda g: -g,))
def neg(input):
    """Change the sign of every element."""


@pointwise(numpy=np.exp, expr="exp(input)", promote="float", vjp=(lambda g, out: g * conj(out),))
def exp(input):
    """Raise e to every element."""


@pointwise(numpy=np.log, expr="log(input)", promote="float", vjp=(lambda g, input: g / conj(input),))
def log(input):
    """The natural logarithm of every element."""


@pointwise(numpy=np.sqrt, expr="sqrt(input)", promote="float", vjp=(lambda g, out: g / (2 * conj(out)),))
def sqrt(input):
    """The square root of every element."""


@pointwise(numpy=np.tanh, expr="tanh(input)", promote="float", vjp=(lambda g, out: g * conj(1 - out * out),))
def tanh(input):
    """The hyperbolic tangent of every element."""


_ZERO: dict = {}


def _relu(input):
    return np.maximum(input, input.dtype.type(0))


@pointwise(expr="where(input <= 0, 0, input)", rejects=("complex", "bool"), vjp=(lambda g, out: g * (out > 0),))
def relu(input):
    """Replace negative elements by zero; NaN stays."""
    return np.maximum(input, _zero_of(input.dtype))


def _zero_of(d):
    z = _ZERO.get(d)
    if z is None:
        z = _ZERO[d] = np.zeros((), d)
    return z


def _compare(ufunc, name, symbol, rejects=()):
    def body(input, other):
        pass
    body.__name__ = name
    body.__doc__ = f"Whether ``input {symbol} other``, element by element."
    return pointwise(body, numpy=ufunc, expr=f"input {symbol} other", promote="bool", dunder=name, rejects=rejects)


eq = _compare(np.equal, "eq", "==")
ne = _compare(np.not_equal, "ne", "!=")
lt = _compare(np.less, "lt", "<", ("complex",))
le = _compare(np.less_equal, "le", "<=", ("complex",))
gt = _compare(np.greater, "gt", ">", ("complex",))
ge = _compare(np.greater_equal, "ge", ">=", ("complex",))
