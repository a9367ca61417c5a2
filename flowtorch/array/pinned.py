"""Page-locked host memory, and copies between it and a device that the host does not wait for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

from flowtorch.array import cuda

_asynchronous: ContextVar[bool] = ContextVar("asynchronous", default=False)


@contextlib.contextmanager
def asynchronous() -> Iterator[None]:
    """Within, copies between page-locked memory and a device are only put into the current stream."""
    before = _asynchronous.set(True)
    try:
        yield
    finally:
        _asynchronous.reset(before)


def is_asynchronous() -> bool:
    """Whether copies need not be waited for here."""
    return _asynchronous.get() and not cuda.capture.active


class Block:
    """Page-locked memory as numpy takes it; it goes back to CuPy's pool with the last array over it."""

    def __init__(self, size: int) -> None:
        module, room = cuda.array_module(), max(size, 1)
        self.memory: Any = None
        if module is np:
            self.memory = np.empty(room, np.uint8)
            start = cuda.address(self.memory)
        else:
            self.memory = module.cuda.alloc_pinned_memory(room)
            start = self.memory.ptr
        self.__array_interface__ = {"data": (start, False), "shape": (size,), "typestr": "|u1", "version": 3}


def block(array: np.ndarray) -> Block | None:
    """The page-locked memory that an array lies in."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return owner if isinstance(owner, Block) else None


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A page-locked array."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    return np.asarray(Block(size)).view(dtype).reshape(shape)


def pinned(array: np.ndarray) -> np.ndarray:
    """A page-locked copy with the same order of dimensions."""
    order = sorted(range(array.ndim), key=lambda dim: (array.strides[dim], array.shape[dim]), reverse=True)
    made = empty(tuple(array.shape[dim] for dim in order), array.dtype)
    made = made.transpose([order.index(dim) for dim in range(array.ndim)])
    made[...] = array
    return made


_under_way: list[tuple[Any, ...]] = []
"""Copies that may not have ended: an event behind each, and what has to stay until then."""


def _until_done(*kept: Any) -> None:
    _under_way[:] = [entry for entry in _under_way if not entry[0].done]
    event = cuda.array_module().cuda.Event(disable_timing=True)
    event.record(cuda.array_module().cuda.get_current_stream())
    _under_way.append((event, *kept))


def send(host: np.ndarray) -> Any:
    """A device copy of a page-locked array whose elements lie in order."""
    target = cuda.empty(host.shape, host.dtype)
    stream = cuda.array_module().cuda.get_current_stream()
    target.data.copy_from_host_async(cuda.address(host), host.nbytes, stream)
    _until_done(block(host), target)
    return target


def fetch(source: Any, target: np.ndarray | None = None) -> np.ndarray:
    """A dense device array copied into page-locked memory; what is there before the stream is waited for is open."""
    if target is None:
        target = empty(source.shape, source.dtype)
    if cuda.array_module() is np:
        target[...] = source
    else:
        stream = cuda.array_module().cuda.get_current_stream()
        source.data.copy_to_host_async(cuda.address(target), target.nbytes, stream)
        _until_done(block(target), source)
    return target
