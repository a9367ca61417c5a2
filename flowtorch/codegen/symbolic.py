"""Reading a derivative as an expression: its Python code is called with symbols and returns an expression tree.

``lambda g, out: g * (1 - out) * out`` called with `Symbol` objects returns the tree of that formula, which
renders to one fused backward kernel. A symbol answers operators, the methods of the scalar functions, and,
through ``__flowtorch_symbol__``, calls of public ops that carry an expression themselves.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import expression
from .expression import Node, constant
from .functions import FUNCTIONS


class NotSymbolicError(TypeError):
    """The code does something that a scalar expression cannot: a reduction, a branch on values, ..."""


class Symbol:
    """Stands for one tensor (or scalar parameter) while Python code on tensors is read as an expression."""

    __slots__ = ("category", "node")
    __hash__ = object.__hash__

    def __init__(self, node: Node, category: str | None = None):
        self.node, self.category = node, category

    def __repr__(self) -> str:
        return f"Symbol({self.node.text()})"

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Symbol:
        """A public op called on symbols, as the dispatch layer hands it over."""
        op = getattr(func, "op", None)
        if op is None or op.expr is None:
            raise NotSymbolicError(
                f"the formula calls {getattr(func, '__name__', func)}, which has no scalar expression"
            )
        values = dict(zip(op.names, op.bind(args, kwargs or {}), strict=True))
        tree = expression.parse(op.expr, op.tensors, op.params)
        used = {*tree.names("input"), *tree.names("parameter")}
        for name, value in values.items():
            if name not in used and not (name in op.defaults and value is op.defaults[name]):
                raise NotSymbolicError(f"the expression of {op.name} leaves out {name}={value!r}")
        for name in [name for name, value in values.items() if value is None]:
            tree = expression.without(tree, name)
        given = {name: value for name, value in values.items() if name in used and value is not None}
        symbol = next(value for value in given.values() if isinstance(value, Symbol))
        return symbol.__flowtorch_symbol__(tree, given)

    def __flowtorch_symbol__(self, tree: Node, arguments: Mapping[str, object]) -> Symbol:
        """An op with the expression `tree` called on symbols: its tree with the arguments put in by name."""
        return Symbol(tree.substitute({name: as_node(value) for name, value in arguments.items()}), self.category)

    def __bool__(self) -> bool:
        raise NotSymbolicError(f"the formula branches on the value of {self.node.text()}")

    def __getattr__(self, name: str):
        own, tensors = _METHODS.get(name), _tensor_method(name)
        if own is None and tensors is None:
            raise NotSymbolicError(f"the formula uses .{name}, which has no scalar expression")

        def call(*args: Any, **kwargs: Any) -> Any:
            method = own if own is not None and not kwargs else tensors
            if method is None:
                raise NotSymbolicError(f"the formula calls .{name} with {', '.join(kwargs)}")
            return method(self, *args, **kwargs)

        return call


def _tensor_method(name: str) -> Callable | None:
    """The method of tensors of that name, if it is an op or made of ops."""
    from flowtorch.tensor import Tensor

    method = None if name.startswith("_") else getattr(Tensor, name, None)
    return method if hasattr(method, "op") or hasattr(method, "record") else None


def as_node(value: object) -> Node:
    """The tree of a symbol, a tree, or a Python number."""
    if isinstance(value, Symbol):
        return value.node
    if isinstance(value, Node):
        return value
    if type(value) in (bool, int, float, complex):
        return constant(value)  # type: ignore[arg-type]
    raise NotSymbolicError(f"{type(value).__name__} has no scalar expression")


def apply(name: str, *args: object) -> Symbol:
    """The scalar function `name` on symbols and numbers."""
    category = next((arg.category for arg in args if isinstance(arg, Symbol)), None)
    return Symbol(expression.call(name, *map(as_node, args)), category)


def read(
    function: Callable,
    inputs: Sequence[str],
    bindings: Mapping[str, object] | None = None,
    category: str | None = None,
) -> Node:
    """Call `function` with one symbol per parameter and return the tree of what it computes.

    A parameter named in `inputs`, or named `g` or `out`, becomes an input of the tree; one bound to a value
    in `bindings` gets that value; any other becomes a scalar parameter of the tree. `category` ("f" or "c")
    answers formulas that ask whether they are on complex numbers.
    """
    arguments: dict[str, object] = {}
    for name in inspect.signature(function).parameters:
        if name.endswith("_shape"):
            raise NotSymbolicError("the formula needs a shape, so it is not computed element by element")
        if bindings is not None and name in bindings:
            arguments[name] = bindings[name]
        elif name in inputs or name in ("g", "out"):
            arguments[name] = Symbol(expression.input(name), category)
        else:
            arguments[name] = Symbol(expression.parameter(name), category)
    return as_node(function(**arguments))


def _forward(name: str) -> Callable:
    return lambda self, other: apply(name, self, other)


def _reflected(name: str) -> Callable:
    return lambda self, other: apply(name, other, self)


_OPERATORS = {
    "add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "pow", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
    "lshift": "left_shift", "rshift": "right_shift",
}  # fmt: skip
for _operator, _name in _OPERATORS.items():
    setattr(Symbol, f"__{_operator}__", _forward(_name))
    setattr(Symbol, f"__r{_operator}__", _reflected(_name))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Symbol, f"__{_name}__", _forward(_name))
for _operator, _name in {"neg": "neg", "pos": "pos", "invert": "bitwise_not", "abs": "abs"}.items():
    setattr(Symbol, f"__{_operator}__", lambda self, name=_name: apply(name, self))


def _method(name: str) -> Callable:
    return lambda self, *args: apply(name, self, *args)


# Methods of tensors: the table's own names, and those that PyTorch spells differently.
_METHODS: dict[str, Callable] = {name: _method(name) for name in FUNCTIONS if name not in ("cast", "where")}
_METHODS |= {
    "where": lambda self, condition, other: apply("where", condition, self, other),
    "square": lambda self: apply("mul", self, self),
    "reciprocal": lambda self: apply("div", 1, self),
    "sigmoid": lambda self: 1 / (1 + (-self).exp()),
    "masked_fill": lambda self, mask, value: apply("where", mask, value, self),
    "clone": lambda self: self,
    "detach": lambda self: self,
    "is_complex": lambda self: _is_complex(self),
}


def _is_complex(symbol: Symbol) -> bool:
    if symbol.category is None:
        raise NotSymbolicError("the formula asks for a dtype: read it once per category")
    return symbol.category == "c"
