"""torch.nested: batches of tensors of different sizes, in the jagged layout."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.nested import strided as _strided
from flowtorch.nested.padding import padded as _padded
from flowtorch.nested.tensor import JAGGED, NestedTensor
from flowtorch.nested.tensor import build as _build
from flowtorch.nested.tensor import ragged_of as _ragged_of
from flowtorch.ops import factory
from flowtorch.ops.op import REGISTRY
from flowtorch.tensor import Tensor, wrap

__all__ = ["as_nested_tensor", "masked_select", "narrow", "nested_tensor", "nested_tensor_from_jagged",
           "to_padded_tensor"]


def _known(name: str, layout: Any) -> None:
    if layout is not None and layout is not dtypes.strided:
        raise RuntimeError(f"Specified layout is unsupported for nested tensors: {layout}")


def _apart(parts: list, dtype: Any, device: Any) -> Tensor:
    """The pieces side by side, in the strided layout."""
    if not parts:
        return _strided.make([], dtype or dtypes.get_default_dtype())
    if len({t.dim() for t in parts}) > 1:
        raise RuntimeError("All Tensors given to nested_tensor must have the same dimension. Found dimension "
                           f"{parts[0].dim()} and others.")
    if len({t.dtype for t in parts}) > 1:
        raise RuntimeError("All Tensors given to nested_tensor must have the same dtype.")
    return _strided.build([_converted(t, dtype, device) for t in parts], "NestedTensorFromTensorListBackward0")


def _jagged_only(name: str, layout: Any) -> None:
    if layout is not JAGGED:
        raise NotImplementedError(f"{name}(): only layout=torch.jagged is supported, not "
                                  f"{layout if layout is not None else 'torch.strided (the default)'}")


def nested_tensor(tensor_list: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
                  requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A new leaf: a batch holding copies of the given tensors (or lists), which may differ in one dimension."""
    if layout is not JAGGED:
        _known("nested_tensor", layout)
        given = [t if isinstance(t, Tensor) else factory.tensor(t, dtype=dtype) for t in tensor_list]
        leaves = [t.detach().clone() for t in given]                     # type: ignore[attr-defined]
        strided = _apart(leaves, dtype, device).detach()                 # type: ignore[attr-defined]
        return strided.requires_grad_() if requires_grad else strided
    parts = [t.detach() if isinstance(t, Tensor) else factory.tensor(t, dtype=dtype) for t in tensor_list]   # type: ignore[attr-defined]
    result = _joined(parts, dtype, device).detach()                      # type: ignore[attr-defined]
    return result.requires_grad_() if requires_grad else result


def as_nested_tensor(ts: Any, dtype: Any = None, device: Any = None, layout: Any = None) -> Tensor:
    """A batch of the given tensors, through which gradients reach them."""
    if isinstance(ts, NestedTensor):
        if layout is not JAGGED:
            raise RuntimeError("as_nested_tensor(): Converting between nested tensor layouts is not supported")
        return ts if dtype is None and device is None else ts.to(device=device or ts.device, dtype=dtype or ts.dtype)   # type: ignore[attr-defined]
    if layout is not JAGGED:
        _known("as_nested_tensor", layout)
        whole = ts.unbind(0) if isinstance(ts, Tensor) else ts           # type: ignore[attr-defined]
        return _apart([t if isinstance(t, Tensor) else factory.tensor(t, dtype=dtype) for t in whole], dtype, device)
    if isinstance(ts, Tensor):
        if ts.dim() < 2:
            raise RuntimeError("as_nested_tensor(): Expected tensor argument to have dim() > 1")
        b, n = ts.shape[:2]
        flat = ts.reshape(b * n, *ts.shape[2:])                          # type: ignore[attr-defined]
        return _build(_converted(flat, dtype, device), _ragged_of(wrap(np.arange(b + 1) * n)))
    return _joined([t if isinstance(t, Tensor) else factory.tensor(t, dtype=dtype) for t in ts], dtype, device)


def _converted(t: Any, dtype: Any, device: Any) -> Any:
    return t if dtype is None and device is None else t.to(device=device or t.device, dtype=dtype or t.dtype)


def _joined(parts: list, dtype: Any, device: Any) -> Tensor:
    """Tensors end to end along the one dimension in which they differ."""
    if not parts:
        raise RuntimeError("Cannot construct a nested tensor from an empty tensor list")
    first = parts[0]
    for what, get in (("dtype", lambda t: t.dtype), ("dim", lambda t: t.dim()), ("device", lambda t: t.device)):
        if any(get(t) != get(first) for t in parts):
            raise RuntimeError(f"When constructing a nested tensor, all tensors in list must have the same {what}")
    if not first.dim():
        raise RuntimeError("Cannot construct a nested tensor from a list of zero-dim tensors")
    different = [d for d in range(first.dim()) if any(t.shape[d] != first.shape[d] for t in parts)]
    if len(different) > 1:
        raise RuntimeError("The given list of tensors can't be represented as a jagged layout NestedTensor: they "
                           f"differ in dimensions {different}")
    at = different[0] if different else 0
    values = _converted(REGISTRY["cat"].public(parts, at), dtype, device)
    offsets = np.concatenate([[0], np.cumsum([t.shape[at] for t in parts])]).astype(np.int64)
    return _build(values, _ragged_of(wrap(offsets)), at + 1)


def nested_tensor_from_jagged(values: Tensor, offsets: Any = None, lengths: Any = None, jagged_dim: int | None = None,
                              min_seqlen: int | None = None, max_seqlen: int | None = None) -> Tensor:
    """A batch over ``values``, whose pieces begin at ``offsets`` (and are ``lengths`` long)."""
    if offsets is None:
        if lengths is None:
            raise RuntimeError("nested_tensor_from_jagged(): At least one of offsets or lengths is required.")
        offsets = wrap(np.concatenate([[0], np.cumsum(lengths._array)]).astype(lengths._array.dtype))
        lengths = None
    return _build(values, _ragged_of(offsets, lengths), 1 if jagged_dim is None else jagged_dim % (values.dim() + 1))


def narrow(tensor: Tensor, dim: int, start: Any, length: Any, layout: Any = None) -> Tensor:
    """The ranges ``start`` to ``start + length`` of each row of ``tensor``, a view of it."""
    _jagged_only("narrow", layout)
    if dim != 1:
        raise RuntimeError("jagged layout only supports dim=1")
    rows, n = tensor.shape[:2]
    begin, size = (np.broadcast_to(x._array if isinstance(x, Tensor) else np.asarray(x), (rows,)).astype(np.int64)
                   for x in (start, length))
    starts = np.arange(rows) * n + begin
    offsets = np.concatenate([starts, starts[-1:] + size[-1:]])
    return _build(tensor.reshape(rows * n, *tensor.shape[2:]), _ragged_of(wrap(offsets), wrap(size.copy())))  # type: ignore[attr-defined]


def masked_select(tensor: Tensor, mask: Tensor) -> Tensor:
    """The elements of each row of ``tensor`` where ``mask`` holds."""
    shape = np.broadcast_shapes(tuple(tensor.shape), tuple(mask.shape))
    keep = np.broadcast_to(mask._array, shape)
    counts = keep.reshape(shape[0], -1).sum(axis=1)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    values = REGISTRY["masked_select"].public(tensor, mask)
    return _build(values, _ragged_of(wrap(offsets)))


def to_padded_tensor(input: Tensor, padding: float, output_size: Any = None, out: Any = None) -> Tensor:
    """A dense tensor with ``padding`` after the shorter pieces."""
    if isinstance(input, _strided.StridedNestedTensor):
        return input.to_padded_tensor(padding, output_size)
    if not isinstance(input, NestedTensor):
        raise RuntimeError("to_padded_tensor(): expected a nested tensor")
    return _padded(input, padding, output_size)
