"""Programs as numpy: a Python function that evaluates the expression array by array.

Reference and fallback for the C and Triton renderers: low-precision floats are computed in float32 and
rounded once.
"""

from __future__ import annotations

import functools
import importlib
import linecache
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from .dtypes import BITS, CATEGORY
from .lowering import Program, Value


def numpy_dtype(name: str) -> np.dtype:
    """The numpy dtype of a dtype name; bfloat16 and float8 are ml_dtypes' (imported on first use)."""
    if name == "bfloat16" or name.startswith("float8"):
        return np.dtype(getattr(importlib.import_module("ml_dtypes"), name))
    return np.dtype(name)


def render(program: Program, name: str = "kernel") -> str:
    """Python source of a function `name` of the program's inputs and parameters, in that order."""
    names: dict[Value, str] = {}
    once, lines = [], []
    for value in (*program.inputs, *program.parameters):
        names[value] = str(value.payload)
        if value.op == "parameter":
            lines.append(f"{value.payload} = np.asarray({value.payload}, {_dtype(value.type)})")
    for position, value in enumerate(program.steps):
        if value.op == "constant":
            names[value] = f"_c{position}"
            once.append(f"_c{position} = np.asarray({_literal(value.payload)}, {_dtype(value.type)})\n")
        else:
            names[value] = f"_t{position}"
            lines.append(f"_t{position} = {_step(value, names)}")
    results = ", ".join(_result(value, names[value], program) for value in program.outputs)
    arguments = ", ".join(names[value] for value in (*program.inputs, *program.parameters))
    body = "\n        ".join([*lines, f"return {results}"])
    return f'{"".join(once)}def {name}({arguments}):\n    with np.errstate(all="ignore"):\n        {body}\n'


def build(program: Program, name: str = "kernel") -> Callable:
    """The program as a function of arrays and numbers; several outputs come back as a tuple."""
    source = render(program, name)
    file = f"<flowtorch numpy {name} {id(program):x}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    types = {value.type for value in (*program.parameters, *program.steps)}
    namespace: dict = {"np": np, "_special": _special, "_helper": _HELPERS} | {_dtype(t): numpy_dtype(t) for t in types}
    exec(compile(source, file, "exec"), namespace)
    return namespace[name]


def _result(value: Value, name: str, program: Program) -> str:
    used, stack = set(), [value]
    while stack:
        node = stack.pop()
        used.add(node)
        stack.extend(arg for arg in node.args if arg not in used)
    if used.issuperset(program.inputs):
        return f"np.asarray({name})"
    # an input that does not matter for the values still takes part in the shape
    shape = ", ".join(f"{value.payload}.shape" for value in program.inputs)
    return f"np.broadcast_to({name}, np.broadcast_shapes({shape})).copy()"


def _step(value: Value, names: dict[Value, str]) -> str:
    args = [names[arg] for arg in value.args]
    if value.op == "cast":
        if value.type == "bool":
            return f"np.not_equal({args[0]}, 0)"
        real = ".real" if CATEGORY[value.args[0].type] == "c" and CATEGORY[value.type] != "c" else ""
        return f"{args[0]}{real}.astype({_dtype(value.type)})"
    category = CATEGORY[value.operand_type]
    template = _TEMPLATES.get((value.op, category)) or _TEMPLATES.get((value.op, "*"))
    if template is None:
        raise NotImplementedError(f"{value.op} on {value.operand_type} has no numpy rendering")
    return template.format(*args)


def _dtype(name: str) -> str:
    return f"_{name}"


def _literal(value: object) -> str:
    return repr(value).replace("inf", "np.inf").replace("nan", "np.nan")


_TEMPLATES: dict[tuple[str, str], str] = {
    (name, "*"): f"np.{ufunc if ufunc else name}({{0}}, {{1}})"
    for name, ufunc in {
        "add": "", "sub": "subtract", "mul": "multiply", "div": "divide", "floor_divide": "", "fmod": "",
        "pow": "power", "minimum": "", "maximum": "", "fmin": "", "fmax": "", "atan2": "arctan2", "hypot": "",
        "copysign": "", "nextafter": "", "bitwise_and": "", "bitwise_or": "", "bitwise_xor": "", "gcd": "",
        "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
        "ge": "greater_equal", "logical_and": "", "logical_or": "", "logical_xor": "", "remainder": "",
    }.items()
}  # fmt: skip
_TEMPLATES |= {
    (name, "*"): f"np.{ufunc if ufunc else name}({{0}})"
    for name, ufunc in {
        "neg": "negative", "floor": "", "ceil": "", "trunc": "", "round": "rint", "sign": "",
        "bitwise_not": "invert", "conj": "conjugate", "abs": "", "exp": "", "log": "", "sqrt": "", "exp2": "",
        "expm1": "", "log1p": "",
        "log2": "", "log10": "", "sin": "", "cos": "", "tan": "", "asin": "arcsin", "acos": "arccos",
        "atan": "arctan", "sinh": "", "cosh": "", "tanh": "", "asinh": "arcsinh", "acosh": "arccosh",
        "atanh": "arctanh", "logical_not": "", "isnan": "", "isinf": "", "isfinite": "", "signbit": "",
    }.items()
}  # fmt: skip
_TEMPLATES |= {
    ("where", "*"): "np.where({0}, {1}, {2})",
    ("rsqrt", "*"): "np.divide(1, np.sqrt({0}))",
    ("sgn", "c"): "_helper.complex_sign({0})",
    ("angle", "f"): "np.where(np.isnan({0}), {0}, np.where({0} < 0, {0}.dtype.type(np.pi), {0}.dtype.type(0)))",
    ("angle", "c"): "np.angle({0})",
    ("complex", "f"): "_helper.join({0}, {1})",
    ("real", "c"): "{0}.real",
    ("imag", "c"): "{0}.imag",
    ("pow", "i"): "_helper.integer_power({0}, {1})",
    ("trunc_divide", "f"): "np.trunc(np.divide({0}, {1}))",
    ("trunc_divide", "i"): "_helper.trunc_divide({0}, {1})",
    ("remainder", "f"): "_helper.float_remainder({0}, {1})",
    ("sign", "f"): "_helper.float_sign({0})",
    ("left_shift", "i"): "_helper.left_shift({0}, {1})",
    ("right_shift", "i"): "_helper.right_shift({0}, {1})",
    ("erf", "f"): "_special('erf')({0})",
    ("erfc", "f"): "_special('erfc')({0})",
    ("erfinv", "f"): "np.copysign(_special('erfinv')({0}), {0})",
    ("lgamma", "f"): "np.where(np.isinf({0}), np.abs({0}), _special('gammaln')({0}))",
    ("digamma", "f"): "_special('digamma')({0})",
}


@functools.cache
def _special(name: str) -> Callable:
    return getattr(importlib.import_module("scipy.special"), name)


def _integer_power(base, exponent):
    result = np.power(base, np.maximum(exponent, 0))
    if exponent.dtype.kind == "u":
        return result
    unit = np.where(base == 1, 1, np.where(base == -1, np.where(exponent % 2 == 0, 1, -1), 0)).astype(base.dtype)
    return np.where(exponent < 0, unit, result)


def _trunc_divide(left, right):
    down = np.floor_divide(left, right)
    return down + ((down < 0) & (down * right != left)) if left.dtype.kind == "i" else down


def _float_remainder(left, right):
    result = np.fmod(left, right)
    return np.where((result != 0) & ((right < 0) != (result < 0)), result + right, result)


def _float_sign(x):
    return np.subtract(x > 0, x < 0, dtype=x.dtype)


def _complex_sign(x):
    size = np.abs(x)
    return np.where(size == 0, 0, x / np.where(size == 0, 1, size)).astype(x.dtype)


def _join(real, imaginary):
    shape = np.broadcast_shapes(np.shape(real), np.shape(imaginary))
    result = np.empty(shape, np.result_type(real.dtype, np.complex64))
    result.real, result.imag = real, imaginary
    return result


def _outside(count, bits):
    return (count < 0) | (count >= bits)


def _left_shift(x, count):
    outside = _outside(count, BITS[x.dtype.name])
    return np.where(outside, 0, np.left_shift(x, np.where(outside, 0, count))).astype(x.dtype)


def _right_shift(x, count):
    bits = BITS[x.dtype.name]
    last = bits - 1  # shifting a signed number that far leaves its sign everywhere
    outside = _outside(count, bits)
    shifted = np.right_shift(x, np.where(outside, last, count).astype(x.dtype))
    return np.where(outside, 0, shifted).astype(x.dtype) if x.dtype.kind == "u" else shifted


_HELPERS = SimpleNamespace(
    integer_power=_integer_power,
    trunc_divide=_trunc_divide,
    float_remainder=_float_remainder,
    float_sign=_float_sign,
    complex_sign=_complex_sign,
    join=_join,
    left_shift=_left_shift,
    right_shift=_right_shift,
)
