"""Pointwise comparisons, logic and operations on bits, and what follows from comparisons."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.ops.families import pointwise
from flowtorch.ops.op import composite
from flowtorch.ops.pointwise import need_tensors

_BOTH = ("input", "other")


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


def _integers(ufunc: Any, name: str, doc: str, dunder: str | None = None, rejects: tuple = ("inexact",)) -> Any:
    def body(input, other):
        return ufunc(input, other)
    body.__name__, body.__doc__ = name, doc
    return pointwise(body, numpy=ufunc, expr=f"{name}(input, other)", rejects=rejects, dunder=dunder,
                     numbers=_BOTH if name.startswith("bitwise") else ())


bitwise_and = _integers(np.bitwise_and, "bitwise_and", "The bits set in both.", "and")
bitwise_or = _integers(np.bitwise_or, "bitwise_or", "The bits set in either.", "or")
bitwise_xor = _integers(np.bitwise_xor, "bitwise_xor", "The bits set in one of the two.", "xor")
gcd = _integers(np.gcd, "gcd", "The greatest common divisor.", None, ("inexact", "bool"))
def _lcm(a, b):
    wide = np.promote_types(a.dtype, np.int32)                     # as C computes it: then the sign may come back
    return np.abs(np.lcm(a, b, dtype=wide)).astype(a.dtype)


lcm = _integers(_lcm, "lcm", "The least common multiple.", None, ("inexact", "bool"))


def _shift(left: bool) -> Any:
    def kernel(input, other):
        if input.dtype.kind == "f":
            return input * np.exp2(other) if left else input / np.exp2(other)
        bits = input.dtype.itemsize * 8
        bad = (other < 0) | (other >= bits)
        amount = np.where(bad, 0, other).astype(input.dtype)
        if left:
            return np.where(bad, 0, np.left_shift(input, amount)).astype(input.dtype)
        return np.where(bad, np.where(input < 0, -1, 0), np.right_shift(input, amount)).astype(input.dtype)
    return kernel


_left, _right = _shift(True), _shift(False)


@pointwise(numbers=_BOTH, expr="left_shift(input, other)", dunder="lshift", rejects=("inexact", "bool"))
def bitwise_left_shift(input, other):
    """Shift the bits of ``input`` left."""
    return _left(input, other)


@pointwise(numbers=_BOTH, expr="right_shift(input, other)", dunder="rshift", rejects=("inexact", "bool"))
def bitwise_right_shift(input, other):
    """Shift the bits of ``input`` right, keeping the sign."""
    return _right(input, other)


def _logical(ufunc: Any, name: str, doc: str) -> Any:
    def body(input, other):
        return ufunc(input, other)
    body.__name__, body.__doc__ = name, doc
    return pointwise(body, numpy=ufunc, promote="bool", expr=f"{name}(input, other)", numbers=())


logical_and = _logical(np.logical_and, "logical_and", "Whether both are nonzero.")
logical_or = _logical(np.logical_or, "logical_or", "Whether either is nonzero.")
logical_xor = _logical(np.logical_xor, "logical_xor", "Whether one and only one is nonzero.")


@composite(method=True)
def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether |input - other| <= atol + rtol * |other|, element by element."""
    need_tensors("isclose", input=input, other=other)
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{input.dtype.label} did not match {other.dtype.label}")
    if rtol < 0 or atol < 0:
        raise RuntimeError(f"rtol must be greater than or equal to zero, but got {rtol}" if rtol < 0 else
                           f"atol must be greater than or equal to zero, but got {atol}")
    close = input == other
    if equal_nan and (input.dtype.is_floating_point or input.dtype.is_complex):
        close = close | (input.isnan() & other.isnan())
    if rtol == 0 and atol == 0:
        return close
    if not input.dtype.is_floating_point and not input.dtype.is_complex:
        input, other = input.to(dtypes.get_default_dtype()), other.to(dtypes.get_default_dtype())
    error = (input - other).abs()
    return close | ((error <= atol + (rtol * other).abs()) & error.isfinite())


@composite(method=True)
def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether all elements are close: ``abs(input - other) <= atol + rtol * abs(other)``, as a Python bool.

    >>> torch.allclose(torch.tensor([1.0]), torch.tensor([1.0 + 1e-7]))
    True
    """
    return isclose(input, other, rtol, atol, equal_nan).all().item()
