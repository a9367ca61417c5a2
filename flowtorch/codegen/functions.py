"""The scalar functions an expression may call: one table for the parser, the typing and the renderers."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Function:
    """One scalar function.

    rule:    how the result type follows from the promoted operand type:
             "same" (that type), "float" (that type, integers become the default float), "bool",
             "real" (its real part's type), "complex" (the complex type of such parts), "cast",
             "select" (the first operand is a condition).
    accepts: the categories of operands: b(ool), i(nteger), f(loat), c(omplex).
    fold:    the function on Python numbers, for operands that are all constants.
    """

    name: str
    arity: int
    rule: str
    accepts: str
    doc: str
    fold: Callable | None = None


FUNCTIONS: dict[str, Function] = {}
"""Every function by name."""


def _define(rule: str, accepts: str, arity: int, rows: dict[str, tuple[str, Callable | None]]) -> None:
    for name, (doc, fold) in rows.items():
        FUNCTIONS[name] = Function(name, arity, rule, accepts, doc, fold)


_define("same", "bifc", 2, {
    "add": ("left + right; or, on bool", operator.add),
    "mul": ("left * right; and, on bool", operator.mul),
})  # fmt: skip
_define("same", "ifc", 2, {
    "sub": ("left - right", operator.sub),
    "pow": ("left to the power right; an integer to a negative power is 1, -1 or 0", operator.pow),
})  # fmt: skip
_define("float", "fc", 2, {"div": ("left / right, never rounded to an integer", operator.truediv)})
_define("same", "if", 2, {
    "floor_divide": ("left / right rounded down", None),
    "trunc_divide": ("left / right rounded towards zero", None),
    "remainder": ("remainder with the sign of right", None),
    "fmod": ("remainder with the sign of left", None),
})  # fmt: skip
_define("same", "bif", 2, {
    "minimum": ("the smaller, NaN if either is NaN", None),
    "maximum": ("the larger, NaN if either is NaN", None),
    "fmin": ("the smaller, a NaN only if both are NaN", None),
    "fmax": ("the larger, a NaN only if both are NaN", None),
})  # fmt: skip
_define("float", "f", 2, {
    "atan2": ("angle of the point (right, left)", None),
    "hypot": ("sqrt(left**2 + right**2) without overflow on the way", None),
    "copysign": ("magnitude of left with the sign of right", None),
    "nextafter": ("the next number after left towards right", None),
})  # fmt: skip
_define("same", "bi", 2, {
    "bitwise_and": ("and of the bits", None),
    "bitwise_or": ("or of the bits", None),
    "bitwise_xor": ("exclusive or of the bits", None),
})  # fmt: skip
_define("same", "i", 2, {
    "left_shift": ("left << right, 0 where right is outside the width", None),
    "right_shift": ("left >> right, the sign where right is outside the width", None),
    "gcd": ("greatest common divisor", None),
})  # fmt: skip
_define("bool", "bifc", 2, {
    "eq": ("left == right", None),
    "ne": ("left != right", None),
    "logical_and": ("both are non-zero", None),
    "logical_or": ("one is non-zero", None),
    "logical_xor": ("exactly one is non-zero", None),
})  # fmt: skip
_define("bool", "bif", 2, {
    "lt": ("left < right", None),
    "le": ("left <= right", None),
    "gt": ("left > right", None),
    "ge": ("left >= right", None),
})  # fmt: skip
_define("same", "ifc", 1, {
    "neg": ("-x", operator.neg),
    "pos": ("x", operator.pos),
})  # fmt: skip
_define("same", "if", 1, {
    "floor": ("rounded down", None),
    "ceil": ("rounded up", None),
    "trunc": ("rounded towards zero", None),
    "round": ("rounded to the nearest integer, halves to even", None),
})  # fmt: skip
_define("same", "bif", 1, {"sign": ("-1, 0 or 1; 0 for NaN", None)})
_define("same", "bi", 1, {"bitwise_not": ("every bit inverted", None)})
_define("same", "bifc", 1, {"sgn": ("x / abs(x), 0 for 0; sign for real numbers", None)})
_define("real", "bifc", 1, {"angle": ("argument of a complex number; 0 or pi for a real one, NaN for NaN", None)})
_define("complex", "f", 2, {"complex": ("the complex number of these parts", None)})
_define("same", "bifc", 1, {"conj": ("complex conjugate", None)})
_define("real", "ifc", 1, {"abs": ("magnitude", abs)})
_define("real", "bifc", 1, {"real": ("real part", None), "imag": ("imaginary part", None)})
_define("float", "fc", 1, {
    "exp": ("e to the power x", math.exp),
    "log": ("natural logarithm", math.log),
    "sqrt": ("square root", math.sqrt),
    "rsqrt": ("1 / sqrt(x)", None),
    "exp2": ("2 to the power x", None),
    "expm1": ("exp(x) - 1, exact near 0", None),
    "log1p": ("log(1 + x), exact near 0", None),
    "log2": ("logarithm of base 2", None),
    "log10": ("logarithm of base 10", None),
    "sin": ("sine", None),
    "cos": ("cosine", None),
    "tan": ("tangent", None),
    "asin": ("inverse sine", None),
    "acos": ("inverse cosine", None),
    "atan": ("inverse tangent", None),
    "sinh": ("hyperbolic sine", None),
    "cosh": ("hyperbolic cosine", None),
    "tanh": ("hyperbolic tangent", None),
    "asinh": ("inverse hyperbolic sine", None),
    "acosh": ("inverse hyperbolic cosine", None),
    "atanh": ("inverse hyperbolic tangent", None),
})  # fmt: skip
_define("float", "f", 1, {
    "erf": ("error function", None),
    "erfc": ("1 - erf(x), exact for large x", None),
    "erfinv": ("inverse of erf", None),
    "lgamma": ("logarithm of the magnitude of the gamma function", None),
    "digamma": ("derivative of lgamma", None),
})  # fmt: skip
_define("bool", "bifc", 1, {
    "logical_not": ("x is zero", None),
    "isnan": ("x is NaN", None),
    "isinf": ("x is infinite", None),
    "isfinite": ("x is neither infinite nor NaN", None),
})  # fmt: skip
_define("bool", "bif", 1, {"signbit": ("the sign bit is set, so true for -0.0", None)})
_define("select", "bifc", 3, {"where": ("second operand where the first is non-zero, else the third", None)})
_define("cast", "bifc", 1, {"cast": ("x converted to the dtype named as second argument", None)})

DERIVED: dict[str, tuple[tuple[str, ...], str]] = {
    "logaddexp": (
        ("a", "b"),
        "where((a == b) & isinf(a), a, maximum(a, b) + log1p(exp(-abs(a - b))))",
    ),
    "logaddexp2": (
        ("a", "b"),
        "where((a == b) & isinf(a), a, maximum(a, b) + log1p(exp2(-abs(a - b))) * 1.4426950408889634)",
    ),
    "xlogy": (("a", "b"), "where(isnan(b), nan, where(a == 0, 0, a * log(b)))"),
    "heaviside": (("a", "b"), "where(a == 0, b, a > 0)"),
    "lcm": (("a", "b"), "where(gcd(a, b) == 0, 0, abs(a // gcd(a, b) * b))"),
    "isposinf": (("a",), "a == inf"),
    "isneginf": (("a",), "a == -inf"),
    "isreal": (("a",), "imag(a) == 0"),
    "sinc": (("a",), "where(a == 0, 1, sin(pi * a) / (pi * a))"),
}
"""Functions that are written out in terms of others where they are called: parameters and text."""


def fold(name: str, values: tuple) -> bool | int | float | complex | None:
    """The value of `name` on Python numbers, or None where it has none that is certain to be right."""
    function = FUNCTIONS[name].fold
    if function is None or any(isinstance(value, bool) for value in values):
        return None
    try:
        result = function(*values)
    except (ArithmeticError, TypeError, ValueError):  # no constant there: the kernel computes it
        return None
    if isinstance(result, complex) and not any(isinstance(value, complex) for value in values):
        return None
    return None if isinstance(result, float) and not math.isfinite(result) else result
