"""Flat memory as arrays: views of it, files mapped into it, numbers out of it."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from flowtorch import devices
from flowtorch.array.place import moved
from flowtorch.dtypes import dtype as DType


class SharedMap(mmap.mmap):
    """Memory that other processes see, too; with a ``descriptor`` it can be handed to any of them."""

    descriptor: int | None = None

    @classmethod
    def of(cls, descriptor: int, nbytes: int) -> SharedMap:
        """The memory behind a descriptor, which now belongs to it."""
        try:
            self = cls(descriptor, nbytes)
        except BaseException:
            os.close(descriptor)
            raise
        self.descriptor = descriptor
        return self

    @classmethod
    def new(cls, nbytes: int) -> SharedMap:
        """New memory filled with zeros; only forked processes see it where the system cannot name it."""
        size = max(nbytes, 1)
        try:
            descriptor = os.memfd_create("flowtorch")
        except (AttributeError, OSError):
            return cls(-1, size)
        os.ftruncate(descriptor, size)
        return cls.of(descriptor, size)

    def __del__(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def shared_map_of(array: Any) -> SharedMap | None:
    """The shared memory that an array lies in, None for memory of this process alone."""
    while array is not None and not isinstance(array, SharedMap):
        array = array.obj if isinstance(array, memoryview) else getattr(array, "base", None)
    return array


def detached(array: Any) -> Any:
    """The same memory as an array that counts as its own root, so that a storage can be a part of another."""
    if not isinstance(array, np.ndarray) or not array.size:
        return array.copy() if isinstance(array, np.ndarray) else array
    return np.frombuffer(memoryview(array), array.dtype)  # type: ignore[arg-type]


def array_over(memory: Any, dtype: DType, offset: int, size: Sequence[int], stride: Sequence[int]) -> Any:
    """A strided view of flat bytes, every element of which is checked to lie within them."""
    if len(size) != len(stride):
        raise RuntimeError(f"unequal size length ({len(size)}) and stride length ({len(stride)})")
    if any(n < 0 for n in size):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(size)}: {list(size)}")
    if any(s < 0 for s in stride):
        raise RuntimeError(f"as_strided: Negative strides are not supported at the moment, got strides: {list(stride)}")
    if offset < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {offset}")
    width = dtype.itemsize
    if 0 in size:
        return np.empty(size, dtype.numpy)
    needed = (offset + 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True))) * width
    if needed > memory.size:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, "
            f"and itemsize {width} requiring a storage size of {needed} are out of bounds for storage of "
            f"size {memory.size}"
        )
    if len(size) > 64:
        raise RuntimeError(f"tensors of more than 64 dimensions are not supported, got {len(size)}")
    strides = tuple(s * width for s in stride)
    if isinstance(memory, np.ndarray):
        return np.ndarray(tuple(size), dtype.numpy, memory, offset * width, strides)
    return type(memory)(tuple(size), dtype.numpy, memory.data + offset * width, strides)


def address(array: Any) -> int:
    """The address of the first byte."""
    return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr


def host(array: Any) -> np.ndarray:
    """The array on the host."""
    return moved(array, devices.cpu)


def mapped(filename: str | os.PathLike, shared: bool, nbytes: int) -> np.ndarray:
    """The first bytes of a file, mapped: copy on write, or writing through."""
    if not nbytes:
        return np.empty(0, np.uint8)
    with open(filename, "r+b" if shared else "rb") as file:
        kind = SharedMap if shared else mmap.mmap
        memory = kind(file.fileno(), nbytes, access=mmap.ACCESS_WRITE if shared else mmap.ACCESS_COPY)
    return np.frombuffer(memory, np.uint8)


def elements(data: Sequence, dtype: DType) -> np.ndarray:
    """Python numbers as an array of a dtype."""
    return np.array([complex(v) if dtype.is_complex else v for v in data]).astype(dtype.numpy)


def numbers(array: Any) -> Any:
    """Python numbers; the types that numpy only knows from ml_dtypes are widened first."""
    return (array if array.dtype.kind in "biufcW" else array.astype(np.float64)).tolist()


def byte(item: Any, data: Any) -> int:
    """An item of a sequence of bytes."""
    if not isinstance(item, (int, np.integer)):
        raise RuntimeError(
            f"torch.UntypedStorage(): tried to construct a storage from a sequence ({type(data).__name__}), "
            f"but one of the items was of type {type(item).__name__} instead of int"
        )
    return int(item) & 0xFF


def wrapped(index: Any, storage: Any) -> int:
    """An index counted from the start; IndexError where it is outside."""
    if not isinstance(index, (int, np.integer)):
        raise RuntimeError(f"can't index a {type(storage)} with {type(index)}")
    size = len(storage)
    if not -size <= index < size:
        raise IndexError(f"index {index} out of range for storage of size {size}")
    return int(index) % size


def listing(items: list, head: str) -> str:
    """A storage's elements, one a line, above a line that says what it is."""
    text = items[0] if items == ["..."] else " " + "\n ".join(map(str, items))
    return f"{text}\n{head}"
