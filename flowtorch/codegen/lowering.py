"""From expression trees to typed programs, the form from which all renderers make code.

Lowering decides every type under PyTorch's rules, inserts the conversions, shares common subexpressions and
turns arithmetic on bool into logic, so that a renderer is a table from (function, type) to text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from .dtypes import CATEGORY, compute_type, promote, promote_scalar, real_type, scalar_type
from .expression import Node, walk
from .functions import FUNCTIONS


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """One typed value of a program: `op` is a function's name, "input", "parameter", "constant" or "cast"."""

    op: str
    type: str
    args: tuple[Value, ...] = ()
    payload: object = None
    """An input's or parameter's name, or a constant's value."""

    @property
    def operand_type(self) -> str:
        """The common type of the operands (of the two alternatives, for `where`)."""
        return self.args[-1].type


@dataclass(frozen=True, slots=True)
class Program:
    """Typed values in order of computation; `outputs` are the values to store, of their stored dtype."""

    inputs: tuple[Value, ...]
    parameters: tuple[Value, ...]
    steps: tuple[Value, ...]
    outputs: tuple[Value, ...]


def lower(
    outputs: Sequence[Node],
    inputs: Mapping[str, str],
    parameters: Mapping[str, str] = MappingProxyType({}),
    output_types: Sequence[str | None] | None = None,
    default: str = "float32",
) -> Program:
    """Type the trees `outputs` as one program.

    inputs:       the dtype of every input as stored, in the order the program takes them, used or not.
    parameters:   the dtype of every scalar parameter as passed, likewise.
    output_types: the dtype each output is stored in; None leaves the type the expression has.
    default:      the floating dtype that integers become under functions such as exp.
    """
    builder = _Builder(inputs, parameters, default)
    for node in walk(outputs):
        builder.add(node)
    stored = []
    for node, wanted in zip(outputs, output_types or [None] * len(outputs), strict=True):
        value = builder.materialize(node)
        stored.append(builder.convert(value, wanted or value.type))
    return builder.program(stored)


# Arithmetic on bool is logic; renderers never see these functions with that type.
_ON_BOOL: dict[str, str] = {
    "add": "logical_or", "maximum": "logical_or", "fmax": "logical_or", "bitwise_or": "logical_or",
    "mul": "logical_and", "minimum": "logical_and", "fmin": "logical_and", "bitwise_and": "logical_and",
    "bitwise_xor": "logical_xor", "ne": "logical_xor", "bitwise_not": "logical_not",
}  # fmt: skip
# Functions that return their operand unchanged, by the operand's category.
_IDENTITY: dict[str, set[str]] = {
    "b": {"conj", "real", "sign", "sgn"},
    "i": {"conj", "real", "pos", "floor", "ceil", "trunc", "round"},
    "f": {"conj", "real", "pos"},
    "c": {"pos"},
}
# Tests whose answer is known from the operand's category.
_KNOWN: dict[str, dict] = {
    "b": {"isnan": False, "isinf": False, "isfinite": True, "signbit": False, "imag": False},
    "i": {"isnan": False, "isinf": False, "isfinite": True, "imag": 0},
    "f": {"imag": 0.0},
    "c": {},
}


class _Builder:
    def __init__(self, inputs: Mapping[str, str], parameters: Mapping[str, str], default: str):
        self.default = default
        self.values: dict[tuple, Value] = {}
        self.order: list[Value] = []
        self.of_node: dict[Node, Value] = {}
        self.given = {"input": inputs, "parameter": parameters}
        self.inputs = tuple(self.emit("input", type, (), name) for name, type in inputs.items())
        self.parameters = tuple(self.emit("parameter", type, (), name) for name, type in parameters.items())

    def emit(self, op: str, type: str, args: tuple[Value, ...] = (), payload: object = None) -> Value:
        key = (op, type, args, repr(payload))
        value = self.values.get(key)
        if value is None:
            value = self.values[key] = Value(op, type, args, payload)
            self.order.append(value)
        return value

    def convert(self, value: Value, type: str) -> Value:
        if value.type == type:
            return value
        exact = CATEGORY[type] == "b" or "bifc".index(CATEGORY[type]) >= "bifc".index(CATEGORY[value.type])
        if value.op == "constant" and exact and compute_type(type) == type:
            return self.constant(value.payload, type)
        return self.emit("cast", type, (value,))

    def constant(self, value: object, type: str) -> Value:
        number = {"b": bool, "i": int, "f": float, "c": complex}[CATEGORY[type]]
        return self.emit("constant", type, (), number(value))  # type: ignore[call-overload]

    def add(self, node: Node) -> None:
        if node.kind in ("input", "parameter"):
            name = str(node.payload)
            if name not in self.given[node.kind]:
                raise KeyError(f"no dtype is given for {node.kind} {name!r}")
            self.of_node[node] = self.emit(node.kind, self.given[node.kind][name], (), name)
        elif node.kind == "cast":
            self.of_node[node] = self.convert(self.materialize(node.args[0]), str(node.payload))
        elif node.kind != "constant":  # a constant's type depends on where it is used
            self.of_node[node] = self.call(node.kind, node.args)

    def materialize(self, node: Node) -> Value:
        if node.kind == "constant":
            return self.constant(node.payload, scalar_type(node.payload, self.default))  # type: ignore[arg-type]
        return self.of_node[node]

    def common_type(self, nodes: Sequence[Node]) -> str:
        strong = [self.of_node[node].type for node in nodes if node.kind != "constant"]
        weak = [node.payload for node in nodes if node.kind == "constant"]
        if not strong:
            strong = [scalar_type(weak[0], self.default)]  # type: ignore[arg-type]
        result = strong[0]
        for type in strong[1:]:
            result = promote(result, type)
        for value in weak:
            result = promote_scalar(result, value, self.default)  # type: ignore[arg-type]
        return compute_type(result)

    def operand(self, node: Node, type: str) -> Value:
        if node.kind == "constant":
            return self.constant(node.payload, type)
        return self.convert(self.of_node[node], type)

    def call(self, name: str, nodes: Sequence[Node]) -> Value:
        function = FUNCTIONS[name]
        if function.rule == "select":
            type = self.common_type(nodes[1:])
            condition = self.convert(self.materialize(nodes[0]), "bool")
            return self.emit(name, type, (condition, self.operand(nodes[1], type), self.operand(nodes[2], type)))
        type = self.common_type(nodes)
        if name.startswith("logical_") and CATEGORY[type] in "if":
            return self.emit(name, "bool", tuple(self.operand(node, "bool") for node in nodes))
        if name == "nextafter" and any(compute_type(arg.type) != arg.type for arg in map(self.materialize, nodes)):
            raise TypeError("nextafter is not defined for float32 arithmetic on a narrower float")
        if (function.rule == "float" or name == "angle") and CATEGORY[type] in "bi":
            type = compute_type(self.default)
        if name == "pow" and nodes[1].kind == "constant" and CATEGORY[type] in "fc":
            power = self.constant_power(self.operand(nodes[0], type), type, nodes[1].payload)
            if power is not None:
                return power
        args = tuple(self.operand(node, type) for node in nodes)
        return self.typed_call(name, type, args)

    def constant_power(self, base: Value, type: str, exponent: object) -> Value | None:
        """The exponents that PyTorch computes by multiplication and square root, not by pow."""
        square = (base, base)
        match exponent:
            case 2:
                return self.emit("mul", type, square)
            case 3:
                return self.emit("mul", type, (self.emit("mul", type, square), base))
            case 0.5:
                return self.emit("sqrt", type, (base,))
            case -0.5:
                return self.emit("rsqrt", type, (base,))
            case -1:
                return self.emit("div", type, (self.constant(1, type), base))
            case -2:
                return self.emit("div", type, (self.constant(1, type), self.emit("mul", type, square)))
        return None

    def typed_call(self, name: str, type: str, args: tuple[Value, ...]) -> Value:
        category, function = CATEGORY[type], FUNCTIONS[name]
        if category not in function.accepts:
            raise TypeError(f"{name} is not defined for {type}")
        if name == "sgn" and category in "if":
            name = "sign"
        if name in _IDENTITY[category]:
            return args[0]
        if name in _KNOWN[category]:
            result = "bool" if function.rule == "bool" else type
            return self.constant(_KNOWN[category][name], result)
        if type.startswith("uint") and name in ("abs", "signbit"):
            return args[0] if name == "abs" else self.constant(False, "bool")
        if category == "b":
            if name == "eq":
                return self.emit("logical_not", "bool", (self.emit("logical_xor", "bool", args),))
            name = _ON_BOOL.get(name, name)
            if name in ("lt", "le", "gt", "ge"):
                args = tuple(self.convert(arg, "uint8") for arg in args)
        if name.startswith("logical_"):
            args = tuple(self.convert(arg, "bool") for arg in args)
        complex_type = "complex128" if type == "float64" else "complex64"
        result = {"bool": "bool", "real": real_type(type), "complex": complex_type}.get(function.rule, type)
        return self.emit(name, result, args)

    def program(self, outputs: Sequence[Value]) -> Program:
        needed: set[Value] = set()
        stack = list(outputs)
        while stack:
            value = stack.pop()
            if value not in needed:
                needed.add(value)
                stack.extend(value.args)
        steps = [v for v in self.order if v in needed and v.op not in ("input", "parameter")]
        return Program(self.inputs, self.parameters, tuple(steps), tuple(outputs))
