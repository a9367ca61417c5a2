"""The memory of tensors: storages, sharing between processes, pinning, and exchange by DLPack."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from flowtorch import devices, dtypes
from flowtorch.array.place import on_host
from flowtorch.array.tensortype import tensor_type
from flowtorch.ops.op import composite
from flowtorch.tensor import Tensor, wrap


@composite(namespace="Tensor", method=True)
def untyped_storage(self):
    """The bytes that the tensor views."""
    from flowtorch.storage import storage_of

    return storage_of(self)


@composite(namespace="Tensor", method=True)
def _typed_storage(self):
    """The elements that the tensor views."""
    from flowtorch.storage import TypedStorage, storage_of

    return TypedStorage(wrap_storage=storage_of(self), dtype=self.dtype, _internal=True)


@composite(namespace="Tensor", method=True)
def storage(self):
    """The elements that the tensor views, as the deprecated TypedStorage."""
    from flowtorch.storage import _warn_typed_storage_removal

    _warn_typed_storage_removal()
    return _typed_storage(self)


@composite(namespace="Tensor", method=True)
def storage_type(self):
    """The class of the tensor's storage."""
    from flowtorch.storage import TypedStorage

    return TypedStorage


@composite(namespace="Tensor", method=True)
def set_(self, source=None, storage_offset=0, size=None, stride=None):
    """Make the tensor view other memory: that of a tensor, or part of a storage."""
    from flowtorch.storage import TypedStorage, UntypedStorage, array_over

    if isinstance(source, (Tensor, TypedStorage)) and source.dtype is not self.dtype:
        raise RuntimeError(
            f"Could not set tensor of type {_scalar_name(source.dtype)} to a tensor of type {_scalar_name(self.dtype)}"
        )
    if self.requires_grad and self.is_leaf and _recording():
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation. Change it under "
                           "torch.no_grad(), or change a clone.")
    if isinstance(source, Tensor) and size is None:
        array = source._array
    else:
        untyped = UntypedStorage() if source is None else source
        if isinstance(source, Tensor):
            untyped = source.untyped_storage()  # type: ignore[attr-defined]
        untyped = untyped.untyped()
        size = (untyped.nbytes() // self.itemsize - storage_offset,) if size is None else tuple(size)
        array = array_over(untyped._bytes, self.dtype, storage_offset, size, stride or _contiguous(size))
    self._array = array
    self._bump_version()
    return self


def _recording() -> bool:
    from flowtorch.autograd.mode import is_grad_enabled

    return is_grad_enabled()


def _contiguous(size: tuple) -> tuple[int, ...]:
    strides = [1]
    for n in reversed(size[1:]):
        strides.append(strides[-1] * n)
    return tuple(reversed(strides))[: len(size)]


SCALAR_NAMES = {"float64": "double", "float16": "c10::Half", "int64": "long int", "int16": "short", "int32": "int"}


def _scalar_name(dtype: Any) -> str:
    return SCALAR_NAMES.get(dtype.name, dtype.name.removesuffix("32"))


@composite(namespace="Tensor", method=True)
def is_set_to(self, tensor):
    """Whether two tensors are the same view of the same memory."""
    return (
        self.untyped_storage() == tensor.untyped_storage()
        and self.storage_offset() == tensor.storage_offset()
        and self.shape == tensor.shape
        and self.stride() == tensor.stride()
    )


@composite(namespace="Tensor", method=True)
def is_shared(self):
    """Whether other processes can see the memory."""
    from flowtorch.storage import storage_of

    return self.is_cuda or storage_of(self).is_shared()


@composite(namespace="Tensor", method=True)
def share_memory_(self):
    """Move the tensor to memory that forked processes share. Other tensors over its old memory stay there."""
    from flowtorch.storage import UntypedStorage, storage_of

    old = storage_of(self)
    if not self.is_cuda and not old.is_shared():
        shared = UntypedStorage._new_shared(old.nbytes())
        shared.copy_(old)
        place = (self.storage_offset(), tuple(self.shape), self.stride())
        with_new_memory = wrap(np.empty(0, self.dtype.numpy))
        set_(with_new_memory, shared, *place)
        self._array = with_new_memory._array
    return self


@composite(namespace="Tensor", method=True)
def is_pinned(self, device=None):
    """Whether the memory is page-locked."""
    if not isinstance(self, Tensor):
        raise TypeError(f"descriptor 'is_pinned' for 'torch._C.TensorBase' objects doesn't apply to a "
                        f"'{type(self).__name__}' object")
    if "flowtorch.array.pinned" not in sys.modules or not self._type.plain or self._type.device.type != "cpu":
        return False
    from flowtorch.array import pinned

    return pinned.block(self._array) is not None


@composite(namespace="Tensor", method=True)
def pin_memory(self, device=None):
    """The tensor in page-locked memory, a copy if it is elsewhere; refused where no device would gain by it."""
    import flowtorch

    cuda = getattr(flowtorch, "cuda", None)
    if cuda is None or not cuda.is_available():
        raise RuntimeError("Cannot access accelerator device when none is available.")
    if self.device.type != "cpu" or not self._type.plain:
        raise RuntimeError(f"cannot pin '{self.type()}' only dense CPU tensors can be pinned")
    from flowtorch.array import pinned

    return self if self.is_pinned() else wrap(pinned.pinned(self._array), self._type)


@composite(namespace="Tensor", method=True)
def __dlpack__(self, *, stream=-1, max_version=None, dl_device=None, copy=None):
    """A DLPack capsule over the tensor's memory, for other libraries."""
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if self.layout is dtypes.strided and self.device.type == "cuda" and not on_host(self._array):
        return self._array.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)
    if self.layout is not dtypes.strided or self.device.type != "cpu":
        raise BufferError(f"Can't export a {self.layout} tensor on {self.device} by DLPack")
    from flowtorch.utils.dlpack import offered

    return offered(self._array, self.dtype, max_version=max_version, dl_device=dl_device, copy=copy)


def _cuda_array_interface(self):
    """Where the elements lie on the device, for other libraries (Numba's protocol, version 2)."""
    if self.device.type != "cuda" or self.layout is not dtypes.strided:
        raise AttributeError(f"Can't get __cuda_array_interface__ on non-CUDA or sparse tensor type: {self.type()}; "
                             "use Tensor.cuda() or Tensor.to_dense() first")
    if self.requires_grad:
        raise RuntimeError("Can't get __cuda_array_interface__ on Variable that requires grad. If gradients aren't "
                           "required, use var.detach() to get Variable that doesn't require grad.")
    array = self._array
    strides = None if array.flags.c_contiguous else tuple(array.strides)
    return {"typestr": array.dtype.str, "shape": tuple(array.shape), "strides": strides, "version": 2,
            "data": (self.data_ptr() if array.size else 0, False)}


Tensor.__cuda_array_interface__ = property(_cuda_array_interface)                  # type: ignore[attr-defined]


@composite(namespace="Tensor", method=True)
def __dlpack_device__(self):
    """(kind, index) of the device, as DLPack counts them."""
    from flowtorch.utils.dlpack import DLDeviceType

    if self.device.type == "cuda":
        return DLDeviceType.kDLCUDA, self.device.index or 0
    return DLDeviceType.kDLCPU, 0


@composite
def from_dlpack(ext_tensor, *, device=None, copy=None):
    """A tensor over the memory of another library's array (or of a DLPack capsule), not copied unless asked for."""
    from flowtorch.utils.dlpack import exchanged

    array = exchanged(ext_tensor, copy)
    if not on_host(array):
        made = wrap(array, tensor_type(dtypes.from_numpy_dtype(array.dtype), devices.device("cuda", 0)))
        return made if device is None else made.to(device)                   # type: ignore[attr-defined]
    if any(stride < 0 for stride in array.strides):
        raise RuntimeError("from_dlpack: arrays with negative strides are not supported, copy the array first")
    made = wrap(array, tensor_type(dtypes.from_numpy_dtype(array.dtype)))
    return made if device is None or devices.device(device).type == "cpu" else made.to(device)  # type: ignore[attr-defined]
