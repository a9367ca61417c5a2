"""Derivatives on numpy arrays of the ops that most nodes are of, for backward passes without the extension.

Each is what the op's record says, with the tensors left away: ``(node, g)``, both of one real type, gives the
gradients of all edges, or None where it does not know the case. native/formulas.c has the same in C.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch.array import sums
from flowtorch.autograd.node import Node
from flowtorch.ops import linear
from flowtorch.ops.op import REGISTRY
from flowtorch.ops.order import in_order
from flowtorch.tensor import Tensor

Formula = Callable[[Any, np.ndarray], Any]
_SPREAD = 65536         # elements: more are not written out, but seen as one
_FORMULAS: dict[str, Formula] = {}


def register() -> None:
    """Give the ops' nodes their derivatives on arrays."""
    for name, formula in _FORMULAS.items():
        REGISTRY[name].node_class.on_arrays = formula               # type: ignore[attr-defined]
    linear._mm.on_arrays = _mm
    for node_class in (linear._linear.node_class, linear._linear_mm, linear._linear_view, linear._linear_unsafe):
        node_class.on_arrays = _linear


def _of(*names: str) -> Callable[[Formula], Formula]:
    """Decorator: the derivative of these ops."""
    def note(formula: Formula) -> Formula:
        _FORMULAS.update(dict.fromkeys(names, formula))
        return formula
    return note


# ---------------------------------------------------------------- what a node keeps

def _saved(node: Node, i: int) -> np.ndarray:
    """A saved input of the result's type, or a saved number as such an array; an error for any other."""
    t = node.saved[i]
    cls = type(t)
    if cls is float or cls is int:
        return _number(node.type, t)
    version = t._counter                    # a packed tensor has none: an error here, and unpacked elsewhere
    if (version if type(version) is int else version[0]) != node.versions[i] or t._type is not node.type:
        raise TypeError("an input that was written to, or of another type than the result's")
    return t._array


def _number(kind: Any, value: float) -> np.ndarray:
    """A number as a 0-d array that is made once."""
    found = kind.scalars.get(value) if value else None          # zeros differ by their sign
    return kind.scalar(value) if found is None else found


def _out(node: Node) -> np.ndarray:
    """The saved result; an error if it is none that can be read here."""
    array, counter, version = node.out
    if counter[0] != version or type(array) is not np.ndarray:
        raise TypeError("a result that was written to, or packed")
    return array


def _combined(ufunc: Any, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``ufunc(a, b)``, laid out as the op lays it out."""
    c = ufunc(a, b)
    if type(c) is not np.ndarray:
        return np.asarray(c)
    return in_order(c, a, b) if c.ndim > 1 and a.strides != b.strides else c


# ---------------------------------------------------------------- arithmetic

@_of("mul")
def _mul(node: Node, g: np.ndarray) -> tuple:
    x, y = node.edges
    return (None if x is None else _combined(np.multiply, g, _saved(node, 1)),
            None if y is None else _combined(np.multiply, g, _saved(node, 0)))


@_of("add", "sub")
def _sum_of_two(node: Node, g: np.ndarray) -> tuple | None:
    x, y = node.edges
    if node.params:
        return None
    return (None if x is None else g,
            None if y is None else g if node.op.name == "add" else np.negative(g, out=np.empty_like(g)))


@_of("neg")
def _neg(node: Node, g: np.ndarray) -> tuple:
    return (np.negative(g, out=np.empty_like(g)),)


@_of("exp")
def _exp(node: Node, g: np.ndarray) -> tuple:
    return (_combined(np.multiply, g, _out(node)),)


def _from_out(name: str, slope: str) -> None:
    @_of(name)
    def formula(node: Node, g: np.ndarray) -> tuple:
        out = _out(node)
        return (in_order(np.asarray(body(g, out)), g, out),)

    body = REGISTRY[slope].body


for _name in ("relu", "tanh", "sigmoid"):
    _from_out(_name, f"_{_name}_backward")


# ---------------------------------------------------------------- shapes

@_of("view", "reshape")
def _reshaped(node: Node, g: np.ndarray) -> tuple | None:
    return (g.reshape(node.shapes[0][0]),) if g.flags.c_contiguous else None


@_of("t")
def _t(node: Node, g: np.ndarray) -> tuple:
    return (g.T,)


@_of("transpose")
def _transposed(node: Node, g: np.ndarray) -> tuple | None:
    return (g.swapaxes(*node.params),) if type(node.params) is tuple else None


@_of("sum", "mean")
def _total(node: Node, g: np.ndarray) -> tuple | None:
    """Of a sum or mean over all elements, for each of them."""
    shape, params = node.shapes[0][0], node.params
    if params is not None and (params[0] if type(params) is tuple and params else params and params["dim"]) is not None:
        return None
    out = np.empty(shape, g.dtype)
    if g.size != 1 or not 0 < out.size <= _SPREAD:
        return None
    out.fill(g.item() if node.op.name == "sum" else (g.reshape(-1)[0] / g.dtype.type(out.size)))
    return (out,)


# ---------------------------------------------------------------- products

def _mm(node: Node, g: np.ndarray) -> tuple | None:
    x, y = node.edges
    left = right = None
    if x is not None:
        other = _saved(node, 1)
        if other.ndim != 2 or g.ndim != 2:
            return None
        left = g.dot(other.T)
    if y is not None:
        input = _saved(node, 0)
        if input.ndim != 2 or g.ndim != 2:
            return None
        right = input.T.dot(g)
    return left, right


def _linear(node: Node, g: np.ndarray) -> tuple | None:
    if g.ndim < 2:
        return None
    x, w, b = node.edges
    left = right = bias = None
    if x is not None:
        weight = _saved(node, 1)
        if weight.ndim != 2:
            return None
        left = g.dot(weight) if g.ndim == 2 else linear.product(g, weight)
    if w is not None:
        input = _saved(node, 0)
        if input.ndim > 2:
            right = g.reshape(-1, g.shape[-1]).T.dot(input.reshape(-1, input.shape[-1]))
        elif input.ndim == 2:
            right = g.T.dot(input)
        else:
            return None
    if b is not None:
        known = isinstance(b, Tensor) and b._array.shape == g.shape[-1:] and g.flags.c_contiguous
        bias = sums.of_columns(g.reshape(-1, g.shape[-1]) if g.ndim > 2 else g) if known else g
    return left, right, bias


# ---------------------------------------------------------------- losses

@_of("_mse_loss")
def _mse(node: Node, g: np.ndarray) -> tuple | None:
    x, y = node.edges
    reduced = node.params["reduction"]
    if reduced not in ("mean", "sum"):
        return None
    input, target = _saved(node, 0), _saved(node, 1)
    factor = 2.0 / max(input.size, 1) if reduced == "mean" else 2.0
    grad = _combined(np.subtract, input, target)
    np.multiply(grad, np.asarray(g * _number(node.type, factor)), grad)
    return None if x is None else grad, None if y is None else np.negative(grad, out=np.empty_like(grad))
