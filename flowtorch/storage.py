"""Storages: the flat memory that tensors view, as bytes (UntypedStorage) or as elements (TypedStorage)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.devices import device as Device
from flowtorch.dtypes import dtype as DType
from flowtorch.storage_memory import array_over, detached, elements, host, listing, numbers, wrapped
from flowtorch.storage_untyped import StorageBase, UntypedStorage, _load_from_bytes, storage_of

__all__ = [
    "StorageBase",
    "TypedStorage",
    "UntypedStorage",
    "_load_from_bytes",
    "array_over",
    "detached",
    "is_storage",
    "storage_of",
]

STORAGE_DTYPES: dict[str, DType] = {
    "DoubleStorage": dtypes.float64,
    "FloatStorage": dtypes.float32,
    "HalfStorage": dtypes.float16,
    "LongStorage": dtypes.int64,
    "IntStorage": dtypes.int32,
    "ShortStorage": dtypes.int16,
    "CharStorage": dtypes.int8,
    "ByteStorage": dtypes.uint8,
    "BoolStorage": dtypes.bool_,
    "BFloat16Storage": dtypes.bfloat16,
    "ComplexDoubleStorage": dtypes.complex128,
    "ComplexFloatStorage": dtypes.complex64,
}
STORAGE_NAMES = {dtype: name for name, dtype in STORAGE_DTYPES.items()}


class TypedStorage(StorageBase):
    """A storage seen as elements of one dtype."""

    __slots__ = ("_untyped_storage", "dtype")

    def __init__(
        self,
        data: int | Sequence = 0,
        *,
        wrap_storage: UntypedStorage | None = None,
        dtype: DType | None = None,
        device: Any = None,
        _internal: bool = False,
    ) -> None:
        if not _internal:
            _warn_typed_storage_removal()
        self.dtype = dtypes.get_default_dtype() if dtype is None else dtype
        if not isinstance(self.dtype, DType):
            raise TypeError(f"TypedStorage: Argument 'dtype' must be torch.dtype, not {type(dtype)}")
        if wrap_storage is not None:
            if not isinstance(wrap_storage, UntypedStorage):
                kind = type(wrap_storage)
                raise TypeError(f"TypedStorage: 'wrap_storage' must be UntypedStorage, but got {kind}")
            if dtype is None:
                raise RuntimeError("TypedStorage: Argument 'dtype' must be specified")
            self._untyped_storage = wrap_storage
        elif isinstance(data, (int, np.integer)):
            self._untyped_storage = UntypedStorage(int(data) * self.dtype.itemsize, device=device)
        elif isinstance(data, Sequence):
            array = elements(data, self.dtype).view(np.uint8)
            self._untyped_storage = UntypedStorage._around(array).to(device=device or "cpu")
        else:
            raise TypeError(f"TypedStorage: Argument type not recognized: {type(data)}")

    @property
    def _array(self) -> Any:
        width = self.dtype.itemsize
        array = self._untyped_storage._bytes
        return array[: array.size // width * width].view(self.dtype.numpy)

    @property
    def device(self) -> Device:  # type: ignore[override]
        return self._untyped_storage.device

    @property
    def _cdata(self) -> tuple[int, int]:
        return self._untyped_storage._cdata

    @property
    def filename(self) -> str | None:
        return self._untyped_storage.filename

    def untyped(self) -> UntypedStorage:
        """The bytes underneath."""
        return self._untyped_storage

    def _size(self) -> int:
        return self._untyped_storage.nbytes() // self.dtype.itemsize

    size = __len__ = _size

    def nbytes(self) -> int:
        """The number of bytes."""
        return self._untyped_storage.nbytes()

    def element_size(self) -> int:
        """The bytes of one element."""
        return self.dtype.itemsize

    def data_ptr(self) -> int:
        """The address of the first element."""
        return self._untyped_storage.data_ptr()

    _data_ptr = data_ptr

    def is_shared(self) -> bool:
        """Whether other processes can see the memory."""
        return self._untyped_storage.is_shared()

    def share_memory_(self) -> TypedStorage:
        """Refuse unless shared already, as UntypedStorage does."""
        self._untyped_storage.share_memory_()
        return self

    def resize_(self, size: int) -> TypedStorage:
        """Change the number of elements; see UntypedStorage.resize_."""
        self._untyped_storage.resize_(size * self.dtype.itemsize)
        return self

    def pickle_storage_type(self) -> str:
        """The name under which checkpoints know storages of this dtype."""
        try:
            return STORAGE_NAMES[self.dtype]
        except KeyError:
            raise KeyError(f"dtype {self.dtype} is not recognized") from None

    _pickle_storage_type = pickle_storage_type

    def type(self, dtype: Any = None, non_blocking: bool = False) -> str:
        """The name of the legacy class, such as ``torch.FloatStorage``."""
        if dtype is not None:
            raise NotImplementedError("TypedStorage.type: conversion is not supported, use a tensor")
        module = "torch" if self.device.type == "cpu" else f"torch.{self.device.type}"
        return f"{module}.{self.pickle_storage_type()}"

    def __getitem__(self, index: int) -> Any:
        if isinstance(index, slice):
            raise RuntimeError("slices are only supported in UntypedStorage.__getitem__")
        return numbers(self._array[wrapped(index, self)])

    def __setitem__(self, index: int | slice, value: Any) -> None:
        self._array[index if isinstance(index, slice) else wrapped(index, self)] = value

    def tolist(self) -> list:
        """The elements as a list of numbers."""
        return numbers(host(self._array))

    def fill_(self, value: Any) -> TypedStorage:
        """Set every element."""
        self._array[...] = value
        return self

    def copy_(self, source: Any, non_blocking: bool | None = None) -> TypedStorage:
        """Copy the elements of another storage, converting them."""
        if isinstance(source, TypedStorage) and source.dtype is not self.dtype:
            self._array[...] = source._array.astype(self.dtype.numpy)
        else:
            self._untyped_storage.copy_(source)
        return self

    def _like(self, untyped: UntypedStorage) -> TypedStorage:
        return TypedStorage(wrap_storage=untyped, dtype=self.dtype, _internal=True)

    def clone(self) -> TypedStorage:
        """A copy in new memory."""
        return self._like(self._untyped_storage.clone())

    def __deepcopy__(self, memo: dict) -> TypedStorage:
        return self._like(self._untyped_storage.__deepcopy__(memo))

    def to(self, *, device: Any, non_blocking: bool = False) -> TypedStorage:
        """The same elements on a device."""
        return self._like(self._untyped_storage.to(device=device, non_blocking=non_blocking))

    def _to(self, dtype: DType) -> TypedStorage:
        array = self._array.astype(dtype.numpy).view(np.uint8)
        untyped = UntypedStorage._around(array, self.device)
        return TypedStorage(wrap_storage=untyped, dtype=dtype, _internal=True)

    @classmethod
    def from_buffer(
        cls, buffer: Any, byte_order: str | None = None, count: int = -1, offset: int = 0, dtype: DType | None = None
    ) -> TypedStorage:
        """Copy a bytes-like object as elements; arguments as of UntypedStorage.from_buffer."""
        dtype = dtype or getattr(cls, "_dtype", None) or dtypes.get_default_dtype()
        untyped = UntypedStorage.from_buffer(buffer, byte_order, count, offset, dtype)
        return TypedStorage(wrap_storage=untyped, dtype=dtype, _internal=True)

    _from_buffer = from_buffer

    @classmethod
    def from_file(cls, filename: str | os.PathLike, shared: bool = False, size: int = 0) -> TypedStorage:
        """Map a file of ``size`` elements into memory."""
        dtype = getattr(cls, "_dtype", None) or dtypes.get_default_dtype()
        untyped = UntypedStorage.from_file(filename, shared, size * dtype.itemsize)
        return TypedStorage(wrap_storage=untyped, dtype=dtype, _internal=True)

    def __repr__(self) -> str:
        head = f"[torch.storage.TypedStorage(dtype={self.dtype}, device={self.device}) of size {len(self)}]"
        return listing(self.tolist() if self.device.type != "meta" else ["..."], head)


class _LegacyStorageMeta(type):
    """Makes ``isinstance(storage, torch.FloatStorage)`` ask for the dtype of a TypedStorage."""

    _dtype: DType

    @property
    def dtype(cls) -> DType:
        return cls._dtype

    def __instancecheck__(cls, instance: Any) -> bool:
        return type(instance) is TypedStorage and instance.dtype is cls._dtype and not instance.is_cuda


class _LegacyStorage(TypedStorage, metaclass=_LegacyStorageMeta):
    """The base of ``torch.FloatStorage`` and its like: names for a TypedStorage of one dtype."""

    __slots__ = ()

    def __new__(cls, *args: Any, wrap_storage: UntypedStorage | None = None) -> Any:
        if cls is _LegacyStorage:
            raise RuntimeError("Only child classes of _LegacyStorage can be instantiated")
        return TypedStorage(*args, wrap_storage=wrap_storage, dtype=cls._dtype)


def _legacy_class(name: str, dtype: DType) -> type:
    doc = f"The TypedStorage of dtype {dtype}."
    body = {"__slots__": (), "__module__": "flowtorch", "__doc__": doc, "_dtype": dtype}
    return _LegacyStorageMeta(name, (_LegacyStorage,), body)


LEGACY_CLASSES: dict[str, type] = {name: _legacy_class(name, dtype) for name, dtype in STORAGE_DTYPES.items()}
globals().update(LEGACY_CLASSES)


def is_storage(obj: Any, /) -> bool:
    """Whether ``obj`` is a storage."""
    return isinstance(obj, StorageBase)


_warned = False


def _warn_typed_storage_removal(stacklevel: int = 3) -> None:
    """Say once that TypedStorage will go."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            "TypedStorage is deprecated. It will be removed in the future and UntypedStorage will be the "
            "only "
            "storage class. Use tensor.untyped_storage() instead of tensor.storage().",
            UserWarning,
            stacklevel=stacklevel,
        )
