"""UntypedStorage: the bytes that tensors view."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from flowtorch import devices, dtypes
from flowtorch.devices import device as Device
from flowtorch.dtypes import dtype as DType
from flowtorch.storage_memory import SharedMap, address, byte, detached, host, listing, mapped, shared_map_of, wrapped
from flowtorch.tensor import owner_of, wrap

S = TypeVar("S", bound="StorageBase")

CONVERSIONS = {
    "double": dtypes.float64,
    "float": dtypes.float32,
    "half": dtypes.float16,
    "long": dtypes.int64,
    "int": dtypes.int32,
    "short": dtypes.int16,
    "char": dtypes.int8,
    "byte": dtypes.uint8,
    "bool": dtypes.bool_,
    "bfloat16": dtypes.bfloat16,
    "complex_double": dtypes.complex128,
    "complex_float": dtypes.complex64,
    "float8_e5m2": dtypes.float8_e5m2,
    "float8_e4m3fn": dtypes.float8_e4m3fn,
    "float8_e5m2fnuz": dtypes.float8_e5m2fnuz,
    "float8_e4m3fnuz": dtypes.float8_e4m3fnuz,
}


class StorageBase:
    """What both kinds of storage can do, given ``device``, ``clone``, ``to`` and ``tolist``."""

    __slots__ = ("__weakref__",)

    device: Any
    is_sparse = False

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    def get_device(self) -> int:
        """The index of the device, -1 on the CPU."""
        return -1 if self.device.type == "cpu" else self.device.index or 0

    def is_pinned(self, device: Any = None) -> bool:
        """Whether the memory is page-locked."""
        return False

    def pin_memory(self: S, device: Any = None) -> S:
        """Return the storage itself: host memory is not page-locked here."""
        return self

    def resizable(self) -> bool:
        """Whether ``resize_`` can work: not while tensors view the memory."""
        return False

    def clone(self: S) -> S:
        """A copy in new memory."""
        raise NotImplementedError

    def to(self: S, *, device: Any, non_blocking: bool = False) -> S:
        """The same data on a device; itself when it is there already."""
        raise NotImplementedError

    def tolist(self) -> list:
        """The elements as a list of numbers."""
        raise NotImplementedError

    def cpu(self: S) -> S:
        """The same data on the CPU."""
        return self.to(device="cpu")

    def cuda(self: S, device: Any = None, non_blocking: bool = False) -> S:
        """The same data on a GPU."""
        return self.to(device="cuda" if device is None else devices.device(device))

    def __copy__(self: S) -> S:
        return self.clone()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def __reduce__(self) -> tuple:
        from flowtorch.serialization import save

        stream = io.BytesIO()
        save(self, stream)
        return _load_from_bytes, (stream.getvalue(),)

    def _to(self, dtype: DType) -> Any:
        raise NotImplementedError


def _load_from_bytes(data: bytes) -> Any:
    """Rebuild a storage that was pickled outside a checkpoint."""
    from flowtorch.serialization import load

    return load(io.BytesIO(data), weights_only=False)


_load_from_bytes.__module__ = "flowtorch.storage"  # the name in pickles


def _conversion(dtype: DType) -> Any:
    def convert(self: Any) -> Any:
        return self._to(dtype)

    convert.__doc__ = f"The elements converted to {dtype}."
    return convert


for _name, _dtype in CONVERSIONS.items():
    setattr(StorageBase, _name, _conversion(_dtype))


class UntypedStorage(StorageBase):
    """A run of bytes on one device. Slices and the tensors made from it share its memory."""

    __slots__ = ("_bytes", "device", "filename")
    __module__ = "flowtorch.storage"

    def __init__(self, data: int | Sequence[int] = 0, *, device: Any = None) -> None:
        self.device = devices.resolve(device)
        self.filename: str | None = None
        if not isinstance(data, (int, np.integer)):
            self._bytes: Any = np.array([byte(item, data) for item in data], np.uint8)
        elif data < 0:
            raise RuntimeError(f"UntypedStorage(): the size must not be negative, got {data}")
        elif self.device.type == "meta":
            # A size without memory: every one of its bytes is the same byte.
            self._bytes = np.broadcast_to(np.zeros(1, np.uint8), int(data))
        else:
            self._bytes = np.empty(int(data), np.uint8)
        if self.device.type == "cuda":
            self._bytes = _on_device(self._bytes, self.device)

    @classmethod
    def _around(cls, array: Any, device: Device = devices.cpu) -> UntypedStorage:
        """The storage whose memory is the flat uint8 array ``array``."""
        self = object.__new__(cls)
        self._bytes, self.device, self.filename = array, device, None
        return self

    def nbytes(self) -> int:
        """The number of bytes."""
        return int(self._bytes.size)

    size = __len__ = nbytes

    def element_size(self) -> int:
        """The size of an element: a byte."""
        return 1

    def data_ptr(self) -> int:
        """The address of the first byte; 0 for storages without memory."""
        return 0 if self.device.type == "meta" or not self._bytes.size else address(self._bytes)

    @property
    def _cdata(self) -> tuple[int, int]:
        """An identity: equal for two objects exactly when they are the same memory."""
        return (self.data_ptr() or id(self._bytes), self.nbytes())

    def is_shared(self) -> bool:
        """Whether other processes can see the memory."""
        return self.device.type == "cuda" or shared_map_of(self._bytes) is not None

    def untyped(self) -> UntypedStorage:
        """Return the storage itself."""
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntypedStorage) and self._cdata == other._cdata

    def __hash__(self) -> int:
        return hash(self._cdata)

    def __repr__(self) -> str:
        head = f"[torch.storage.UntypedStorage(device={self.device}) of size {len(self)}]"
        return listing(self.tolist() if self.device.type != "meta" else ["..."], head)

    def __getitem__(self, index: int | slice) -> Any:
        if self.device.type == "meta":
            raise NotImplementedError("Not available for 'meta' device type")
        if not isinstance(index, slice):
            return int(self._bytes[wrapped(index, self)])
        start, stop, step = index.indices(len(self))
        if step != 1:
            raise RuntimeError(f"Trying to slice with a step of {step}, but only a step of 1 is supported")
        return UntypedStorage._around(detached(self._bytes[start:stop]), self.device)

    def __setitem__(self, index: int | slice, value: int) -> None:
        self._bytes[index if isinstance(index, slice) else wrapped(index, self)] = value

    def tolist(self) -> list[int]:
        """The bytes as a list of numbers."""
        return host(self._bytes).tolist()

    def fill_(self, value: int) -> UntypedStorage:
        """Set every byte."""
        self._bytes[...] = value
        return self

    def copy_(self, source: Any, non_blocking: bool | None = None) -> UntypedStorage:
        """Copy the bytes of another storage of the same size."""
        source = source.untyped()
        if len(source) != len(self):
            raise RuntimeError(f"size does not match, self was {len(self)} bytes but src was {len(source)} bytes")
        self._bytes[...] = _on_device(source._bytes, self.device)
        return self

    def byteswap(self, dtype: DType) -> None:
        """Reverse the bytes of each element of a dtype, in place (of each part, for complex types)."""
        width = dtype.itemsize // 2 if dtype.is_complex else dtype.itemsize
        if width > 1:
            whole = self._bytes[: len(self) // width * width].reshape(-1, width)
            whole[...] = whole[:, ::-1].copy()

    def resize_(self, size: int) -> UntypedStorage:
        """Change the size; possible only to the size it has, since tensors hold its memory."""
        if size != len(self):
            raise NotImplementedError(
                f"resize_ from {len(self)} to {size} bytes: tensors that view a storage keep its memory, "
                "so a storage cannot change its size here; make a new tensor instead"
            )
        return self

    def clone(self) -> UntypedStorage:
        """A copy in new memory."""
        return UntypedStorage._around(self._bytes.copy(), self.device)

    def __deepcopy__(self, memo: dict) -> UntypedStorage:
        # Views of one memory are different objects: they find each other's copy by the memory's identity.
        copies = memo.setdefault("torch", {})
        key = self._cdata
        if key not in copies:
            copies[key] = self.clone()
        return copies[key]

    def to(self, *, device: Any, non_blocking: bool = False) -> UntypedStorage:
        """The same bytes on a device; itself when it is there already."""
        target = devices.resolve(device)
        if target == self.device:
            return self
        if target.type == "meta":
            return UntypedStorage(len(self), device=target)
        return UntypedStorage._around(_on_device(self._bytes, target), target)

    def type(self, dtype: Any = None, non_blocking: bool = False) -> str:
        """The name of the class."""
        if dtype is not None:
            raise NotImplementedError("UntypedStorage.type: conversion is not supported, use a tensor")
        return "torch.storage.UntypedStorage"

    def share_memory_(self) -> UntypedStorage:
        """Refuse unless shared already: the tensors over this memory could not follow it."""
        if not self.is_shared():
            raise NotImplementedError(
                "share_memory_ on a storage would leave behind the tensors that view it; "
                "call Tensor.share_memory_() or UntypedStorage._new_shared(nbytes)"
            )
        return self

    @classmethod
    def _new_shared(cls, size: int, *, device: Any = "cpu") -> UntypedStorage:
        """A new storage whose memory forked processes share."""
        return cls._around(np.frombuffer(SharedMap.new(size), np.uint8, size))

    @classmethod
    def from_file(cls, filename: str | os.PathLike, shared: bool = False, nbytes: int = 0) -> UntypedStorage:
        """Map a file's bytes into memory; ``shared`` creates or extends it and writes changes back."""
        name = os.fspath(filename)
        with open(name, "a+b" if shared else "rb") as file:
            present = file.seek(0, io.SEEK_END)
            if shared and present < nbytes:
                file.truncate(nbytes)
                present = nbytes
        if nbytes > present:
            raise RuntimeError(f"unable to mmap {nbytes} bytes from file <{name}>: it has {present} bytes")
        self = cls._around(mapped(name, shared, nbytes or present))
        if shared:
            self.filename = name
        return self

    @classmethod
    def from_buffer(
        cls,
        buffer: Any,
        byte_order: str | None = None,
        count: int = -1,
        offset: int = 0,
        dtype: DType = dtypes.uint8,
    ) -> UntypedStorage:
        """Copy part of a bytes-like object; elements of ``dtype`` in a foreign ``byte_order`` are swapped."""
        view = memoryview(buffer).cast("B")
        room, width = len(view) - offset, dtype.itemsize
        nbytes = room if count < 0 else count * width
        if byte_order is None and width > 1:
            raise ValueError(f"from_buffer: byte_order must be given for elements of {width} bytes")
        if byte_order not in (None, "native", "big", "little"):
            raise ValueError(f"invalid byte_order '{byte_order}' (expected 'big', 'little', or 'native')")
        if offset < 0 or room < 0:
            raise ValueError(f"offset must be non-negative and no greater than buffer length ({len(view)})")
        if nbytes % width:
            raise ValueError(f"buffer size ({room}) must be a multiple of element size ({width})")
        if nbytes > room:
            raise ValueError(f"buffer has only {room} elements after offset {offset}, not {count} of {width}")
        self = cls._around(np.frombuffer(view[offset : offset + nbytes], np.uint8).copy())
        if byte_order not in (None, "native", sys.byteorder):
            self.byteswap(dtype)
        return self

    def _to(self, dtype: DType) -> Any:
        from flowtorch.storage import TypedStorage

        return TypedStorage(wrap_storage=self, dtype=dtypes.uint8, _internal=True)._to(dtype)


def storage_of(tensor: Any) -> UntypedStorage:
    """The storage that a tensor views: all the bytes that its memory's owner has."""
    if tensor.device.type == "meta":
        extent = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True)) + 1
        return UntypedStorage(extent * tensor.itemsize if tensor.numel() else 0, device=tensor.device)
    owner = owner_of(tensor._array)
    flat = owner.reshape(-1) if owner.flags.c_contiguous else owner.ravel(order="K")
    return UntypedStorage._around(flat.view(np.uint8), tensor.device)


def _on_device(array: Any, device: Device) -> Any:
    if device.type == "cpu":
        return np.array(host(array))
    moved: Any = wrap(host(array))
    return moved.to(device)._array
