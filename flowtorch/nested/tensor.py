"""Jagged tensors: a batch of tensors that differ in one dimension, end to end in one dense tensor of values."""
from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.array.size import Size, make_size
from flowtorch.array.tensortype import tensor_type
from flowtorch.autograd.mode import grad_mode
from flowtorch.autograd.node import edge
from flowtorch.sparse.record import link
from flowtorch.sparse.tensor import LayoutTensor, hollow
from flowtorch.tensor import Tensor, shared_counter, wrap

_new: Any = object.__new__
_numbers = itertools.count(1)
JAGGED = dtypes.LAYOUTS["jagged"]


class NestedInt(int):
    """The size of a ragged dimension: equal only to that of tensors with the same offsets. Its value is the longest."""

    number: int

    def __new__(cls, longest: int) -> NestedInt:
        self = int.__new__(cls, longest)
        self.number = next(_numbers)
        return self

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    def __hash__(self) -> int:
        return hash((NestedInt, self.number))

    def __repr__(self) -> str:
        return f"j{self.number}"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)


class Ragged:
    """The ragged dimension of tensors that share it: where each piece begins and how long it is."""

    def __init__(self, offsets: Tensor, lengths: Tensor | None) -> None:
        self.offsets, self.lengths = offsets, lengths
        starts = offsets._array.astype(np.int64)
        self.starts = starts[:-1]
        self.sizes = np.diff(starts) if lengths is None else lengths._array.astype(np.int64)
        self.longest = int(self.sizes.max()) if len(self.sizes) else 0
        self.size = NestedInt(self.longest)

    @property
    def owners(self) -> Tensor:
        """The piece that each row of the values belongs to."""
        return wrap(np.repeat(np.arange(len(self.sizes)), self.sizes))

    @property
    def places(self) -> Tensor:
        """Where in its piece each row of the values stands."""
        return wrap(np.arange(int(self.sizes.sum())) - np.repeat(np.cumsum(self.sizes) - self.sizes, self.sizes))


def ragged_of(offsets: Tensor, lengths: Tensor | None = None) -> Ragged:
    """The Ragged of an offsets tensor, one object as long as the tensor lives."""
    known = offsets.__dict__.get("_ragged")
    if known is None or known.lengths is not lengths:
        known = offsets.__dict__["_ragged"] = Ragged(offsets, lengths)
    return known


class NestedTensor(LayoutTensor):
    """A batch of tensors with one dimension of varying size: rows of ``_val`` from ``_ragged.starts`` on."""

    __slots__ = ("_at", "_ragged", "_val")

    backend = "NestedTensor"
    is_nested = True
    layout = property(lambda self: JAGGED)                               # type: ignore[assignment]

    _at: int                # which dimension is ragged
    _ragged: Ragged
    _val: Tensor

    def __flowtorch_interpret__(self, op: Any, values: list, out: Any, inplace: bool = False) -> Any:
        from flowtorch.nested import dispatch

        return dispatch.run(op, values, out, inplace)

    def __flowtorch_detach__(self) -> Any:
        t = make(self._val, self._ragged, self._at)
        t._counter = shared_counter(self)
        return t

    def __flowtorch_like__(self, maker: Any, args: tuple, options: dict) -> Any:
        requires_grad = options.pop("requires_grad", False)
        result = make(maker(self._val, *args, **options), self._ragged, self._at)
        if requires_grad:
            result.requires_grad = True
        return result

    def __flowtorch_drawn__(self, draw: Any) -> Any:
        return make(draw(self._val), self._ragged, self._at)

    def __flowtorch_new__(self, maker: Any, shape: tuple, options: dict) -> Any:
        raise RuntimeError(f"{maker.__name__}() not supported for nested tensors")

    @property
    def shape(self) -> Size:
        sizes = list(self._array.shape)
        sizes[self._at] = self._ragged.size
        return make_size(tuple(sizes))

    def size(self, dim: int | None = None) -> Any:
        shape = self.shape
        if dim is None:
            return shape
        n = len(shape)
        if not -n <= dim < n:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
        return shape[dim]

    def numel(self) -> int:
        return int(self._ragged.sizes.sum()) * (self._val.numel() // max(self._val._array.shape[self._at - 1], 1))

    nelement = numel

    @property
    def _ragged_idx(self) -> int:
        return self._at

    @property
    def _lengths(self) -> Any:
        return self._ragged.lengths

    @property
    def _values(self) -> Any:
        return self._val.detach()                                        # type: ignore[attr-defined]

    @property
    def _offsets(self) -> Any:
        return self._ragged.offsets

    @property
    def _max_seqlen(self) -> int:
        return self._ragged.longest

    @property
    def _min_seqlen(self) -> int:
        return int(self._ragged.sizes.min())

    def _get_max_seqlen(self) -> int:
        """The longest piece."""
        return self._max_seqlen

    def _get_min_seqlen(self) -> int:
        """The shortest piece."""
        return self._min_seqlen

    def values(self) -> Tensor:
        """The pieces end to end; gradients flow through."""
        return values_of(self)

    def offsets(self) -> Tensor:
        """Where each piece begins, and where the last one ends."""
        return self._ragged.offsets

    def lengths(self) -> Any:
        """The lengths of the pieces where they do not fill the values, else None."""
        return self._ragged.lengths

    def to_padded_tensor(self, padding: float, output_size: Any = None) -> Tensor:
        """A dense tensor of the longest size (or ``output_size``) with ``padding`` after shorter pieces."""
        from flowtorch.nested.padding import padded

        return padded(self, padding, output_size)

    def is_contiguous(self, memory_format: Any = None) -> bool:
        return self._ragged.lengths is None and self._at == 1 and self._val.is_contiguous()

    def stride(self, dim: int | None = None) -> Any:
        strides = [0] * self._array.ndim
        strides[1:] = self._val.stride()
        strides[0] = int(self._ragged.size) * strides[self._at]
        return tuple(strides) if dim is None else strides[dim]

    @property
    def nbytes(self) -> int:
        return self.numel() * self.element_size()

    def item(self) -> Any:
        if self.numel() != 1:
            raise RuntimeError(f"a Tensor with {self.numel()} elements cannot be converted to Scalar")
        return self._val.item()

    def numpy(self, *, force: bool = False) -> Any:
        raise RuntimeError(".numpy() is not supported for tensor subclasses.")

    def tolist(self) -> Any:
        raise RuntimeError(".tolist() is not supported for tensor subclasses, got NestedTensor")

    def fill_(self, value: Any) -> Any:
        self._val.fill_(value)                                           # type: ignore[attr-defined]
        self._bump_version()
        return self

    def zero_(self) -> Any:
        return self.fill_(0)

    def __getitem__(self, index: Any) -> Any:
        from flowtorch.nested.dispatch import getitem

        return getitem(self, index)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuild, (self._values, self._ragged.offsets, self._ragged.lengths, self._at, self.requires_grad)

    def type(self, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
        if dtype is None:
            return f"torch.{self.dtype.label}Tensor"
        return Tensor.type(self, dtype, *args, **kwargs)                 # type: ignore[attr-defined]

    def __repr__(self, *, tensor_contents: Any = None) -> str:        # type: ignore[override]
        grad = ", requires_grad=True" if self.requires_grad else ""
        if self._node is not None:
            grad = f", grad_fn=<{self._node.name()} object at {id(self._node):#x}>"
        return (f"NestedTensor(size={tuple(self.shape)}, offsets={self._ragged.offsets}{grad}, "
                f"contiguous={self.is_contiguous()})")


def make(values: Tensor, ragged: Ragged, at: int) -> NestedTensor:
    """A jagged tensor over these values, without history."""
    t = _new(NestedTensor)
    shape = list(values._array.shape)
    shape[at - 1] = ragged.longest
    source = values._type
    t._array = hollow((len(ragged.sizes), *shape), source.dtype)
    t._type = tensor_type(source.dtype, source.device, False, grad_mode.inference)
    t._requires_grad, t._node, t._grad, t._view, t._counter = False, None, None, None, 0
    t._val = values.detach() if values.requires_grad else values         # type: ignore[attr-defined]
    t._ragged, t._at = ragged, at
    return t


def build(values: Tensor, ragged: Ragged, at: int = 1, label: str = "NestedViewFromJaggedBackward0") -> NestedTensor:
    """A jagged tensor over these values, through which gradients reach them."""
    return link(make(values, ragged, at), label, [values], [values_of])


def values_of(t: Any) -> Tensor:
    """The values of a jagged tensor (not copied), through which gradients reach it."""
    if type(t) is not NestedTensor:
        raise RuntimeError(f"expected a nested tensor of layout torch.jagged, but got one of layout {t.layout}")
    values = t._values
    if edge(t) is None:
        return values
    ragged, at = t._ragged, t._at
    return link(values, "NestedGetValuesBackward0", [t], [lambda g: build(g, ragged, at)])


def _rebuild(values: Tensor, offsets: Tensor, lengths: Tensor | None, at: int, requires_grad: bool) -> NestedTensor:
    t = make(values, ragged_of(offsets, lengths), at)
    if requires_grad:
        t.requires_grad = True
    return t
