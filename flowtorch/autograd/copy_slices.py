"""In-place ops on views: the base's history is rewritten so that gradients split between the slice and the rest."""
from __future__ import annotations

from typing import Any

from flowtorch.autograd.node import Node, edge, next_seq
from flowtorch.tensor import Tensor, view_of

_new: Any = object.__new__


class CopySlices(Node):
    """The base after one of its views was changed by ``fn``.

    The gradient inside the slice goes through ``fn``; what ``fn`` passes on to the slice's old value replaces it in
    the gradient of the old base.
    """

    __slots__ = ("fn", "steps", "strides")

    fn: Node
    steps: Any
    strides: tuple | None

    def apply(self, g: Any) -> tuple:
        result = _laid_out(g, self.strides)
        inside = result
        for function, args in self.steps:
            inside = function(inside, *args)
        grads = self.fn.apply(inside.clone())                            # type: ignore[attr-defined]
        own = grads[0]
        if own is None:
            result = _with_slice(result, self.steps, inside.new_zeros(inside.shape))    # type: ignore[attr-defined]
        else:
            if tuple(own.shape) != tuple(inside.shape):
                own = own.sum_to_size(inside.shape)
            result = _with_slice(result, self.steps, own)
        return (result, *grads[1:])

    def release(self) -> None:
        self.fn.release()


class AsStridedBackward0(Node):
    """A view whose base has changed since: the gradient is that of the elements which the view shows."""

    __slots__ = ("base_shape", "steps", "strides")

    base_shape: tuple
    steps: Any
    strides: tuple | None

    def apply(self, g: Any) -> tuple:
        return (_with_slice(_laid_out(g.new_zeros(self.base_shape), self.strides), self.steps, g),)


def as_strided_node(t: Tensor, view: Any) -> AsStridedBackward0 | None:
    """The new history of the view ``t``; None where it shows elements twice, or in another dtype than its base."""
    base = view.base
    if t._type is not base._type or not t._type.fast or not _apart(t._array):
        return None
    node = _new(AsStridedBackward0)
    node.seq = next_seq()
    node.edges = (edge(base),)
    node.hooks = None
    node.saved = ()
    node.base_shape, node.steps, node.strides = tuple(base.shape), view.steps, _own_strides(base)
    node.shape, node.type = t._array.shape, t._type
    return node


def _apart(array: Any) -> bool:
    """Whether no two indices of an array can meet: each stride steps over all that the smaller ones reach."""
    reach = 0
    for stride, size in sorted((abs(s), n) for s, n in zip(array.strides, array.shape, strict=True) if n > 1):
        if stride <= reach:
            return False
        reach += stride * (size - 1)
    return True


def _own_strides(base: Tensor) -> tuple | None:
    """The strides of a base whose elements lie in another order than row by row."""
    array = base._array
    return None if not base._type.fast or array.flags.c_contiguous or not _apart(array) else base.stride()  # type: ignore[attr-defined]


def _laid_out(g: Tensor, strides: tuple | None) -> Tensor:
    """A copy of ``g`` in the layout of the base, in which the steps of its views are possible."""
    from flowtorch.ops.dispatch import REGISTRY

    if strides is None:
        return REGISTRY["clone"].public(g) if g.is_contiguous() else g.contiguous()     # type: ignore[attr-defined]
    return g.new_empty_strided(g.shape, strides).copy_(g)                # type: ignore[attr-defined]


def _with_slice(base: Tensor, steps: tuple, value: Tensor) -> Tensor:
    inside = base
    for function, args in steps:
        inside = function(inside, *args)
    inside.copy_(value)                                                  # type: ignore[attr-defined]
    return base


def rebase_view(target: Tensor, fn: Node) -> None:
    """After ``fn`` changed the view ``target`` in place: rewrite the history of its base, then of the view."""
    view: Any = view_of(target)
    base = view.base
    node = _new(CopySlices)
    node.seq = next_seq()
    node.edges = (edge(base), *fn.edges[1:])
    # The view's old value reaches the base's old history through CopySlices, not through fn's own first edge; fn still
    # has to know that a gradient is wanted there.
    fn.edges = (base if fn.edges[0] is None and node.edges[0] is not None else fn.edges[0], *fn.edges[1:])
    node.hooks = None
    node.saved = ()
    node.fn = fn
    node.steps, node.strides = view.steps, _own_strides(base)
    node.shape, node.type = base._array.shape, base._type
    base._node = node
    base._requires_grad = True
    target._view = view._replace(version=-1)                             # stale: the next use replays the steps
    target._requires_grad = True


def cut_history(target: Tensor) -> None:
    """``target`` was overwritten with values that no gradient flows through."""
    if target._view is None:
        target._node = None
        target._requires_grad = False
    elif target._view[0].requires_grad:
        from flowtorch.ops.dispatch import REGISTRY

        target.copy_(REGISTRY["clone"].public(target).detach())         # type: ignore[attr-defined]
