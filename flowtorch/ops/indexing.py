"""``x[index]`` and ``x[index] = value``: views for ints, slices and None; tensors of indices go to index_tensors."""
from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from flowtorch import overrides
from flowtorch.array import copies
from flowtorch.array.place import as_strided
from flowtorch.autograd.mode import grad_enabled
from flowtorch.autograd.node import Node, next_seq, view_edge
from flowtorch.dtypes import int64
from flowtorch.native import calls
from flowtorch.ops.dispatch import interpret
from flowtorch.ops.families import op, view
from flowtorch.ops.index_parse import parse
from flowtorch.ops.index_tensors import index_tensors, put_inplace
from flowtorch.ops.op import REGISTRY
from flowtorch.ops.writing import number_tensor
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
        if item is None:                          # a new dimension steps over all of the next one, as it was before
            shape.append(1)
            strides.append(input.shape[source] * input.strides[source] if source < input.ndim else input.itemsize)
        else:
            shape.append(out.shape[target])
            strides.append(input.strides[source] * (item.step or 1))
            source += 1
            target += 1
    shape += out.shape[target:]
    strides += input.strides[source:]
    if out.strides != tuple(strides):
        out = as_strided(out, shape, strides)
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


_VIEWING = (slice, type(None), int)


def _inserting(a: np.ndarray, index: tuple) -> np.ndarray:
    """The view at an index of full slices, ints, slices and None where numpy's strides are right; TypeError if not."""
    if 1 in a.shape or any(type(item) not in _VIEWING for item in index):
        raise TypeError
    for item, following in itertools.pairwise(index):
        if item is None and following is not None and following != _full:
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
    """``self[index]``: a view for ints, slices, None and Ellipsis; a copy for tensors, lists and masks.

    IndexError for positions out of range, for too many indices, and for masks whose shape does not fit.

    >>> x = torch.arange(6).view(2, 3)
    >>> x[1], x[:, -1], x[x > 3], x[[0, 1], [2, 0]]
    (tensor([3, 4, 5]), tensor([2, 5]), tensor([4, 5]), tensor([2, 3]))
    """
    if not _active:
        try:
            tx = self._type
            kind = type(index)
            if kind is int:
                a = self._array[index, ...]
            elif kind is slice:
                a = self._array[index] if index.step is None else _stepping(self._array, index)
            elif kind is tuple:
                for item in index:
                    if item is None:        # not "in", which compares arrays
                        a = _inserting(self._array, index)
                        break
                else:
                    a = self._array[_simple(index)]
            elif index is None and (a := self._array).flags.c_contiguous and 1 not in a.shape:
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
                t._node = n = _new(_select if kind is int else _slice if kind is slice else
                                   _node_class(index, self._array.shape))
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
            pass  # the complete path does it again, and says what is wrong
    return _getitem(self, index)


def _node_class(index: Any, shape: tuple) -> Any:
    """The node that PyTorch would put last for this index: its indexing is a chain of select, slice and unsqueeze."""
    if type(index) is int:
        return _select
    if type(index) is slice:
        return _slice
    if index is None:
        return _unsqueeze
    last = _alias
    source = 0
    for item in index if type(index) is tuple else ():
        if item is None:
            last = _unsqueeze
        elif item is ...:
            source += len(shape) - sum(i is not None and i is not ... for i in index)
        else:
            if type(item) is int:
                last = _select
            elif item.start or (item.stop is not None and item.stop < shape[source]) or item.step not in (None, 1):
                last = _slice
            source += 1
    return last


def _getitem_tensor(self: Any, index: Any) -> Any:
    """``self[index]`` for a plain tensor index on a plain tensor without history: one numpy call."""
    tx, ti = self._type, index._type
    name = ti.dtype.name
    a = self._array
    if not tx.fast or not ti.fast or (name != "bool" and name != "int64") or not index._array.ndim or not a.ndim:
        return _getitem(self, index)
    if not a.flags.c_contiguous or not index._array.flags.c_contiguous or (self.requires_grad and grad_enabled()):
        if name == "int64" or index._array.ndim <= a.ndim:
            return index_tensors(self, [index], (0,))
        return _getitem(self, index)
    a = a[index._array] if name == "bool" else copies.take(a, index._array, 0)
    return wrap(a, tx)


def _getitem(self: Any, index: Any) -> Any:
    """``self[index]``, every kind of tensor and index: the view first, then ``index`` with what is left."""
    if _active or not self._type.fast or not _all_fast(index):
        special = _find_special(self, index)
        if special and overrides.has_torch_function(special):
            return overrides.handle_torch_function(getitem, special, self, index)
    elif type(index) is tuple and (quick := _only_tensors(self, index)) is not None:
        return index_tensors(self, *quick)
    items, tensors, dims = parse(self, index)
    if tensors:
        return index_tensors(getitem(self, items) if items else self, tensors, dims)
    out = interpret(_record, (self, items), {})
    node: Any = out._node
    if type(node) is _record.node_class:
        node.__class__ = _alias if index is ... else _node_class(
            items if type(index) is tuple or len(items) != 1 else items[0], tuple(self.shape))
        node.params, node.shapes = items, node.shapes[0][0]      # type: ignore[attr-defined]
    return out


def _only_tensors(self: Any, index: tuple) -> tuple[list, tuple] | None:
    """(tensors, their dimensions) of an index of int64 tensors, full slices and an Ellipsis; None for any other."""
    tensors, dims = [], []
    d, n = 0, self._array.ndim
    left = n - len(index) + 1                 # what an Ellipsis stands for; -1 once it is used up
    for item in index:
        if type(item) is Tensor and item._type.dtype is int64 and item._array.ndim:
            tensors.append(item)
            dims.append(d)
            d += 1
        elif type(item) is slice and item == _full:
            d += 1
        elif item is ... and left >= 0:
            d += left
            left = -1
        else:
            return None
    return (tensors, tuple(dims)) if tensors and d <= n else None


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


getitem.__name__ = getitem.__qualname__ = "__getitem__"
getitem = calls.getitem(getitem, _node_class, _select, _slice)
_record.public = getitem
Tensor.__getitem__ = getitem                                            # type: ignore[attr-defined]


# ---------------------------------------------------------------- assignment

def setitem(self: Any, index: Any, value: Any) -> None:
    """``self[index] = value``: converts and broadcasts ``value`` to the places that ``index`` names.

    >>> x = torch.zeros(3)
    >>> x[1:] = torch.tensor([4.0, 5.0])
    >>> x
    tensor([0., 4., 5.])
    """
    if not _active:
        try:
            if _set_plainly(self, index, value):
                return
        except (IndexError, TypeError, ValueError, AttributeError, OverflowError):
            pass  # the complete path does it again, and says what is wrong
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
    if not isinstance(value, Tensor):
        value = _as_value(self, value)
    if index is False:
        return
    items, tensors, dims = parse(self, None if index is True else index)
    target = self
    whole = _takes_all(items, tuple(self.shape))
    if not whole:
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
        if whole and value.dim() == 0 and not value.is_meta:
            target.fill_(value)
            return
        value = value.expand(target.shape)
    target.copy_(value)                              # which refuses a value that shares memory with the target


def _takes_all(items: tuple, shape: tuple) -> bool:
    """Whether a basic index names everything as it is: what is assigned goes to the tensor then, not to a view."""
    return len(items) <= len(shape) and all(
        type(i) is slice and not i.start and (i.stop is None or i.stop >= n) and i.step in (None, 1)
        for i, n in zip(items, shape, strict=False))


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


def _delitem(self: Any, index: Any) -> None:
    raise TypeError("Tensor does not support deleting items")


setitem.__name__ = setitem.__qualname__ = "__setitem__"
Tensor.__setitem__ = setitem                                            # type: ignore[attr-defined]
Tensor.__delitem__ = _delitem                                           # type: ignore[attr-defined]
