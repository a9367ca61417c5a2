"""Programs as text for the Triton kernels: statements over elements x0, x1, ... and scalars s0, s1, ..."""

from __future__ import annotations

from .dtypes import BITS, CATEGORY
from .lowering import Program, Value


def render(program: Program) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The statements of the program, and the names of its outputs after them."""
    names: dict[Value, str] = {value: f"x{k}" for k, value in enumerate(program.inputs)}
    names |= {value: f"s{k}" for k, value in enumerate(program.parameters)}
    # a bool is passed as an integer
    lines = [f"{names[value]} = {names[value]} != 0" for value in program.parameters if value.type == "bool"]
    for position, value in enumerate(program.steps):
        names[value] = f"t{position}"
        lines.append(f"t{position} = {_step(value, names)}")
    return tuple(lines), tuple(names[value] for value in program.outputs)


def type_text(dtype: str) -> str:
    """A dtype as Triton's source spells it."""
    if CATEGORY[dtype] == "c" or dtype.startswith("float8"):
        raise NotImplementedError(f"Triton kernels do not compute on {dtype}")
    return "tl.int1" if dtype == "bool" else f"tl.{dtype}"


def _step(value: Value, names: dict[Value, str]) -> str:
    if value.op == "constant":
        return f"tl.full((), {_literal(value.payload)}, {type_text(value.type)})"
    args = [names[arg] for arg in value.args]
    if value.op == "cast":
        type_text(value.args[0].type)
        return f"{args[0]} != 0" if value.type == "bool" else f"{args[0]}.to({type_text(value.type)})"
    kind = value.operand_type
    type_text(kind)
    category = CATEGORY[kind]
    template = _TEMPLATES.get((value.op, category)) or _TEMPLATES.get((value.op, "*"))
    if template is None:
        raise NotImplementedError(f"{value.op} on {kind} has no Triton kernel")
    return template.format(*args, bits=BITS[kind], type=type_text(kind))


def _literal(value: object) -> str:
    text = repr(value)
    return f'float("{text}")' if text in ("inf", "-inf", "nan") else text


_TEMPLATES: dict[tuple[str, str], str] = {
    (name, "*"): f"{{0}} {symbol} {{1}}"
    for name, symbol in {
        "add": "+", "sub": "-", "mul": "*", "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">",
        "ge": ">=", "bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^",
        "logical_and": "&", "logical_or": "|", "logical_xor": "^",
    }.items()
}  # fmt: skip
_TEMPLATES |= {
    (name, "f"): f"libdevice.{body}({{0}})"
    for name, body in {
        **{name: name for name in (
            "trunc", "exp", "log", "rsqrt", "exp2", "expm1", "log1p", "log2", "log10", "sin", "cos", "tan",
            "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc",
            "erfinv", "lgamma",
        )},
        "round": "nearbyint",
    }.items()
}  # fmt: skip
_TEMPLATES |= {
    (name, "f"): f"libdevice.{name}({{0}}, {{1}})"
    for name in ("fmod", "pow", "atan2", "hypot", "copysign", "nextafter")
}
_TEMPLATES |= {
    ("where", "*"): "tl.where({0}, {1}, {2})",
    ("neg", "i"): "-{0}",
    # Triton's own negation is 0 - x, which gives +0 for +0
    ("neg", "f"): "{0} * -1.0",
    ("abs", "*"): "tl.abs({0})",
    ("bitwise_not", "*"): "~{0}",
    ("logical_not", "*"): "~{0}",
    ("floor", "f"): "tl.floor({0})",
    ("ceil", "f"): "tl.ceil({0})",
    ("sqrt", "f"): "scalar.square_root({0})",
    ("div", "f"): "scalar.divide({0}, {1})",
    ("floor_divide", "f"): "scalar.float_floor_divide({0}, {1})",
    ("floor_divide", "i"): "scalar.integer_floor_divide({0}, {1})",
    ("trunc_divide", "f"): "libdevice.trunc(scalar.divide({0}, {1}))",
    ("trunc_divide", "i"): "{0} // {1}",
    ("remainder", "f"): "scalar.float_remainder({0}, {1})",
    ("remainder", "i"): "scalar.integer_remainder({0}, {1})",
    ("fmod", "i"): "{0} % {1}",
    ("gcd", "i"): "scalar.greatest_common_divisor({0}, {1})",
    ("pow", "i"): "scalar.integer_power({0}, {1}, {bits})",
    ("left_shift", "i"): "scalar.left_shift({0}, {1}, {bits})",
    ("right_shift", "i"): "scalar.right_shift({0}, {1}, {bits})",
    ("minimum", "f"): "scalar.nan_minimum({0}, {1})",
    ("maximum", "f"): "scalar.nan_maximum({0}, {1})",
    ("minimum", "i"): "tl.minimum({0}, {1})",
    ("maximum", "i"): "tl.maximum({0}, {1})",
    ("fmin", "*"): "tl.minimum({0}, {1})",
    ("fmax", "*"): "tl.maximum({0}, {1})",
    ("angle", "f"): "scalar.angle({0})",
    ("sign", "*"): "scalar.sign({0})",
    ("digamma", "f"): "scalar.digamma({0})",
    ("isnan", "f"): "{0} != {0}",
    ("isinf", "f"): 'tl.abs({0}) == float("inf")',
    ("isfinite", "f"): 'tl.abs({0}) < float("inf")',
    ("signbit", "f"): "{0}.to(tl.int{bits}, bitcast=True) < 0",
    ("signbit", "i"): "{0} < 0",
}
