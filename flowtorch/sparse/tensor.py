"""Tensors whose elements are not one strided array: what sparse layouts have in common, and the COO tensor.

Such a tensor is of a class of its own whose TensorType is not plain, so every fast path leaves it to ``interpret``,
which hands the op to ``__flowtorch_interpret__`` and there to a table of handlers. Its ``_array`` shows shape and
dtype only; reading elements of it is an error, so that no dense kernel can compute with it unnoticed.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.array.tensortype import tensor_type
from flowtorch.autograd.mode import grad_mode
from flowtorch.overrides import _disabled_torch_function_impl
from flowtorch.tensor import Tensor

_new: Any = object.__new__


class Hollow(np.ndarray):
    """The shape and dtype of a tensor that has no strided memory."""

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("this op reads strided memory, which sparse and nested tensors do not have")

    __array_function__ = __array_ufunc__
    item = tolist = astype = copy = tobytes = reshape = ravel = __array_ufunc__
    __bool__ = __float__ = __int__ = __getitem__ = __setitem__ = __array_ufunc__


def hollow(shape: Any, dtype: dtypes.dtype) -> Hollow:
    """A shape and dtype without memory."""
    return np.broadcast_to(np.zeros((), dtype.numpy), tuple(shape)).view(Hollow)


class LayoutTensor(Tensor):
    """What tensors of all sparse layouts share: no strided memory, ops by table."""

    __slots__ = ()

    level = -1                           # transforms come first
    backend, backend_name = "Sparse", "sparse"
    __torch_function__ = staticmethod(_disabled_torch_function_impl)     # type: ignore[assignment]

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return Tensor

    def __flowtorch_interpret__(self, op: Any, values: list, out: Any, inplace: bool = False) -> Any:
        from flowtorch.sparse import handlers

        return handlers.run(op, values, out, inplace)

    def __flowtorch_saved__(self) -> Any:
        return Kept(self)

    def __flowtorch_drawn__(self, draw: Any) -> Any:
        from flowtorch.sparse.handlers import unsupported

        raise unsupported("uniform_", [self])

    def __flowtorch_detach__(self) -> Any:
        raise NotImplementedError

    @property
    def data(self) -> Any:
        return self.detach()                                             # type: ignore[attr-defined]

    @data.setter
    def data(self, new: Any) -> None:
        if type(new) is not type(self):
            raise RuntimeError("Attempted to call `variable.set_data(tensor)`, but `variable` and `tensor` have "
                               "incompatible tensor type.")
        self._take(new)

    def _take(self, other: Any) -> None:
        """Become what ``other`` is, history apart."""
        self._array, self._type = other._array, other._type
        slots: tuple = type(self).__slots__
        for slot in slots:
            setattr(self, slot, getattr(other, slot))
        self._bump_version()

    def __getitem__(self, index: Any) -> Any:
        from flowtorch.sparse import indexing

        return indexing.getitem(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        from flowtorch.sparse.handlers import unsupported

        raise unsupported("index_put_", [self])

    def type(self, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
        """The legacy type name, or a conversion."""
        if dtype is None:
            return f"torch.{self.backend_name}.{self.dtype.label}Tensor"
        return Tensor.type(self, dtype, *args, **kwargs)                 # type: ignore[attr-defined]

    def fill_(self, value: Any) -> Any:
        from flowtorch.sparse.handlers import unsupported

        raise unsupported("fill_.Scalar", [self])

    def stride(self, dim: int | None = None) -> Any:
        return (0,) * self._array.ndim if dim is None else 0

    def storage_offset(self) -> int:
        return 0

    def is_contiguous(self, memory_format: Any = None) -> bool:
        return False

    def data_ptr(self) -> int:
        raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage")

    def tolist(self) -> Any:
        raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage")

    def untyped_storage(self) -> Any:
        raise NotImplementedError(f"Cannot access storage of {self.backend}TensorImpl")

    storage = _typed_storage = share_memory_ = pin_memory = untyped_storage

    def is_shared(self) -> bool:
        return False

    @property
    def nbytes(self) -> int:
        raise RuntimeError("nbytes is not defined for sparse tensors.  If you want the size of the constituent "
                           "tensors, add the nbytes of the indices and values.  If you want the size of the  "
                           "equivalent dense tensor, multiply numel() by element_size()")

    def item(self) -> Any:
        if self._array.size != 1:
            raise RuntimeError(f"a Tensor with {self._array.size} elements cannot be converted to Scalar")
        return self.detach().to_dense().item()                           # type: ignore[attr-defined]

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError(f"can't convert {self.backend} layout tensor to numpy. Use Tensor.to_dense() first.")

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.numpy()

    def __repr__(self, *, tensor_contents: Any = None) -> str:           # type: ignore[override]
        text = Tensor.__repr__(self, tensor_contents=tensor_contents)    # type: ignore[call-arg]
        return "Parameter containing:\n" + text if self._is_param else text

    def __reduce_ex__(self, protocol: Any) -> Any:
        from flowtorch.serialization.tensors import _reduce_plain

        return _reduce_plain(self.detach())                              # type: ignore[attr-defined]

    def resize_(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"resize_ is not supported on {self.layout} tensors")

    set_ = as_subclass = squeeze_ = as_strided_ = resize_as_ = resize_

    def transpose_(self, dim0: int, dim1: int) -> Any:
        """Swap two dimensions, in place."""
        return self._become(self.transpose(dim0, dim1))                  # type: ignore[attr-defined]

    swapaxes_ = swapdims_ = transpose_

    def t_(self) -> Any:
        """Swap the two dimensions, in place."""
        return self._become(self.t())                                    # type: ignore[attr-defined]

    def unsqueeze_(self, dim: int) -> Any:
        """Insert a dimension of size 1, in place."""
        return self._become(self.unsqueeze(dim))                         # type: ignore[attr-defined]

    def _become(self, result: Any) -> Any:
        self._take(result)
        if result._node is not None:
            self._node, self._requires_grad = result._node, True
        return self


class Kept:
    """A result of a sparse layout that a node keeps for its derivative, without its history."""

    __slots__ = ("shape", "value")

    def __init__(self, t: Any) -> None:
        self.value, self.shape = t.detach(), t._array.shape

    def get(self) -> Any:
        return self.value.detach()


class SparseTensor(LayoutTensor):
    """A COO tensor: one column of ``_ind`` (sparse_dim, nnz) and one slice of ``_val`` (nnz, ...) per entry."""

    __slots__ = ("_coal", "_ind", "_val")

    layout = property(lambda self: dtypes.LAYOUTS["sparse_coo"])         # type: ignore[assignment]
    is_sparse = True

    _ind: Tensor
    _val: Tensor
    _coal: bool

    def sparse_dim(self) -> int:
        """How many leading dimensions the indices stand for."""
        return self._ind._array.shape[0]

    def dense_dim(self) -> int:
        """How many trailing dimensions the values have."""
        return self._val._array.ndim - 1

    def _nnz(self) -> int:
        return self._ind._array.shape[1]

    def is_coalesced(self) -> bool:
        """Whether the entries are sorted and each place occurs once."""
        return self._coal

    def _indices(self) -> Tensor:
        return self._ind.detach()                                        # type: ignore[attr-defined]

    def _values(self) -> Tensor:
        return self._val.detach()                                        # type: ignore[attr-defined]

    def indices(self) -> Tensor:
        """The indices of a coalesced tensor."""
        if not self._coal:
            raise RuntimeError("Cannot get indices on an uncoalesced tensor, please call .coalesce() first")
        return self._indices()

    def values(self) -> Tensor:
        """The values of a coalesced tensor; gradients flow through."""
        if not self._coal:
            raise RuntimeError("Cannot get values on an uncoalesced tensor, please call .coalesce() first")
        from flowtorch.sparse.entries import values_of

        return values_of(self)

    def _coalesced_(self, flag: bool) -> Any:
        self._coal = bool(flag)
        return self

    def coalesce(self) -> Any:
        """The same tensor with sorted indices and duplicates summed."""
        from flowtorch.sparse.entries import coalesce

        return coalesce(self)

    def __flowtorch_detach__(self) -> Any:
        t = make(self._ind, self._val, self._array.shape, self._coal)
        from flowtorch.tensor import shared_counter

        t._counter = shared_counter(self)
        return t

    def zero_(self) -> Any:
        """Drop every entry."""
        from flowtorch.sparse.elementwise import zero

        return zero(self)

    def narrow_copy(self, dim: int, start: int, length: int) -> Any:
        """A copy of the ``length`` slices of ``dim`` from ``start`` on."""
        from flowtorch.sparse.shapes import narrow_copy

        return narrow_copy(self, dim, start, length)

    def __flowtorch_like__(self, maker: Any, args: tuple, options: dict) -> Any:
        name = maker.__name__
        if name not in ("zeros_like", "empty_like"):
            from flowtorch.sparse.handlers import unsupported

            raise unsupported("fill_.Scalar", [self])
        return empty(self._array.shape, self.sparse_dim(), options.get("dtype") or self.dtype,
                     options.get("requires_grad", False), options.get("device") or self.device)

    def __flowtorch_new__(self, maker: Any, shape: tuple, options: dict) -> Any:
        from flowtorch.ops.view import sizes

        if maker.__name__ not in ("new_zeros", "new_empty"):
            from flowtorch.sparse.handlers import unsupported

            raise unsupported("fill_.Scalar", [self])
        shape = sizes(shape, maker.__name__)
        return empty(shape, len(shape), options.get("dtype") or self.dtype, options.get("requires_grad", False),
                     options.get("device") or self.device)


def make(indices: Tensor, values: Tensor, shape: Any, coalesced: bool) -> SparseTensor:
    """A COO tensor of these parts, which are not checked and lose their history."""
    t = _new(SparseTensor)
    source = values._type
    t._array = hollow(shape, source.dtype)
    t._type = tensor_type(source.dtype, source.device, False, grad_mode.inference)
    t._requires_grad, t._node, t._grad, t._view, t._counter = False, None, None, None, 0
    t._ind = indices
    t._val = values.detach() if values.requires_grad else values         # type: ignore[attr-defined]
    t._coal = bool(coalesced)
    return t


def empty(shape: Any, sparse_dim: int, dtype: dtypes.dtype, requires_grad: bool = False,
          device: Any = None) -> SparseTensor:
    """A COO tensor without entries."""
    from flowtorch.tensor import wrap

    shape = tuple(shape)
    t = make(wrap(np.zeros((sparse_dim, 0), np.int64)), wrap(np.zeros((0, *shape[sparse_dim:]), dtype.numpy)), shape,
             True)
    if device is not None:
        t = t.to(device)                                                 # type: ignore[attr-defined]
    if requires_grad:
        t.requires_grad = True
    return t
