"""The fast calls of ops in C, around the Python closures of ``ops/fast_*.py``, where an earlier run has built them.

A fast call takes the closure's place under every name that the op has. It handles the same common case, and hands
everything else to the closure, which is what it shows of itself too (name, documentation, signature). The extension
must be there when flowtorch is imported: a function that somebody holds is never exchanged for another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowtorch import native, overrides
from flowtorch.array.tensortype import TensorType
from flowtorch.autograd import mode, node
from flowtorch.tensor import Size, Tensor

module: Any = None if overrides.active else native.load()
if module is not None:
    _count: Any = node.next_seq
    module.configure(Tensor, Size, node.Node, TensorType, overrides.active, mode._enabled, _count.__self__,
                     node.view_edge)
    for _name, _descriptor in module.attributes().items():
        setattr(Tensor, _name, _descriptor)


def pointwise(kind: str, op: Any, closure: Callable) -> Any:
    """The call of a pointwise op: ``kind`` is "unary", "binary", "reflected" or "inplace"."""
    return closure if module is None else module.pointwise(kind, op, closure)


def ternary(op: Any, closure: Callable, inplace: bool = False) -> Any:
    """The call of a pointwise op with a third operand or a factor, if the extension has one for it."""
    return closure if module is None else module.ternary(op.name, inplace, op, closure)


def view(op: Any, closure: Callable, positional: int) -> Any:
    """The call of a view op with ``positional`` parameters after the tensor; -1 for a size in any form."""
    return closure if module is None else module.view(op.name, op, closure, positional)


def general(op: Any, closure: Callable, wrap: Callable | None = None) -> Any:
    """The call of a general op whose results ``wrap(arrays, type)`` makes tensors; without ``wrap`` of a reduction."""
    if module is None:
        return closure
    return module.general("reduction" if wrap is None else "general", op, closure, op.names, op.defaults, op.tensors,
                          op.positional, op.many, wrap, _compile_recorder)


def _compile_recorder(op: Any) -> Callable:
    from flowtorch.ops import fast_general

    return fast_general.compile_recorder(op)


def product(kind: str, op: Any, closure: Callable, *classes: type) -> Any:
    """The call of "matmul", "linear" or "cat"; ``classes`` of nodes as the extension's ``product`` wants them."""
    return closure if module is None else module.product(kind, op, closure, classes)


def getitem(closure: Callable, node_class: Callable, select: type, slice_: type) -> Any:
    """The call of ``x[index]``; ``node_class(index, shape)`` gives the class of the node."""
    return closure if module is None else module.getitem(closure, node_class, select, slice_)


def backward(closure: Callable) -> Any:
    """The call of ``Tensor.backward``."""
    return closure if module is None else module.backward_call(closure)


def backward_pass(helper: Callable, current: Any, released: Any, lock: Any) -> Callable | None:
    """``(roots, grads, keep_graph)`` runs a backward pass in C, or gives False; see ``autograd.engine``."""
    if module is None:
        return None
    module.configure_backward(helper, _make_formulas, current, node.Output, released, node.Node.release, lock)
    return module.backward_pass


def _make_formulas() -> None:
    from flowtorch.native import formulas

    formulas.register(module)


def forget_plans() -> None:
    """The ops' plans have changed."""
    if module is not None:
        module.forget_plans()


def number_nodes_by(counter: Callable | None) -> None:
    """Take nodes' numbers from ``counter``; None: from the plain count again."""
    if module is not None:
        module.set_sequence(counter)
