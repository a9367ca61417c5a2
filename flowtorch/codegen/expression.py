"""Scalar expression trees: what a pointwise op computes for one element.

A tree is parsed from text such as ``"where(input > 0, input, negative_slope * input)"``. Nodes are immutable
and interned: equal trees are the same object, so common subexpressions are found by identity, and `==` is
`is`.
"""

from __future__ import annotations

import ast
import hashlib
import math
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache

from .dtypes import CATEGORY
from .functions import DERIVED, FUNCTIONS, fold


class Node:
    """One node of a tree. Build nodes with `input`, `parameter`, `constant`, `call` and `cast`."""

    __slots__ = ("__weakref__", "_digest", "args", "kind", "payload")

    kind: str
    """"input", "parameter", "constant", "cast", or the name of a function of the table."""
    payload: object
    """An input's or parameter's name, a constant's value, a cast's dtype; None for a function."""
    args: tuple[Node, ...]
    _digest: str

    def __repr__(self) -> str:
        return f"<Node {self.text()}>"

    def __reduce__(self):
        return _intern, (self.kind, self.payload, self.args)

    def text(self) -> str:
        """The tree as text that parses back to the same tree."""
        if self.kind == "constant":
            return _constant_text(self.payload)
        if self.kind in ("input", "parameter"):
            return str(self.payload)
        if self.kind == "cast":
            return f"cast({self.args[0].text()}, {self.payload})"
        return f"{self.kind}({', '.join(arg.text() for arg in self.args)})"

    @property
    def digest(self) -> str:
        """A hash of the tree (names included) that is the same in every process."""
        try:
            return self._digest
        except AttributeError:
            content = repr((self.kind, repr(self.payload), [arg.digest for arg in self.args]))
            self._digest = hashlib.blake2b(content.encode(), digest_size=12).hexdigest()
            return self._digest

    def names(self, kind: str) -> tuple[str, ...]:
        """The names of the tree's inputs or parameters (`kind`), in order of first appearance."""
        return tuple(str(node.payload) for node in walk([self]) if node.kind == kind)

    def substitute(self, replacements: Mapping[str, Node]) -> Node:
        """The tree with inputs and parameters replaced by name: this is how two ops are fused into one."""
        done: dict[Node, Node] = {}
        for node in walk([self]):
            if node.kind in ("input", "parameter"):
                done[node] = replacements.get(str(node.payload), node)
            elif node.kind == "cast":
                done[node] = cast(done[node.args[0]], str(node.payload))
            elif node.kind == "constant":
                done[node] = node
            else:
                done[node] = call(node.kind, *(done[arg] for arg in node.args))
        return done[self]


_nodes: weakref.WeakValueDictionary[tuple, Node] = weakref.WeakValueDictionary()


def _intern(kind: str, payload: object, args: tuple[Node, ...]) -> Node:
    # type and repr keep 1, 1.0 and True apart, and 0.0 from -0.0
    key = (kind, type(payload), repr(payload), args)
    node = _nodes.get(key)
    if node is None:
        node = Node()
        node.kind, node.payload, node.args = kind, payload, args
        node = _nodes.setdefault(key, node)
    return node


def walk(roots: Iterable[Node]) -> Iterator[Node]:
    """Every distinct node below `roots` once, operands before what uses them."""
    seen: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, ready = stack.pop()
        if node in seen:
            continue
        if ready:
            seen.add(node)
            yield node
        else:
            stack.append((node, True))
            stack.extend((arg, False) for arg in reversed(node.args))


def input(name: str) -> Node:
    """The element of the tensor operand `name`."""
    return _intern("input", name, ())


def parameter(name: str) -> Node:
    """The op's scalar parameter `name`: a number known only at the call."""
    return _intern("parameter", name, ())


def constant(value: bool | int | float | complex) -> Node:
    """A number that is part of the expression."""
    if type(value) not in (bool, int, float, complex):
        raise TypeError(f"a constant must be a Python number, not {type(value).__name__}")
    return _intern("constant", value, ())


def cast(value: Node, dtype: str) -> Node:
    """`value` converted to `dtype` (rounded, if the dtype is narrower)."""
    if dtype not in CATEGORY:
        raise ValueError(f"cast to unknown dtype {dtype!r}")
    return value if value.kind == "cast" and value.payload == dtype else _intern("cast", dtype, (value,))


def call(name: str, *args: Node) -> Node:
    """The function `name` of the table applied to `args`; calls on constants alone are folded."""
    if name in DERIVED:
        names, text = DERIVED[name]
        if len(args) != len(names):
            raise ValueError(f"{name} takes {len(names)} operands, not {len(args)}")
        return parse(text, names).substitute(dict(zip(names, args, strict=True)))
    function = FUNCTIONS.get(name)
    if function is None or function.rule == "cast":
        raise ValueError(f"unknown scalar function {name!r}")
    if len(args) != function.arity:
        raise ValueError(f"{name} takes {function.arity} operands, not {len(args)}")
    if all(arg.kind == "constant" for arg in args):
        value = fold(name, tuple(arg.payload for arg in args))
        if value is not None:
            return constant(value)
    return _intern(name, None, args)


def without(tree: Node, name: str) -> Node:
    """`tree` where the input or parameter `name` is absent (None): it takes no part in minimum and maximum."""
    absent = {input(name), parameter(name)}
    done: dict[Node, Node] = {}
    for node in walk([tree]):
        if node.kind in ("minimum", "maximum") and absent & set(node.args):
            left, right = node.args
            done[node] = done[right if left in absent else left]
        elif node.kind == "cast":
            done[node] = cast(done[node.args[0]], str(node.payload))
        else:
            done[node] = call(node.kind, *(done[arg] for arg in node.args)) if node.args else node
    if absent & set(walk([done[tree]])):
        raise NotImplementedError(f"there is no kernel without {name}")
    return done[tree]


def _constant_text(value: object) -> str:
    text = repr(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f"neg({text[1:]})" if text.startswith("-") else text
    return f"({text})" if isinstance(value, complex) or text.startswith("-") else text


_NAMED_CONSTANTS = {"inf": math.inf, "nan": math.nan, "pi": math.pi}
_BINARY = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.FloorDiv: "floor_divide",
    ast.Mod: "remainder", ast.Pow: "pow", ast.BitAnd: "bitwise_and", ast.BitOr: "bitwise_or",
    ast.BitXor: "bitwise_xor", ast.LShift: "left_shift", ast.RShift: "right_shift",
}  # fmt: skip
_UNARY = {ast.USub: "neg", ast.UAdd: "pos", ast.Invert: "bitwise_not", ast.Not: "logical_not"}
_COMPARE = {ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge"}


@cache
def parse(text: str, inputs: Sequence[str], parameters: Sequence[str] = ()) -> Node:
    """The tree of an expression in Python syntax over the given names (tuples)."""
    try:
        body = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"expression {text!r} is not valid Python: {error.msg}") from None
    return _Parser(text, inputs, parameters).read(body)


class _Parser:
    def __init__(self, text: str, inputs: Sequence[str], parameters: Sequence[str]):
        self.text, self.inputs, self.parameters = text, inputs, parameters

    def fail(self, syntax: ast.AST, why: str) -> ValueError:
        return ValueError(f"expression {self.text!r}: {ast.unparse(syntax)!r} {why}")

    def read(self, syntax: ast.expr) -> Node:
        match syntax:
            case ast.Constant(value=bool() | int() | float() | complex() as value):
                return constant(value)
            case ast.Name(id=name):
                return self.read_name(syntax, name)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return call(_BINARY[type(op)], self.read(left), self.read(right))
            case ast.UnaryOp(op=op, operand=operand):
                return call(_UNARY[type(op)], self.read(operand))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
                return call(_COMPARE[type(op)], self.read(left), self.read(right))
            case ast.BoolOp(op=op, values=[first, *others]):
                name = "logical_and" if isinstance(op, ast.And) else "logical_or"
                node = self.read(first)
                for other in others:
                    node = call(name, node, self.read(other))
                return node
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return call("where", self.read(test), self.read(body), self.read(orelse))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self.read_call(syntax, name, args)
        raise self.fail(syntax, "is not part of the expression language")

    def read_name(self, syntax: ast.expr, name: str) -> Node:
        if name in self.inputs:
            return input(name)
        if name in self.parameters:
            return parameter(name)
        if name in _NAMED_CONSTANTS:
            return constant(_NAMED_CONSTANTS[name])
        raise self.fail(syntax, "is neither an input nor a parameter")

    def read_call(self, syntax: ast.expr, name: str, args: list[ast.expr]) -> Node:
        if name == "cast":
            match args:
                case [value, ast.Name(id=dtype) | ast.Constant(value=str(dtype))] if dtype in CATEGORY:
                    return cast(self.read(value), dtype)
            raise self.fail(syntax, "must be cast(value, dtype)")
        if name not in FUNCTIONS and name not in DERIVED:
            raise self.fail(syntax, "calls an unknown function")
        arity = len(DERIVED[name][0]) if name in DERIVED else FUNCTIONS[name].arity
        if len(args) != arity:
            raise self.fail(syntax, f"must have {arity} operands")
        return call(name, *(self.read(arg) for arg in args))
