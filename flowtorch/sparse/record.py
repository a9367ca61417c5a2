"""History of sparse calls: a node whose derivative is one function per input."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from flowtorch.autograd import anomaly
from flowtorch.autograd.mode import grad_mode
from flowtorch.autograd.node import Node, edge, fetch, next_seq, save
from flowtorch.tensor import Tensor

_new: Any = object.__new__


class SparseNode(Node):
    """``functions[i](g, *saved)`` is the gradient of input i."""

    __slots__ = ("functions",)

    functions: Sequence[Callable | None]

    def apply(self, g: Any) -> tuple:
        saved = [fetch(self, i) for i in range(len(self.versions))]
        return tuple(None if e is None or f is None else f(g, *saved)
                     for e, f in zip(self.edges, self.functions, strict=True))


@cache
def node_class(label: str) -> type[SparseNode]:
    """The subclass named ``label``: PyTorch's programs ask for the name of a node's type."""
    return type(label, (SparseNode,), {"__slots__": ()})


def link(result: Any, label: str, inputs: Sequence[Any], functions: Sequence[Callable | None],
         saved: Sequence[Any] = ()) -> Any:
    """``result`` with a node behind it if one of the inputs needs a gradient."""
    if not grad_mode.enabled or result._type.dtype.rank < 2:
        return result
    edges = tuple([edge(t) if isinstance(t, Tensor) and f is not None else None
                   for t, f in zip(inputs, functions, strict=True)])
    if all(e is None for e in edges):
        return result
    node = _new(node_class(label))
    node.seq, node.edges, node.hooks = next_seq(), edges, None
    node.functions = functions
    node.shape, node.type = result._array.shape, result._type
    save(node, tuple(saved))
    if anomaly.state.enabled:
        anomaly.note_origin(node)
    result._node, result._requires_grad = node, True
    return result
