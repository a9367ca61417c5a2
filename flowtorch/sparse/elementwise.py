"""Unary ops on COO tensors: those that keep zero run on the values of the coalesced tensor."""
from __future__ import annotations

from typing import Any

from flowtorch.ops.op import REGISTRY
from flowtorch.sparse.entries import build, coalesce, values_of
from flowtorch.sparse.handlers import handles
from flowtorch.sparse.record import link
from flowtorch.sparse.tensor import SparseTensor, empty, make

ZERO_PRESERVING = (
    "abs", "asin", "asinh", "atan", "atanh", "ceil", "erf", "erfinv", "expm1", "floor", "frac", "isinf", "isnan",
    "isneginf", "isposinf", "log1p", "nan_to_num", "relu", "round", "sgn", "sign", "signbit", "sin", "sinh", "sqrt",
    "square", "tan", "tanh", "trunc", "deg2rad", "rad2deg",
)


def on_values(name: str, s: SparseTensor, *args: Any, **kwargs: Any) -> SparseTensor:
    """The op ``name`` on the values of ``s``, coalesced first: f(a + b) is not f(a) + f(b)."""
    s = coalesce(s)
    op = REGISTRY[name]
    values = op.public(values_of(s), *args, **kwargs)
    return build(s._ind, values, s._array.shape, True, op.node_class.__name__)


def _unary(name: str) -> None:
    keywords = REGISTRY[name].names[1:]

    @handles(name)
    def call(s: Any, *args: Any) -> Any:
        if type(s) is not SparseTensor:
            return NotImplemented
        return on_values(name, s, **dict(zip(keywords, args, strict=True)))


for _name in ZERO_PRESERVING:
    _unary(_name)


def scaled(s: SparseTensor, values: Any, label: str, backward: Any) -> SparseTensor:
    """A result that is linear in ``s``: new values at the same entries, duplicates and all."""
    return link(make(s._ind, values, s._array.shape, s._coal), label, [s], [backward])


@handles("neg")
def neg(s: Any) -> Any:
    if type(s) is not SparseTensor:
        return NotImplemented
    return scaled(s, -s._values(), "NegBackward0", lambda g: -g)         # type: ignore[operator]


@handles("_conj")
def conj(s: Any) -> Any:
    if type(s) is not SparseTensor:
        return NotImplemented
    return scaled(s, s._values().conj(), "ConjBackward0", lambda g: g.conj())   # type: ignore[attr-defined]


@handles("clone")
def clone(s: Any, memory_format: Any = None) -> Any:
    if type(s) is not SparseTensor:
        return NotImplemented
    t = make(s._ind.clone(), s._values().clone(), s._array.shape, s._coal)      # type: ignore[attr-defined]
    return link(t, "CloneBackward0", [s], [lambda g: g])


@handles("_to_copy")
def to_copy(s: Any, target: Any, memory_format: Any = None, source: Any = None) -> Any:
    if type(s) is not SparseTensor:
        return NotImplemented
    device, dtype = s.device, s.dtype
    moved = make(s._ind.to(target.device), s._values().to(target.device, target.dtype), s._array.shape, s._coal)   # type: ignore[attr-defined]
    return link(moved, "ToCopyBackward0", [s], [lambda g: g.to(device, dtype)])


@handles("copy")
def copy(target: Any, source: Any, non_blocking: bool = False) -> Any:
    if type(target) is not SparseTensor or type(source) is not SparseTensor:
        raise RuntimeError("copy_() between dense and sparse Tensors is not implemented! Found self type = "
                           f"{target.type()} and src type = {source.type()}")
    if source._type is target._type:
        return source.clone()
    return source.to(target.device, target.dtype)


def zero(s: SparseTensor) -> SparseTensor:
    """Drop every entry of ``s``, in place."""
    s._take(empty(s._array.shape, s.sparse_dim(), s.dtype, device=s.device))
    return s
