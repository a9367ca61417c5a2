"""How batches travel from worker processes: pickled, the memory of tensors and arrays beside the pickle.

What is large lies in a file in shared memory that the receiver maps and unlinks, so nothing is copied on its
side and nothing is left behind; what is small, and everything where there is no shared memory, goes through
the pipe.
"""

from __future__ import annotations

import glob
import io
import math
import mmap
import os
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.storage import TypedStorage, UntypedStorage, storage_of
from flowtorch.storage_memory import SharedMap
from flowtorch.tensor import Tensor

SHARED_DIRECTORY = "/dev/shm"
INLINE_LIMIT = 1 << 14  # below this a file costs more than the pipe's copies
ALIGNMENT = 64


class _Pickler(pickle.Pickler):
    """Pickles with the memory of tensors and arrays out of band."""

    def __init__(self, stream: Any, buffers: list[pickle.PickleBuffer]) -> None:
        super().__init__(stream, protocol=5, buffer_callback=buffers.append)
        self.storages: dict[Any, UntypedStorage] = {}

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is Tensor:
            return self._tensor(obj)
        if isinstance(obj, UntypedStorage):
            memory: Any = np.ascontiguousarray(obj.cpu()._bytes)
            return _storage, (pickle.PickleBuffer(memory),)
        if isinstance(obj, TypedStorage):
            return _typed_storage, (self._same(obj.untyped()), obj.dtype)
        return NotImplemented

    def _tensor(self, tensor: Tensor) -> Any:
        if tensor.requires_grad and not tensor.is_leaf:
            raise RuntimeError(
                "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd does not "
                "support "
                "crossing process boundaries.  If you just want to transfer the data, call detach() on the "
                "tensor "
                "before serializing (e.g., putting it on the queue)."
            )
        if tensor.device.type != "cpu" or tensor.layout is not dtypes.strided or tensor.__dict__:
            return NotImplemented
        storage = self._same(storage_of(tensor))
        if storage.nbytes() > 2 * tensor.nbytes:
            # A small part of something large, such as one row of a whole data set: send the part alone.
            storage = UntypedStorage._around(tensor._array.ravel().view(np.uint8))
            place = (0, tuple(tensor.shape), _contiguous_strides(tensor.shape))
        else:
            place = (tensor.storage_offset(), tuple(tensor.shape), tensor.stride())
        return _tensor, (storage, tensor.dtype, *place, tensor.requires_grad)

    def _same(self, storage: UntypedStorage) -> UntypedStorage:
        """One object for one memory, so that tensors that share it share it again on the other side."""
        return self.storages.setdefault(storage._cdata, storage)


def _contiguous_strides(shape: Any) -> tuple[int, ...]:
    return tuple(math.prod(shape[d + 1 :]) for d in range(len(shape)))


def _storage(data: Any) -> UntypedStorage:
    return UntypedStorage._around(np.frombuffer(data, np.uint8))


def _typed_storage(storage: UntypedStorage, dtype: Any) -> TypedStorage:
    return TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)


def _tensor(storage: UntypedStorage, dtype: Any, offset: int, size: Any, stride: Any, grad: bool) -> Tensor:
    from flowtorch.serialization.tensors import _rebuild_tensor_v3

    return _rebuild_tensor_v3(storage, offset, size, stride, grad, None, dtype)


class Sender:
    """The sending end: makes messages of objects. ``prefix`` starts the names of its files."""

    def __init__(self, prefix: str) -> None:
        self.prefix, self.count = prefix, 0

    def message(self, obj: Any) -> tuple:
        """What :func:`receive` turns into ``obj`` again: small and picklable."""
        buffers: list[pickle.PickleBuffer] = []
        stream = io.BytesIO()
        _Pickler(stream, buffers).dump(obj)
        parts = [stream.getbuffer(), *(buffer.raw() for buffer in buffers)]
        if sum(len(part) for part in parts) > INLINE_LIMIT:
            path = self._shared(parts)
            if path is not None:
                return path, [len(part) for part in parts]
        return None, [bytes(part) for part in parts]

    def _shared(self, parts: list) -> str | None:
        """Write parts to a new file in shared memory; None where there is none, or no room in it."""
        self.count += 1
        path = f"{SHARED_DIRECTORY}/{self.prefix}{self.count}"
        places, size = _layout([len(part) for part in parts])
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        except OSError:
            return None
        try:
            # Reserved first: writing to memory that is not there would kill the process.
            os.posix_fallocate(descriptor, 0, size)
            with mmap.mmap(descriptor, size) as memory:
                for place, part in zip(places, parts, strict=True):
                    memory[place : place + len(part)] = part
        except OSError:
            os.unlink(path)
            return None
        finally:
            os.close(descriptor)
        return path


def _layout(sizes: list[int]) -> tuple[list[int], int]:
    places, end = [], 0
    for size in sizes:
        places.append(end)
        end += -(-size // ALIGNMENT) * ALIGNMENT
    return places, max(end, 1)


def receive(message: tuple) -> Any:
    """The object of a message. Its arrays are views of the shared memory, which lives as long as they do."""
    path, parts = message
    if path is None:
        buffers = [memoryview(bytearray(part)) for part in parts]
    else:
        places, size = _layout(parts)
        descriptor = os.open(path, os.O_RDWR)
        try:
            memory = memoryview(SharedMap(descriptor, size))
        finally:
            os.close(descriptor)
            os.unlink(path)
        buffers = [memory[place : place + length] for place, length in zip(places, parts, strict=True)]
    return pickle.loads(buffers[0], buffers=buffers[1:])


def discard(message: tuple) -> None:
    """Free what a message that nobody wants holds."""
    if message[0] is not None:
        os.unlink(message[0])


def clean(prefix: str) -> None:
    """Remove the files of a sender that is gone."""
    remove: Callable[[str], None] = os.unlink
    for path in glob.glob(f"{SHARED_DIRECTORY}/{glob.escape(prefix)}*"):
        remove(path)
