"""Programs as C code: a loop nest for any strides, compiled by `native` and called through ctypes."""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import native, planner
from .dtypes import CATEGORY
from .lowering import Program, Value
from .numpy_renderer import numpy_dtype

_TYPES = {
    "bool": "uint8_t",
    "float16": "uint16_t",
    "bfloat16": "uint16_t",
    "float32": "float",
    "float64": "double",
    **{f"{sign}int{bits}": f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


AHEAD = 1024  # bytes between what is asked for and what is read: from 512 to 4096 it makes no difference


def render(program: Program, name: str = "kernel", ahead: bool = False) -> str:
    """C source with ``name(ndim, shape, strides, operands, scalars)``; strides count elements, per operand.

    Operands are the inputs, then the outputs. The innermost loop has a version for unit strides, one for each
    input that is a single element, and one for any strides. ``ahead`` makes the first ask for what is read later,
    which pays where arrays are larger than the caches: the processor's own prefetching ends with every page.
    """
    inputs = [f"x{k}" for k in range(len(program.inputs))]
    outputs = [f"y{k}" for k in range(len(program.outputs))]
    types = [c_type(value.type) for value in (*program.inputs, *program.outputs)]
    operands = list(zip(inputs + outputs, types, strict=True))
    names: dict[Value, str] = {value: f"e{k}" for k, value in enumerate(program.inputs)}
    names |= {value: f"s{k}" for k, value in enumerate(program.parameters)}
    scalars = [f"{c_type(v.type)} s{k}" for k, v in enumerate(program.parameters)]
    element = [f"{types[k]} e{k} = *x{k};" for k in range(len(inputs))]
    body, results = statements(program, names)
    element += body + [f"*y{k} = {result};" for k, result in enumerate(results)]
    pointers = [f"{'const ' * (n in inputs)}{t} *{n}" for n, t in operands]
    lines = [
        f"INLINE void {name}_element({', '.join(pointers + scalars)}) {{",
        *(f"    {line}" for line in element),
        "}",
        f"void {name}(int ndim, const int64_t *shape, const int64_t *strides, char *const *p, const int64_t *s) {{",
        *_odometer(operands),
        *(f"    {c_type(v.type)} s{k} = {_scalar(v, k)};" for k, v in enumerate(program.parameters)),
        "    for (int64_t row = 0; row < rows; row++) {",
        *(f"        {line}" for line in _advance(operands)),
        *(f"        {line}" for line in _inner_loops(name, inputs, outputs, len(program.parameters), ahead)),
        "    }",
        "}",
    ]
    return "\n".join([*lines, ""])


def statements(program: Program, names: dict[Value, str]) -> tuple[list[str], list[str]]:
    """The program's steps as C statements on one element, and the names of its outputs; `names` has the operands."""
    lines = []
    for position, value in enumerate(program.steps):
        names[value] = f"t{position}"
        lines.append(f"{c_type(value.type)} t{position} = {_step(value, names)};")
    return lines, [names[value] for value in program.outputs]


def _scalar(value: Value, position: int) -> str:
    if CATEGORY[value.type] == "f":
        return f"({c_type(value.type)})as_double(s[{position}])"
    return f"({c_type(value.type)})s[{position}]"


def _slot(number: float, value: Value) -> int:
    """A scalar argument in 64 bits."""
    if CATEGORY[value.type] == "f":
        return struct.unpack("<q", struct.pack("<d", number))[0]
    return int(number)


def _odometer(operands: Sequence[tuple[str, str]]) -> list[str]:
    lines = [
        "    int64_t n = shape[ndim - 1], rows = 1;",
        "    for (int d = 0; d < ndim - 1; d++) rows *= shape[d];",
    ]
    for k, (name, _) in enumerate(operands):
        lines.append(f"    const int64_t *steps_{name} = strides + {k} * ndim, d{name} = steps_{name}[ndim - 1];")
    return lines


def _advance(operands: Sequence[tuple[str, str]]) -> list[str]:
    lines = [f"int64_t at_{name} = 0;" for name, _ in operands]
    moves = " ".join(f"at_{name} += i * steps_{name}[d];" for name, _ in operands)
    lines += [
        "int64_t rest = row;",
        f"for (int d = ndim - 2; d >= 0; d--) {{ int64_t i = rest % shape[d]; rest /= shape[d]; {moves} }}",
    ]
    for k, (name, type) in enumerate(operands):
        lines.append(f"{type} *{name} = ({type} *)p[{k}] + at_{name};")
    return lines


def _inner_loops(name: str, inputs: Sequence[str], outputs: Sequence[str], scalars: int, ahead: bool) -> list[str]:
    def loop(steps: dict[str, str], begin: str = "0", end: str = "n") -> str:
        places = [f"{n} + {steps[n]}" if steps[n] != "0" else n for n in (*inputs, *outputs)]
        call = ", ".join(places + [f"s{k}" for k in range(scalars)])
        # outputs never overlap inputs in part: an in-place kernel reads and writes the same elements
        return f'_Pragma("GCC ivdep") for (int64_t i = {begin}; i < {end}; i++) {name}_element({call});'

    unit = dict.fromkeys((*inputs, *outputs), "i")
    cases = [unit] + [unit | {single: "0"} for single in inputs]
    lines = []
    if ahead:
        asked = " ".join(f"__builtin_prefetch((const char *)({n} + b) + {AHEAD});" for n in inputs)
        test = " && ".join(f"d{n} == 1" for n in unit)
        lines.append(f"enum {{ line = 64 / sizeof *{inputs[0]} }};")
        lines.append(f"if ({test}) {{")
        lines.append(f"    int64_t b = 0; for (; b + line <= n; b += line) {{ {asked} {loop(unit, 'b', 'b + line')} }}")
        lines.append(f"    {loop(unit, 'b')}")
        lines.append("} else")
        del cases[0]
    for steps in cases:
        test = " && ".join(f"d{n} == {'1' if step == 'i' else '0'}" for n, step in steps.items())
        lines.append(f"if ({test}) {{ {loop(steps)} }} else")
    return [*lines, f"{{ {loop({n: f'i * d{n}' for n in unit})} }}"]


def c_type(dtype: str) -> str:
    """The C type that holds a dtype; 16-bit floats are held as their bits."""
    if dtype not in _TYPES:
        raise NotImplementedError(f"C kernels do not compute on {dtype}")
    return _TYPES[dtype]


def _step(value: Value, names: dict[Value, str]) -> str:
    if value.op == "constant":
        return _literal(value.payload, value.type)
    args = [names[arg] for arg in value.args]
    if value.op == "cast":
        return _cast(args[0], value.args[0].type, value.type)
    kind = value.operand_type
    category = CATEGORY[kind]
    template = _TEMPLATES.get((value.op, category)) or _TEMPLATES.get((value.op, "*"))
    if template is None:
        raise NotImplementedError(f"{value.op} on {kind} has no C rendering")
    fast = "fast_" if kind == "float32" and value.op in ("exp", "log", "tanh", "erf") else ""
    text = template.format(
        *args, f="f" if kind == "float32" else "", s="f" if kind == "float32" else "d", n=kind, fast=fast
    )
    # C computes on narrow integers in int; every result is brought back to its type
    return f"({c_type(value.type)})({text})" if category == "i" else text


def _cast(text: str, source: str, target: str) -> str:
    if source in ("float16", "bfloat16"):
        text = f"load_{source}({text})"
    if target in ("float16", "bfloat16"):
        return f"store_{target}((float)({text}))"
    if target == "bool":
        return f"{text} != 0"
    return f"({c_type(target)})({text})"


def _literal(value: object, type: str) -> str:
    text = repr(value)
    if type in ("float32", "float64"):
        special = {"inf": "INFINITY", "-inf": "-INFINITY", "nan": "NAN"}.get(text)
        return special or (f"(float){text}" if type == "float32" else text)
    if type == "int64" and value == -(2**63):
        return "INT64_MIN"
    suffix = {"int64": "LL", "uint64": "ULL"}.get(type, "")
    return f"{int(value)}{suffix}"  # type: ignore[call-overload]


_TEMPLATES: dict[tuple[str, str], str] = {
    (name, "*"): f"{{0}} {symbol} {{1}}"
    for name, symbol in {
        "add": "+", "sub": "-", "mul": "*", "div": "/", "eq": "==", "ne": "!=", "lt": "<", "le": "<=",
        "gt": ">", "ge": ">=", "bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^",
        "logical_and": "&", "logical_or": "|", "logical_xor": "^",
    }.items()
}  # fmt: skip
_TEMPLATES |= {
    (name, "f"): f"{body}{{f}}({{0}})"
    for name, body in {
        **{name: name for name in (
            "floor", "ceil", "trunc", "sqrt", "exp2", "expm1", "log1p", "log2", "log10", "sin", "cos", "tan",
            "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "erfc",
        )},
        **{name: f"{{fast}}{name}" for name in ("exp", "log", "tanh", "erf")},
        "abs": "fabs", "round": "rint",
    }.items()
}  # fmt: skip
_TEMPLATES |= {
    (name, "f"): f"{name}{{f}}({{0}}, {{1}})" for name in ("fmod", "pow", "atan2", "hypot", "copysign", "nextafter")
}
_TEMPLATES |= {
    (name, "i"): f"{name}_{{n}}({{0}}, {{1}})"
    for name in ("floor_divide", "remainder", "fmod", "pow", "left_shift", "right_shift", "gcd")
}
_TEMPLATES |= {
    ("where", "*"): "{0} ? {1} : {2}",
    ("neg", "*"): "-{0}",
    ("abs", "i"): "{0} < 0 ? -{0} : {0}",
    ("bitwise_not", "*"): "~{0}",
    ("logical_not", "*"): "!{0}",
    ("rsqrt", "f"): "1 / sqrt{f}({0})",
    ("floor_divide", "f"): "floor_divide_{s}({0}, {1})",
    ("trunc_divide", "f"): "trunc{f}({0} / {1})",
    ("trunc_divide", "i"): "quotient_{n}({0}, {1})",
    ("remainder", "f"): "remainder_{s}({0}, {1})",
    ("minimum", "f"): "minimum_{s}({0}, {1})",
    ("maximum", "f"): "maximum_{s}({0}, {1})",
    ("minimum", "i"): "{0} < {1} ? {0} : {1}",
    ("maximum", "i"): "{0} > {1} ? {0} : {1}",
    ("fmin", "f"): "fmin_{s}({0}, {1})",
    ("fmax", "f"): "fmax_{s}({0}, {1})",
    ("fmin", "i"): "{0} < {1} ? {0} : {1}",
    ("fmax", "i"): "{0} > {1} ? {0} : {1}",
    ("angle", "f"): "{0} != {0} ? {0} : {0} < 0 ? 3.14159265358979323846{f} : 0",
    ("sign", "*"): "({0} > 0) - ({0} < 0)",
    ("isnan", "f"): "{0} != {0}",
    ("isinf", "f"): "fabs{f}({0}) == INFINITY",
    ("isfinite", "f"): "fabs{f}({0}) < INFINITY",
    ("lgamma", "f"): "lgamma{f}_r({0}, &(int){{{{0}}}})",
    ("signbit", "f"): "copysign{f}(1, {0}) < 0",
    ("signbit", "i"): "{0} < 0",
}  # fmt: skip


@functools.cache
def _prelude() -> str:
    return Path(__file__).with_name("prelude.h").read_text()


class CKernel:
    """A program compiled to machine code, called with arrays and numbers like the numpy kernel."""

    def __init__(self, program: Program):
        self.program = program
        self.source = _prelude() + render(program)
        self.function = native.load(self.source).kernel
        self.function.restype = None
        self.function.argtypes = [ctypes.c_int] + [ctypes.c_void_p] * 4
        self.input_types = [numpy_dtype(value.type) for value in program.inputs]
        self.types = tuple(numpy_dtype(value.type) for value in program.outputs)
        self.pointers = ctypes.c_void_p * (len(program.inputs) + len(program.outputs))
        self.numbers = ctypes.c_int64 * max(len(program.parameters), 1)
        self.plans: dict[tuple, tuple] = {}

    def __call__(self, *values: np.ndarray | float) -> np.ndarray | tuple[np.ndarray, ...]:
        count = len(self.program.inputs)
        arrays = [np.asarray(value) for value in values[:count]]
        for array, value, dtype in zip(arrays, self.program.inputs, self.input_types, strict=True):
            if array.dtype != dtype:
                raise TypeError(f"{value.payload} must be {value.type}, not {array.dtype}")
        key = tuple([part for array in arrays for part in (array.shape, array.strides)])
        plan = self.plans.get(key)
        if plan is None:
            if len(self.plans) > 4096:  # ever new shapes must not grow it for ever
                self.plans.clear()
            plan = self.plans[key] = self.plan(arrays)
        shape, place, space = plan
        outputs = [_allocate(shape, place, dtype) for dtype in self.types]
        if space is not None:
            self.call(space, arrays + outputs, values[count:])
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def plan(self, arrays: Sequence[np.ndarray]) -> tuple:
        """The outputs' shape and strides, and the space to walk (None where there is nothing to do)."""
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
        steps = tuple(planner.broadcast_strides(a.shape, _element_strides(a), shape) for a in arrays)
        place = planner.output_strides(shape, steps)
        space = None if 0 in shape else self.space(shape, steps + (place,) * len(self.types))
        return shape, place, space

    def space(self, shape: tuple[int, ...], strides: tuple[tuple[int, ...], ...]) -> tuple:
        """The planned dimensions of operands with these strides, as the C function takes them."""
        layout = planner.plan(shape, strides, len(self.types))
        sizes = (ctypes.c_int64 * len(layout.shape))(*layout.shape)
        steps = [step for own in layout.strides for step in own]
        return len(layout.shape), sizes, (ctypes.c_int64 * len(steps))(*steps)

    def run(self, operands: Sequence[np.ndarray], shape: tuple, strides: tuple, scalars: Sequence = ()) -> None:
        """Compute into the last of `operands`."""
        self.call(self.space(shape, strides), operands, scalars)

    def call(self, space: tuple, operands: Sequence[np.ndarray], scalars: Sequence) -> None:
        pointers = self.pointers(*[a.__array_interface__["data"][0] for a in operands])
        numbers = self.numbers(*map(_slot, scalars, self.program.parameters))
        self.function(*space, pointers, numbers)


def _element_strides(array: np.ndarray) -> tuple[int, ...]:
    return tuple(step // array.itemsize for step in array.strides)


def _allocate(shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    order = sorted(range(len(shape)), key=lambda dim: strides[dim], reverse=True)
    if order == list(range(len(shape))):
        return np.empty(shape, dtype)
    dense = np.empty([shape[dim] for dim in order], dtype)
    return dense.transpose([order.index(dim) for dim in range(len(shape))])
