"""``index`` and ``index_put``: reading and writing where tensors of indices, or masks, point."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from flowtorch import overrides
from flowtorch.array import copies
from flowtorch.autograd import anomaly
from flowtorch.autograd.mode import grad_enabled
from flowtorch.autograd.node import next_seq, saved_hooks, view_edge
from flowtorch.ops import dispatch, overlap
from flowtorch.ops.dispatch import check_inplace
from flowtorch.ops.families import op
from flowtorch.ops.index_kernels import explain_index, index_arrays, laid_out, numpy_index, put, result_shape, write
from flowtorch.ops.op import REGISTRY, composite
from flowtorch.ops.order import copy_of
from flowtorch.ops.writing import record_written
from flowtorch.tensor import Tensor, wrap

_new = object.__new__
_active = overrides.active


@op(name="index", tensors=("input", "indices"), many=True, method=False, out=False, namespace="Tensor", low="keep",
    linear=("input",))
def _index_body(input, indices, dims):
    """The elements of ``input`` where ``indices[k]`` runs over dimension ``dims[k]``, broadcast together."""
    arrays = index_arrays(indices, dims, input.shape)
    if not input.size:
        return np.empty(result_shape(input.shape, arrays, dims), input.dtype)
    try:
        if len(arrays) == 1 and arrays[0].dtype.kind == "i" and input.flags.c_contiguous and (
                arrays[0].flags.c_contiguous):
            return copies.take(input, arrays[0], dims[0])
        out = input[numpy_index(input.ndim, arrays, dims)]
    except IndexError as error:
        raise explain_index(error, arrays, dims, input.shape) from None
    if input.flags.c_contiguous and all([a.flags.c_contiguous for a in arrays]):
        return out if out.flags.c_contiguous else np.ascontiguousarray(out)
    return laid_out(out, input, arrays, dims)


_index = REGISTRY["index"]


def index_tensors(input: Any, indices: list, dims: tuple) -> Any:
    """``index`` on checked arguments, straight to the kernel where all tensors are plain."""
    if not _active and input._type.fast and input._type.device.type == "cpu":
        try:
            if all([t._type.fast for t in indices]):
                t = wrap(_index_body.op.body(input._array, [i._array for i in indices], dims), input._type)
                if (input._requires_grad or input._view is not None) and grad_enabled():
                    _record_index(input, indices, dims, t)
                return t
        except Exception:
            pass  # the complete path does it again, and says what is wrong
    return _index.public(input, _beside(input, indices), dims)


def _beside(input: Any, indices: list) -> list:
    """The indices where the input is: those in host memory may select from a tensor on a device."""
    device = input._type.device
    if device.type != "cuda":
        return indices
    return [i.to(device) if i._type.device.type == "cpu" else i for i in indices]


def _record_index(input: Any, indices: list, dims: tuple, t: Any) -> None:
    """What ``dispatch.record`` does for this op, without its look-ups."""
    if saved_hooks.stack or anomaly.state.enabled:
        dispatch.record(_index, [input, indices, dims], t)
        return
    e = view_edge(input) if input._view is not None else input._node or input
    if e is None:
        return
    n: Any = _new(_index.node_class)
    t._node = n
    n.seq = next_seq()
    n.edges = (e,) + (None,) * len(indices)
    n.hooks = None
    n.saved = (None, *indices)
    n.versions = (None, *[i._version for i in indices])
    n.shapes = ((input._array.shape, None),)
    n.params = (dims,)
    n.shape = t._array.shape
    n.type = t._type
    t._requires_grad = True


@_index.derivative
def _index_derivative(g, input_shape, indices, dims):
    return (index_backward(g, indices, dims, input_shape), *[None] * len(indices))


@op(tensors=("input", "indices"), many=True, method=False, out=False, namespace="Tensor", linear=("input",))
def index_backward(input, indices, dims, shape):
    """Zeros of ``shape`` to which ``input`` is added at the places that ``index`` reads."""
    out = np.zeros(shape, input.dtype)
    if not input.size:
        return out
    put(out, index_arrays(indices, dims, shape), dims, input, True)
    return out


@REGISTRY["index_backward"].derivative
def _index_backward_derivative(g, indices, dims):
    return (_index.public(g, indices, dims), *[None] * len(indices))


@op(name="_index_put", node="IndexPutBackward0", tensors=("input", "values", "indices"), many=True, method=False,
    out=False, namespace="Tensor", low="keep", linear=("input", "values"), inplace=True)
def _index_put_body(input, values, indices, dims, accumulate=False):
    """A copy of ``input`` with ``values`` written (or added) where ``index`` would read."""
    out = copy_of(input)
    write(out, values, indices, dims, accumulate)
    return out


_put = REGISTRY["_index_put"]


@_put.derivative
def _index_put_derivative(g, values_shape, indices, dims, accumulate, needs):
    grad_input = grad_values = None
    if needs[0]:
        grad_input = g if accumulate else _put.public(g, g.new_zeros(()), indices, dims)
    if needs[1]:
        grad_values = _index.public(g, indices, dims)
        lead = len(values_shape) - grad_values.dim()              # values may have further leading dimensions of size 1
        if lead > 0:
            grad_values = grad_values.reshape((1,) * lead + tuple(grad_values.shape))
    return (grad_input, grad_values, *[None] * len(indices))


def put_inplace(target: Any, values: Any, indices: list, dims: tuple, accumulate: bool = False) -> Any:
    """``index_put_`` on ``target``: writes straight into its memory."""
    every = (target, values, *indices)
    if overrides.state.modes or overrides.state.below or target._type.device.type != "cpu" or not all(
            t._type.plain for t in every):
        indices = _beside(target, indices)
        return dispatch.interpret_inplace(_put, (target, values, indices, dims, accumulate), {})
    recording = grad_enabled() and (target.requires_grad or values.requires_grad)
    if overlap.has_internal_overlap(target._array):
        warnings.warn("Use of index_put_ on expanded tensors is deprecated. Please clone() the tensor before "
                      "performing this operation. This also applies to advanced indexing e.g. tensor[indices] = tensor",
                      stacklevel=4)
    else:
        check_inplace(target, recording)
        if len(indices) > 1 or values._array.size != 1 or indices[0].dtype.rank:      # else it is masked_fill_
            overlap.check_written(_put, target, every[1:])
    arrays = [i._array for i in indices]
    source = values._array
    if np.may_share_memory(target._array, source):
        source = source.copy()
    write(target._array, source, arrays, dims, accumulate)
    target._bump_version()
    if recording and target._type.dtype.rank >= 2:
        record_written(_put, [target, values, indices, dims, accumulate], target)
    return target


@composite(method=True)
def index_put(input, indices, values, accumulate=False):
    """A copy of ``input`` with ``values`` at ``indices``, added to what is there with ``accumulate``."""
    tensors, dims = _given(input, indices, values, "index_put")
    return _put.public(input, values, _beside(input, tensors), dims, accumulate)


@composite(method=True)
def index_put_(input, indices, values, accumulate=False):
    """Write ``values`` at ``indices`` into ``input``, added to what is there with ``accumulate``."""
    tensors, dims = _given(input, indices, values, "index_put_")
    return put_inplace(input, values, tensors, dims, accumulate)


def _given(input: Any, indices: Any, values: Any, name: str) -> tuple[list, tuple]:
    if not isinstance(indices, (tuple, list)):
        raise TypeError(f"{name}(): argument 'indices' (position 1) must be tuple of Tensors, "
                        f"not {type(indices).__name__}")
    if not isinstance(values, Tensor):
        raise TypeError(f"{name}(): argument 'values' (position 2) must be Tensor, not {type(values).__name__}")
    for k, t in enumerate(indices):
        if not isinstance(t, Tensor):
            raise TypeError(f"expected Tensor as element {k} in argument 0, but got {type(t).__name__}")
    dims, d = [], 0
    for t in indices:
        dims.append(d)
        d += t.dim() if t.dtype.name in ("bool", "uint8") else 1
    if d > input.dim():
        raise IndexError(f"too many indices for tensor of dimension {input.dim()} (got {d})")
    return list(indices), tuple(dims)
