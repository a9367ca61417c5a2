"""Joining tensors: cat and stack, and the composites that arrange what they join."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flowtorch import overrides
from flowtorch.array import copies
from flowtorch.array.memory_format import is_channels_last, with_channels_last
from flowtorch.autograd import anomaly
from flowtorch.autograd.mode import grad_enabled
from flowtorch.autograd.node import next_seq, view_edge
from flowtorch.dtypes import can_cast
from flowtorch.native import calls
from flowtorch.ops import dispatch
from flowtorch.ops.dispatch import interpret, record
from flowtorch.ops.families import General, convert_array, normalize_dim, result_dtype
from flowtorch.ops.op import REGISTRY, Op, composite
from flowtorch.tensor import Tensor, wrap

_active = overrides.active
_new = object.__new__


class Join(General):
    """One result from a list of tensors, promoted to their common dtype."""

    name = "join"

    def compute(self, op: Op, values: list) -> Any:
        tensors = values[0]
        if not isinstance(tensors, (tuple, list)):
            raise TypeError(f"{op.name}(): argument 'tensors' (position 1) must be tuple of Tensors, "
                            f"not {type(tensors).__name__}")
        for k, t in enumerate(tensors):
            if not isinstance(t, Tensor):
                raise TypeError(f"expected Tensor as element {k} in argument 0, but got {type(t).__name__}")
        if len({t._type.dtype for t in tensors}) > 1:
            common = result_dtype(tensors)
            if all(t._type.device.type == "cpu" for t in tensors):
                tensors = [wrap(convert_array(t._array, common), t._type.with_dtype(common)) for t in tensors]
            else:
                tensors = [t.to(common) for t in tensors]
        return super().compute(op, [list(tensors), *values[1:]])


def _joined_out(name: str, out: Any, result: Any) -> None:
    if not can_cast(result, out):
        raise TypeError(f"torch.cat(): input types can't be cast to the desired output type {out.label}")


def _define(body: Any, name: str) -> Op:
    op = Op(name, Join(), body, tensors=("tensors",), many=True, linear=True, low="keep", method=False,
            out=_joined_out)
    op.public = dispatch.general(op)
    return op


def _in_format(result: np.ndarray, arrays: Sequence[Any]) -> np.ndarray:
    """``result`` contiguous, or channels-last where all of ``arrays`` are."""
    if result.ndim in (4, 5) and all(map(is_channels_last, arrays)):
        return with_channels_last(result)
    return result if result.flags.c_contiguous else np.ascontiguousarray(result)


def joinable(tensors: Sequence[Any], dim: int) -> tuple[Sequence[Any], int]:
    """The arrays that ``cat`` joins (all but those of shape (0,)), and the dimension counted from the front.

    RuntimeError where a size differs in another dimension.
    """
    for k, a in enumerate(tensors):
        if a.ndim == 0:
            raise RuntimeError(f"zero-dimensional tensor (at position {k}) cannot be concatenated")
    full = [a for a in tensors if a.shape != (0,)] or list(tensors[:1])
    first = full[0]
    dim = normalize_dim(dim, first.ndim)
    for k, a in enumerate(tensors):
        if a.shape == (0,):
            continue
        if a.ndim != first.ndim:
            raise RuntimeError(f"Tensors must have same number of dimensions: got {first.ndim} and {a.ndim}")
        for d in range(a.ndim):
            if d != dim and a.shape[d] != first.shape[d]:
                raise RuntimeError(f"Sizes of tensors must match except in dimension {dim}. Expected size "
                                   f"{first.shape[d]} but got size {a.shape[d]} for tensor number {k} in the list.")
    return full, dim


def _cat_body(tensors, dim=0):
    """Join tensors along an existing dimension."""
    full, dim = joinable(tensors, dim)
    out = copies.concatenate(list(full), dim) if len(full) > 1 else full[0].copy()
    if out.size == 0:
        return np.empty(out.shape, out.dtype)
    return _in_format(out, full)


_cat = _define(_cat_body, "cat")


@_cat.derivative
def _cat_derivative(g, tensors_shape, dim, needs):
    sizes = [0 if s == (0,) and g.dim() > 1 else s[dim] for s in tensors_shape]
    grads: list[Any] = []
    start = 0
    for s, size, need in zip(tensors_shape, sizes, needs, strict=True):
        part = None
        if need:
            part = REGISTRY["slice"].public(g, dim, start, start + size, 1)
            part = part if s != (0,) else part.reshape(0)
        grads.append(part)
        start += size
    return tuple(grads)


def _record_join(op: Op, tensors: Any, dim: int, t: Any) -> None:
    """What ``dispatch.record`` does for these ops, which save nothing, without its look-ups."""
    if anomaly.state.enabled:
        record(op, [tensors, dim], t)
        return
    edges = tuple(
        [view_edge(x) if x._view is not None else (x._node or x) if x._requires_grad else None for x in tensors]
    )
    if not any([e is not None for e in edges]) or t._type.dtype.rank < 2:
        return
    n: Any = op.node_class()
    t._node = n
    n.seq = next_seq()
    n.edges = edges
    n.hooks = None
    n.saved = ()
    n.shapes = [(x._array.shape, None) for x in tensors]
    n.params = (dim,)
    n.shape = t._array.shape
    n.type = t._type
    t._requires_grad = True


def cat(tensors: Any, dim: Any = 0, *, out: Any = None, axis: Any = None) -> Any:
    """Join tensors along an existing dimension.

    All sizes but that of ``dim`` must agree (RuntimeError otherwise); the dtypes are promoted to a common one.

    >>> torch.cat([torch.zeros(1, 2), torch.ones(2, 2)]).shape
    torch.Size([3, 2])
    >>> torch.cat([torch.tensor([1, 2]), torch.tensor([0.5])])
    tensor([1.0000, 2.0000, 0.5000])
    """
    if axis is not None:
        dim = axis
    if not _active and out is None:
        try:
            tx = tensors[0]._type
            arrays = [t._array for t in tensors if t._type is tx]
            if len(arrays) == len(tensors) and tx.fast and (
                    type(tensors) is not Tensor):
                a = copies.concatenate(arrays, dim)
                if not a.flags.c_contiguous or a.ndim > 3:
                    a = _in_format(a, arrays)
                if a.size == 0:
                    return interpret(_cat, (tensors, dim), {})
                result = wrap(a, tx)
                if grad_enabled():
                    for t in tensors:
                        if t._requires_grad or t._view is not None:
                            _record_join(_cat, tensors, dim, result)
                            break
                return result
        except Exception:
            pass  # the complete path does it again, and says what is wrong
    if isinstance(tensors, (tuple, list)) and not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    return interpret(_cat, (tensors, dim), {"out": out})


cat = calls.product("cat", _cat, cat)
_cat.public = cat
cat.op = _cat                                                           # type: ignore[attr-defined]


def _stack_body(tensors, dim=0):
    """Join tensors of one shape along a new dimension."""
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    first = tensors[0]
    dim = normalize_dim(dim, first.ndim + 1)
    for k, a in enumerate(tensors):
        if a.shape != first.shape:
            raise RuntimeError(f"stack expects each tensor to be equal size, but got {list(first.shape)} at entry 0 "
                               "and "
                               f"{list(a.shape)} at entry {k}")
    shape = (*first.shape[:dim], len(tensors), *first.shape[dim:])
    if dim < first.ndim in (4, 5) and is_channels_last(first):
        return _cat_body(tensors, dim).reshape(shape)                   # in the order that ``cat`` gives it
    return np.stack(tensors, dim, out=np.empty(shape, first.dtype))


_stack = _define(_stack_body, "stack")


@_stack.derivative
def _stack_derivative(g, dim, needs):
    return tuple([g.select(dim, k) if n else None for k, n in enumerate(needs)])


def stack(tensors: Any, dim: Any = 0, *, out: Any = None, axis: Any = None) -> Any:
    """Join tensors along a new dimension ``dim``. All must have the same shape (RuntimeError otherwise).

    >>> torch.stack([torch.tensor([1, 2]), torch.tensor([3, 4])], dim=1)
    tensor([[1, 3],
            [2, 4]])
    """
    if axis is not None:
        dim = axis
    if not _active and out is None:
        try:
            tx = tensors[0]._type
            arrays = [t._array for t in tensors if t._type is tx]
            if len(arrays) == len(tensors) and tx.fast and (
                    type(tensors) is not Tensor):
                in_front = dim == 0 and not is_channels_last(arrays[0])
                result = wrap(np.array(arrays) if in_front else _stack_body(arrays, dim), tx)
                if result._array.dtype == tx.numpy and result._array.ndim == arrays[0].ndim + 1:
                    if grad_enabled():
                        for t in tensors:
                            if t._requires_grad or t._view is not None:
                                _record_join(_stack, tensors, dim, result)
                                break
                    return result
        except Exception:
            pass  # the complete path does it again, and says what is wrong
    return interpret(_stack, (tensors, dim), {"out": out})


_stack.public = stack
stack.op = _stack                                                       # type: ignore[attr-defined]


def _concatenate(name: str) -> Any:
    def join(tensors, dim=0, *, axis=None, out=None):
        return cat(tensors, dim if axis is None else axis, out=out)
    join.__name__ = join.__qualname__ = name
    join.__doc__ = """Another name of ``cat``.

    >>> torch.concat([torch.tensor([1]), torch.tensor([2, 3])])
    tensor([1, 2, 3])
    """
    return composite(join)


concat, concatenate = _concatenate("concat"), _concatenate("concatenate")


def _nonempty(tensors: Any, name: str) -> Any:
    if isinstance(tensors, Tensor) or not isinstance(tensors, (tuple, list)):
        raise TypeError(f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, "
                        f"not {type(tensors).__name__}")
    if not tensors:
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    return tensors


def _at_least(t: Any, n: int) -> Any:
    if t.dim() >= n:
        return t
    if n == 1:
        return t.reshape(1)
    if n == 2:
        return t.reshape(1, 1) if t.dim() == 0 else t.unsqueeze(0)
    return t.reshape(1, 1, 1) if t.dim() == 0 else t.unsqueeze(0).unsqueeze(-1) if t.dim() == 1 else t.unsqueeze(-1)


def _at_least_op(n: int) -> Any:
    def atleast(*tensors):
        if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
            tensors = tuple(tensors[0])
            return tuple(_at_least(t, n) for t in tensors)
        if len(tensors) == 1:
            return _at_least(tensors[0], n)
        return tuple(_at_least(t, n) for t in tensors)
    atleast.__name__ = atleast.__qualname__ = f"atleast_{n}d"
    atleast.__doc__ = f"Each tensor with at least {n} dimensions, as a view."
    return composite(atleast)


atleast_1d, atleast_2d, atleast_3d = _at_least_op(1), _at_least_op(2), _at_least_op(3)


@composite
def hstack(tensors, *, out=None):
    """Join side by side: along dimension 1, or 0 for vectors."""
    tensors = [_at_least(t, 1) for t in _nonempty(tensors, "hstack")]
    return cat(tensors, 0 if tensors[0].dim() == 1 else 1, out=out)


@composite
def vstack(tensors, *, out=None):
    """Join one below the other; vectors count as rows."""
    return cat([_at_least(t, 2) for t in _nonempty(tensors, "vstack")], 0, out=out)


@composite
def row_stack(tensors, *, out=None):
    """Join one below the other; another name of ``vstack``."""
    return cat([_at_least(t, 2) for t in _nonempty(tensors, "vstack")], 0, out=out)


@composite
def dstack(tensors, *, out=None):
    """Join along a third dimension."""
    return cat([_at_least(t, 3) for t in _nonempty(tensors, "dstack")], 2, out=out)


@composite
def column_stack(tensors, *, out=None):
    """Join side by side; vectors and numbers count as columns."""
    tensors = _nonempty(tensors, "column_stack")
    return cat([t.reshape(t.numel(), 1) if t.dim() <= 1 else t for t in tensors], 1, out=out)
