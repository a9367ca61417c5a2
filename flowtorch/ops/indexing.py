"""``x[index]`` and ``x[index] = value``: views for ints, slices and None, ``index`` and ``index_put`` for tensors."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from flowtorch import overrides
from flowtorch.array.scatter import add_rows, linear_index
from flowtorch.autograd import anomaly
from flowtorch.autograd.mode import grad_enabled
from flowtorch.autograd.node import Node, next_seq, saved_hooks, view_edge
from flowtorch.dtypes import from_numpy_dtype
from flowtorch.ops import dispatch
from flowtorch.ops.dispatch import check_inplace, interpret
from flowtorch.ops.families import convert_array, op, view
from flowtorch.ops.index_parse import parse
from flowtorch.ops.op import REGISTRY, composite
from flowtorch.ops.writing import number_tensor, record_written
from flowtorch.tensor import Tensor, wrap

_new = object.__new__
_active = overrides.active
_full = slice(None)
_NUMBERS = (int, float, complex, np.generic)


# ---------------------------------------------------------------- basic indexing: a view

@op(tensors=("input",), method=False, out=False, namespace="Tensor", low="keep", linear=True,
    vjp=(lambda g, index: getitem(g, index),))
def getitem_backward(input, index, shape):
    """Zeros of ``shape`` with ``input`` at the basic index ``index``."""
    out = np.zeros(shape, input.dtype)
    out[index] = input
    return out


@view(name="getitem", method=False, namespace="Tensor",
      vjp=(lambda g, input_shape, index: getitem_backward(g, index, input_shape),))
def _basic(input, index):
    """The view at a basic index: a tuple of ints, slices with positive steps and None, checked before."""
    out = input[tuple([i for i in index if i is not None] + [...])]
    shape, strides = [], []
    source = target = 0
    for item in index:
        if type(item) is int:
            source += 1
            continue
        shape.append(1 if item is None else out.shape[target])
        if item is None:
            strides.append(None)
        else:
            strides.append(input.strides[source] * (item.step or 1))
            source += 1
            target += 1
    shape += out.shape[target:]
    strides += input.strides[source:]
    for d in range(len(shape) - 1, -1, -1):
        if strides[d] is None:
            strides[d] = shape[d + 1] * strides[d + 1] if d + 1 < len(shape) else input.itemsize
    if out.strides != tuple(strides):
        out = np.lib.stride_tricks.as_strided(out, shape, strides)
    return out


_record = REGISTRY["getitem"]


class _GetitemNode(Node):
    """The node of a basic index: ``params`` is the index itself and ``shapes`` the input's shape, to be quick."""

    __slots__ = ()
    op = _record

    def apply(self, g: Any) -> tuple:
        return (getitem_backward(g, self.params, self.shapes),)


_select, _slice, _unsqueeze, _alias = (
    type(f"{kind}Backward0", (_GetitemNode,), {"__slots__": (), "__module__": "flowtorch.autograd"})
    for kind in ("Select", "Slice", "Unsqueeze", "Alias"))


def _simple(index: tuple) -> tuple:
    """``index`` for numpy if every entry is an int, a slice without step or the one Ellipsis; TypeError if not."""
    open_ended = True
    for item in index:
        kind = type(item)
        if kind is int:
            continue
        if kind is slice:
            if item.step is not None:
                raise TypeError
        elif item is ... and open_ended:
            open_ended = False
        else:
            raise TypeError
    return (*index, ...) if open_ended else index


def _inserting(a: np.ndarray, index: tuple) -> np.ndarray:
    """The view at an index of full slices, ints, slices and None where numpy's strides are right; TypeError if not."""
    if ... in index:
        raise TypeError
    a = a[_simple(tuple([i for i in index if i is not None]))]
    if not a.flags.c_contiguous or not a.size:
        raise TypeError
    shape, d = [], 0
    for item in index:
        if item is None:
            shape.append(1)
        elif type(item) is slice:
            shape.append(a.shape[d])
            d += 1
    return a.reshape((*shape, *a.shape[d:]))


def _stepping(a: np.ndarray, index: slice) -> np.ndarray:
    """The view at a slice with a step where numpy's strides are right; TypeError if not."""
    if type(index.step) is not int or index.step <= 0:
        raise TypeError
    a = a[index]
    if not a.size:
        raise TypeError
    return a


def getitem(self: Any, index: Any) -> Any:
    """``self[index]``: a view for ints, slices, None and Ellipsis, a copy for tensors, lists and masks."""
    if not _active:
        try:
            tx = self._type
            kind = type(index)
            if kind is int:
                a = self._array[index, ...]
            elif kind is slice:
                a = self._array[index] if index.step is None else _stepping(self._array, index)
            elif kind is tuple:
                if None in index:
                    a = _inserting(self._array, index)
                else:
                    a = self._array[_simple(index)]
            elif index is None and (a := self._array).flags.c_contiguous:
                a = a.reshape(1, *a.shape)
            elif kind is Tensor:
                return _getitem_tensor(self, index)
            else:
                return _getitem(self, index)
            if tx.fast:
                t = _new(Tensor)
                t._array = a
                t._type = tx
                t._requires_grad = False
                t._node = None
                t._grad = None
                counter = self._counter
                if type(counter) is int:
                    counter = self._counter = [counter]
                t._counter = counter
                parent = self._view
                recording = grad_enabled()
                if parent is None:
                    t._view = (self, None if recording else "no_grad", counter[0], None, getitem, (index,))
                    if not recording or not self._requires_grad:
                        return t
                    e = self._node or self
                else:
                    t._view = (parent[0], parent[1] if recording else "no_grad", counter[0], parent, getitem, (index,))
                    e = view_edge(self) if recording else None
                    if e is None:
                        return t
                t._node = n = _new(_select if kind is int else _slice if kind is slice else _node_class(index))
                n.seq = next_seq()
                n.edges = (e,)
                n.hooks = None
                n.saved = ()
                n.shape = a.shape
                n.type = tx
                n.params = index
                n.shapes = self._array.shape
                t._requires_grad = True
                return t
        except (IndexError, TypeError, AttributeError):
            pass
    return _getitem(self, index)


def _node_class(index: Any) -> Any:
    """The node that PyTorch would put last for this index: its indexing is a chain of select, slice and unsqueeze."""
    if type(index) is int:
        return _select
    if type(index) is slice:
        return _slice
    if index is None:
        return _unsqueeze
    if type(index) is tuple:
        for item in reversed(index):
            if item is not ... and item != _full:
                return _node_class(item)
    return _alias


def _getitem_tensor(self: Any, index: Any) -> Any:
    """``self[index]`` for a plain tensor index on a plain tensor without history: one numpy call."""
    tx, ti = self._type, index._type
    name = ti.dtype.name
    a = self._array
    if not tx.fast or not ti.fast or (name != "bool" and name != "int64") or not index._array.ndim or not a.ndim:
        return _getitem(self, index)
    if not a.flags.c_contiguous or (self.requires_grad and grad_enabled()):
        return (
            index_tensors(self, [index], (0,))
            if index._array.ndim <= a.ndim or name == "int64"
            else _getitem(self, index)
        )
    a = a[index._array] if name == "bool" else a.take(index._array, 0)
    return wrap(a, tx)


def _getitem(self: Any, index: Any) -> Any:
    """``self[index]``, every kind of tensor and index: the view first, then ``index`` with what is left."""
    if _active or not self._type.fast or not _all_fast(index):
        special = _find_special(self, index)
        if special and overrides.has_torch_function(special):
            return overrides.handle_torch_function(getitem, special, self, index)
    items, tensors, dims = parse(self, index)
    if tensors:
        return index_tensors(getitem(self, items) if items else self, tensors, dims)
    out = interpret(_record, (self, items), {})
    node = out._node
    if type(node) is _record.node_class:
        node.__class__ = _node_class(items if type(index) is tuple or len(items) != 1 else items[0])
        node.params, node.shapes = items, node.shapes[0][0]
    return out


def _all_fast(index: Any) -> bool:
    """Whether no entry of the index needs more than the plain path."""
    for i in index if type(index) is tuple else (index,):
        if type(i) is Tensor:
            if not i._type.fast:
                return False
        elif hasattr(type(i), "__torch_function__"):
            return False
    return True


def _find_special(self: Any, index: Any) -> list:
    """The operands that ``__torch_function__`` may belong to, if any is no plain tensor (or a mode is on)."""
    found = [self]
    found += [i for i in (index if type(index) is tuple else (index,)) if isinstance(i, Tensor) or (
        hasattr(type(i), "__torch_function__"))]
    if overrides.state.modes or not all(isinstance(t, Tensor) and t._type.plain for t in found):
        return found
    return []


_record.public = getitem
getitem.__name__ = getitem.__qualname__ = "__getitem__"
Tensor.__getitem__ = getitem                                            # type: ignore[attr-defined]


# ---------------------------------------------------------------- indexing by tensors

def numpy_index(ndim: int, indices: list, dims: tuple) -> tuple:
    """The numpy index with the array ``indices[k]`` at dimension ``dims[k]`` (a mask takes as many as it has)."""
    result: list = []
    at = dict(zip(dims, indices, strict=True))
    d = 0
    while d < ndim:
        item = at.get(d, _full)
        result.append(item)
        d += item.ndim if item is not _full and item.dtype.kind == "b" else 1
    return tuple(result)


def index_arrays(indices: list, dims: tuple, shape: tuple) -> list:
    """The arrays of index tensors, checked; uint8 masks become bool ones."""
    arrays = []
    for a, d in zip(indices, dims, strict=True):
        if a.dtype == np.uint8:
            warnings.warn("indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead.",
                          stacklevel=6)
            a = a.astype(bool)
        if a.dtype.kind == "b":
            if a.shape != shape[d:d + a.ndim]:
                wrong = next((j for j in range(a.ndim) if d + j >= len(shape) or a.shape[j] != shape[d + j]), 0)
                if d + wrong >= len(shape):
                    raise IndexError(f"too many indices for tensor of dimension {len(shape)}")
                raise IndexError(f"The shape of the mask {list(a.shape)} at index {wrong} does not match the shape of "
                                 "the "
                                 f"indexed tensor {list(shape)} at index {d + wrong}")
        elif a.dtype not in (np.int64, np.int32):
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        arrays.append(a)
    return arrays


def explain_index(error: Exception, arrays: list, dims: tuple, shape: tuple) -> Exception:
    """PyTorch's exception for what numpy refused: indices that do not broadcast or lie outside."""
    flat: list = []
    for a, d in zip(arrays, dims, strict=True):
        flat += [(i, shape[d + j]) for j, i in enumerate(a.nonzero())] if a.dtype.kind == "b" else [(a, shape[d])]
    try:
        np.broadcast_shapes(*[i.shape for i, _ in flat])
    except ValueError:
        return IndexError("shape mismatch: indexing tensors could not be broadcast together with shapes "
                          + ", ".join(str(list(i.shape)) for i, _ in flat))
    for k, (i, n) in enumerate(flat):
        if n == 0 and i.size:
            return IndexError("index is out of bounds for dimension with size 0")
        bad = i[(i < -n) | (i >= n)]
        if bad.size:
            return IndexError(f"index {bad.flat[0]} is out of bounds for dimension {k} with size {n}")
    return error


@op(name="index", tensors=("input", "indices"), many=True, method=False, out=False, namespace="Tensor", low="keep",
    linear=("input",))
def _index_body(input, indices, dims):
    """The elements of ``input`` where ``indices[k]`` runs over dimension ``dims[k]``, broadcast together."""
    arrays = index_arrays(indices, dims, input.shape)
    try:
        if len(arrays) == 1 and arrays[0].dtype.kind == "i" and input.flags.c_contiguous:
            return input.take(arrays[0], axis=dims[0])
        out = input[numpy_index(input.ndim, arrays, dims)]
    except IndexError as error:
        raise explain_index(error, arrays, dims, input.shape) from None
    return out


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
            pass
    return _index.public(input, indices, dims)


def _record_index(input: Any, indices: list, dims: tuple, t: Any) -> None:
    """What ``dispatch.record`` does for this op, without its look-ups."""
    if saved_hooks.stack or anomaly.state.enabled:
        dispatch.record(_index, [input, indices, dims], t)
        return
    e = view_edge(input) if input._view is not None else input._node or input
    if e is None:
        return
    t._node = n = _new(_index.node_class)
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
    put(out, index_arrays(indices, dims, shape), dims, input, True)
    return out


@REGISTRY["index_backward"].derivative
def _index_backward_derivative(g, indices, dims):
    return (_index.public(g, indices, dims), *[None] * len(indices))


def put(target: np.ndarray, arrays: list, dims: tuple, values: np.ndarray, accumulate: bool) -> None:
    """Write or add ``values`` into ``target`` where ``arrays`` point."""
    at = numpy_index(target.ndim, arrays, dims)
    if not accumulate:
        target[at] = values
        return
    if len(arrays) == 1 and arrays[0].dtype.kind == "b":
        target[at] += values                                      # a mask names every element once
        return
    if target.dtype.kind == "b":
        np.logical_or.at(target, at, values)
        return
    if values.size < 256:
        np.add.at(target, at, values)
        return
    full: list = []
    where: list = []
    for a, d in zip(arrays, dims, strict=True):
        full += a.nonzero() if a.dtype.kind == "b" else (a,)
        where += range(d, d + (a.ndim if a.dtype.kind == "b" else 1))
    block = np.broadcast_shapes(*[i.shape for i in full])
    rest = [d for d in range(target.ndim) if d not in where]
    together = where == list(range(where[0], where[0] + len(where)))
    first = where[0] if together else 0
    shape = (*[target.shape[d] for d in rest[:first]], *block, *[target.shape[d] for d in rest[first:]])
    values = np.broadcast_to(values, shape)
    values = np.moveaxis(values, range(first, first + len(block)), range(len(block)))
    order = (*where, *rest)
    moved = target.transpose(order)
    work = moved if moved.flags.c_contiguous else np.ascontiguousarray(moved)
    size = [target.shape[d] for d in where]
    rows = linear_index(full, tuple(size))
    n = int(np.prod(size, dtype=np.int64))
    width = int(np.prod([target.shape[d] for d in rest], dtype=np.int64))
    for i, m in zip(full, size, strict=True):
        if i.size and (i.min() < -m or i.max() >= m):
            raise IndexError("out of bounds")
    add_rows(work.reshape(n, width), rows, values.reshape(rows.size, width))
    if work is not moved:
        moved[...] = work


@op(
    name="_index_put",
    node="IndexPutBackward0",
    tensors=("input", "values", "indices"),
    many=True,
    method=False,
    out=False,
    namespace="Tensor",
    low="keep",
    linear=("input", "values"),
    inplace=True,
)
def _index_put_body(input, values, indices, dims, accumulate=False):
    """A copy of ``input`` with ``values`` written (or added) where ``index`` would read."""
    out = input.copy(order="K")
    _write(out, values, indices, dims, accumulate)
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


def _write(target: np.ndarray, values: np.ndarray, indices: list, dims: tuple, accumulate: bool) -> None:
    if len(indices) == 1 and values.size == 1 and not accumulate and indices[0].dtype.name in ("bool", "uint8"):
        if indices[0].dtype == np.uint8:
            raise RuntimeError("masked_fill_ only supports boolean masks, but got mask with dtype unsigned char")
        values = convert_array(values.reshape(()), from_numpy_dtype(target.dtype))
    elif values.dtype != target.dtype:
        raise RuntimeError("Index put requires the source and destination dtypes match, got "
                           f"{from_numpy_dtype(target.dtype).label} for the destination and "
                           f"{from_numpy_dtype(values.dtype).label} for the source.")
    arrays = index_arrays(indices, dims, target.shape)
    try:
        put(target, arrays, dims, values, accumulate)
    except (IndexError, ValueError) as error:
        at = numpy_index(target.ndim, arrays, dims)
        try:
            wanted = target[at].shape
        except IndexError:
            raise explain_index(error, arrays, dims, target.shape) from None
        if values.ndim > len(wanted) and all(n == 1 for n in values.shape[:values.ndim - len(wanted)]):
            put(target, arrays, dims, values.reshape(values.shape[values.ndim - len(wanted):]), accumulate)
            return
        raise RuntimeError(f"shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast to "
                           "indexing "
                           f"result of shape {list(wanted)}") from None


def put_inplace(target: Any, values: Any, indices: list, dims: tuple, accumulate: bool = False) -> Any:
    """``index_put_`` on ``target``: writes straight into its memory."""
    every = (target, values, *indices)
    if overrides.state.modes or not all(t._type.plain for t in every):
        return dispatch.interpret_inplace(_put, (target, values, indices, dims, accumulate), {})
    recording = grad_enabled() and (target.requires_grad or values.requires_grad)
    if dispatch.has_internal_overlap(target._array):
        warnings.warn(
            "Use of index_put_ on expanded tensors is deprecated. Please clone() the tensor before "
            "performing "
            "this operation. This also applies to advanced indexing e.g. tensor[indices] = tensor",
            stacklevel=4,
        )
    else:
        check_inplace(target, recording)
    arrays = [i._array for i in indices]
    source = values._array
    if np.may_share_memory(target._array, source):
        source = source.copy()
    _write(target._array, source, arrays, dims, accumulate)
    target._bump_version()
    if recording and target._type.dtype.rank >= 2:
        record_written(_put, [target, values, indices, dims, accumulate], target)
    return target


# ---------------------------------------------------------------- assignment

def setitem(self: Any, index: Any, value: Any) -> None:
    """``self[index] = value``: converts and broadcasts ``value``."""
    if not _active:
        try:
            if _set_plainly(self, index, value):
                return
        except (IndexError, TypeError, ValueError, AttributeError, OverflowError):
            pass
    _setitem(self, index, value)


def _set_plainly(self: Any, index: Any, value: Any) -> bool:
    """One numpy assignment where no history is at stake. False, or an exception before any change: do it properly."""
    tx = self._type
    if not tx.fast or ((self._requires_grad or self._view is not None) and grad_enabled() and self.requires_grad):
        return False
    kind = type(index)
    if kind is tuple:
        at: Any = _simple(index)
    elif kind is int or (kind is slice and index.step is None):
        at = index
    elif kind is Tensor and index._type.plain and index._array.ndim and index._type.dtype.name in ("bool", "int64"):
        at = index._array
        if at.dtype.kind == "b" and at.shape != self._array.shape[:at.ndim]:
            return False
    else:
        return False
    a = self._array
    if a.base is not None and 0 in a.strides:
        return False
    source = type(value)
    if source is float or source is int:
        if a.dtype.kind not in "fc" and source is float:
            return False
        a[at] = value
    elif source is Tensor:
        if value._type is not tx or (value._counter is self._counter) or value._type.inference or (
                (value._requires_grad or value._view is not None) and grad_enabled() and value.requires_grad):
            return False
        a[at] = value._array
    else:
        return False
    self._bump_version()
    return True


def _setitem(self: Any, index: Any, value: Any) -> None:
    special = _find_special(self, index)
    if isinstance(value, Tensor) and not value._type.plain:
        special = [*(special or [self]), value]
    if special and overrides.has_torch_function(special):
        overrides.handle_torch_function(setitem, special, self, index, value)
        return
    items, tensors, dims = parse(self, index)
    if not isinstance(value, Tensor):
        value = _as_value(self, value)
    target = self
    if items or not tensors:
        target = interpret(_record, (self, items), {})
    if tensors:
        if value._type.device != target._type.device and value.dim() == 0:
            value = value.to(target.device)
        if value.dim() > target.dim():
            value = _drop_leading(value, target.dim())
        put_inplace(target, value, tensors, dims)
        return
    if value.dim() > target.dim():
        value = _drop_leading(value, target.dim())
    if value.shape != target.shape:
        value = value.expand(target.shape)
    if value._counter is self._counter and _partial_overlap(target._array, value._array):
        raise RuntimeError("unsupported operation: some elements of the input tensor and the written-to tensor refer "
                           "to a "
                           "single memory location. Please clone() the tensor before performing the operation.")
    target.copy_(value)


def _as_value(self: Any, value: Any) -> Tensor:
    """A number to assign as a 0-d tensor of the target's type."""
    if not isinstance(value, _NUMBERS):
        raise TypeError(f"can't assign a {_full_name(value)} to a torch.{self.dtype.label}Tensor")
    return number_tensor(value, self)


def _full_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _drop_leading(value: Any, ndim: int) -> Any:
    """``value`` without leading dimensions of size 1 that the target does not have."""
    lead = 0
    while value.dim() - lead > ndim and lead < value.dim() and value.shape[lead] == 1:
        lead += 1
    return value.reshape(value.shape[lead:]) if lead else value


def _partial_overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two dense arrays share some but not all of their memory."""
    from flowtorch.ops.copy import dense
    from flowtorch.tensor import address_of

    if not a.size or not b.size or not dense(a) or not dense(b):
        return False
    x, y = address_of(a), address_of(b)
    if x == y and a.nbytes == b.nbytes:
        return a.strides != b.strides
    return x < y + b.nbytes and y < x + a.nbytes


def _delitem(self: Any, index: Any) -> None:
    raise TypeError("Tensor does not support deleting items")


setitem.__name__ = setitem.__qualname__ = "__setitem__"
Tensor.__setitem__ = setitem                                            # type: ignore[attr-defined]
Tensor.__delitem__ = _delitem                                           # type: ignore[attr-defined]


@composite(method=True)
def index_put(input, indices, values, accumulate=False):
    """A copy of ``input`` with ``values`` at ``indices``, added to what is there with ``accumulate``."""
    tensors, dims = _given(input, indices, values, "index_put")
    return _put.public(input, values, tensors, dims, accumulate)


@composite(method=True)
def index_put_(input, indices, values, accumulate=False):
    """Write ``values`` at ``indices`` into ``input``, added to what is there with ``accumulate``."""
    tensors, dims = _given(input, indices, values, "index_put_")
    return put_inplace(input, values, tensors, dims, accumulate)


def _given(input: Any, indices: Any, values: Any, name: str) -> tuple[list, tuple]:
    if not isinstance(indices, (tuple, list)):
        raise TypeError(f"{name}(): argument 'indices' (position 1) must be tuple of Tensors, not "
                        f"{type(indices).__name__}")
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
