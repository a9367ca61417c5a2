"""The stream format of checkpoints before PyTorch 1.6: pickles in a row, then the bytes of the storages."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch import devices
from flowtorch.serialization.options import running
from flowtorch.serialization.pickling import StorageType, UnpicklingError, make_pickler, trusting_unpickler
from flowtorch.serialization.restricted import RestrictedUnpickler
from flowtorch.storage import StorageBase, TypedStorage, UntypedStorage

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001


def save_stream(obj: Any, stream: Any, pickle_module: Any, protocol: int, describe: Callable[[Any], Any]) -> None:
    """Write ``obj``; ``describe`` gives (bytes, class, dtype, location, size) of a storage."""
    storages: dict[str, tuple[UntypedStorage, Any, int]] = {}
    keys: dict[Any, str] = {}

    def persistent_id(value: Any) -> Any:
        if not isinstance(value, StorageBase):
            return None
        storage, kind, dtype, location, size = describe(value)
        key = keys.setdefault(storage._cdata, str(len(keys)))
        storages.setdefault(key, (storage, dtype, size))
        return "storage", kind, key, location, size, None

    sizes = {"short": struct.calcsize("=h"), "int": struct.calcsize("=i"), "long": struct.calcsize("=l")}
    info = {
        "protocol_version": PROTOCOL_VERSION,
        "little_endian": sys.byteorder == "little",
        "type_sizes": sizes,
    }
    for head in (MAGIC_NUMBER, PROTOCOL_VERSION, info):
        pickle_module.dump(head, stream, protocol=protocol)
    make_pickler(pickle_module, stream, protocol, persistent_id).dump(obj)
    order = sorted(storages)
    pickle_module.dump(order, stream, protocol=protocol)
    for key in order:
        storage, dtype, size = storages[key]
        stream.write(struct.pack("<q", size))
        stream.write(memoryview(_little_endian(storage.cpu(), dtype)._bytes))


def _little_endian(storage: UntypedStorage, dtype: Any) -> UntypedStorage:
    if sys.byteorder == "big":
        storage = storage.clone()
        storage.byteswap(dtype)
    return storage


class _Reader:
    """Reads one stream; storages are made while the pickle is read and filled afterwards."""

    def __init__(self, stream: Any, restore: Callable[[UntypedStorage, str], Any], pickle_module: Any, options: dict):
        self.stream, self.restore, self.pickle_module, self.options = stream, restore, pickle_module, options
        self.storages: dict[str, TypedStorage] = {}
        self.views: dict[str, TypedStorage] = {}
        self.raw: dict[str, UntypedStorage] = {}
        here = stream.tell()
        stream.seek(0, 2)
        self.end = stream.tell()
        stream.seek(here)
        self.claimed = 0

    def unpickle(self) -> Any:
        if self.pickle_module is None:
            return RestrictedUnpickler(self.stream, self.persistent_load, **self.options).load()
        return trusting_unpickler(self.pickle_module, self.stream, self.persistent_load, **self.options).load()

    def persistent_load(self, pid: Any) -> Any:
        if not isinstance(pid, tuple):
            raise UnpicklingError(f"saved_id must be a tuple, got {type(pid).__name__}")
        kind = _text(pid[0])
        if kind == "module":
            return pid[1]
        if kind != "storage":
            raise RuntimeError(f"Unknown saved id type: {pid[0]}")
        if len(pid) != 6:
            raise UnpicklingError(f"a storage is described by 6 values, got {len(pid)}")
        *described, view = pid[1:]
        dtype, key, location, numel = checked_storage(*described)
        storage = self.storage(dtype, key, location, numel)
        if view is None:
            return storage
        if not isinstance(view, tuple) or len(view) != 3 or not all(isinstance(n, int) for n in view[1:]):
            raise UnpicklingError(f"invalid description of a part of a storage: {view!r}")
        return self.view(storage, *view)

    def storage(self, dtype: Any, key: Any, location: str, numel: int) -> TypedStorage:
        if key not in self.storages:
            nbytes = numel * dtype.itemsize
            self.claimed += nbytes
            # The bytes are still to come: a file that claims more than it has must not take the memory.
            if self.claimed > self.end - self.stream.tell():
                raise RuntimeError(
                    f"the file claims a storage of {nbytes} bytes, more than it has: it is truncated or damaged"
                )
            self.raw[key] = UntypedStorage(nbytes)
            restored = self.restore(self.raw[key], location)
            self.storages[key] = TypedStorage(wrap_storage=restored, dtype=dtype, _internal=True)
        return self.storages[key]

    def view(self, whole: TypedStorage, key: str, offset: int, size: int) -> TypedStorage:
        if key not in self.views:
            width = whole.dtype.itemsize
            part = whole.untyped()[offset * width : (offset + size) * width]
            self.views[key] = TypedStorage(wrap_storage=part, dtype=whole.dtype, _internal=True)
        return self.views[key]

    def fill(self, key: Any) -> None:
        if key not in self.storages:
            raise RuntimeError(f"the file holds data of the storage {key!r}, which nothing in it uses")
        storage, raw = self.storages[key], self.raw[key]
        (numel,) = struct.unpack("<q", self.exactly(8))
        if numel * storage.dtype.itemsize != raw.nbytes():
            raise RuntimeError(
                f"storage has wrong byte size: expected {raw.nbytes()} got {numel * storage.dtype.itemsize}"
            )
        raw._bytes[...] = np.frombuffer(self.exactly(raw.nbytes()), np.uint8)
        if sys.byteorder == "big":
            raw.byteswap(storage.dtype)
        if storage.untyped() is not raw and storage.device != devices.cpu:
            storage.untyped().copy_(raw)

    def exactly(self, size: int) -> bytes:
        data = self.stream.read(size)
        if len(data) != size:
            raise RuntimeError(f"unexpected EOF, expected {size - len(data)} more bytes. The file might be corrupted.")
        return data


def load_stream(
    stream: Any,
    restore: Callable[[UntypedStorage, str], Any],
    pickle_module: Any,
    options: dict[str, Any],
    skip_data: bool = False,
) -> Any:
    """Read one object; ``pickle_module`` None reads with the restricted unpickler."""
    if stream.tell() == 0 and _is_tar(stream):
        raise RuntimeError(
            "this checkpoint has the tar format of PyTorch before 0.2, which flowtorch does not read; "
            "load it with PyTorch and save it again"
        )
    reader = _Reader(stream, restore, pickle_module, options)
    if reader.unpickle() != MAGIC_NUMBER:
        raise RuntimeError("Invalid magic number; corrupt file?")
    version = reader.unpickle()
    if version != PROTOCOL_VERSION:
        raise RuntimeError(f"Invalid protocol version: {version}")
    reader.unpickle()
    before, running.later = running.later, []
    try:
        result = reader.unpickle()
        keys = reader.unpickle()
        if not isinstance(keys, list):
            raise RuntimeError(f"the list of storages is a {type(keys).__name__}; corrupt file?")
        if not skip_data:
            for key in keys:
                reader.fill(key)
            later, running.later = running.later, None
            for finish in later:
                finish()
    finally:
        running.later = before
    return result


def checked_storage(storage_type: Any, key: Any, location: Any, numel: Any) -> tuple:
    """What a file says of a storage: (dtype, key, location, size). UnpicklingError unless it makes sense."""
    key, location = _text(key), _text(location)
    if not isinstance(storage_type, StorageType):
        raise UnpicklingError(f"a storage class was expected in the description of a storage, got {storage_type}")
    if not isinstance(key, str) or not isinstance(location, str) or type(numel) is not int or numel < 0:
        raise UnpicklingError(f"invalid description of a storage: {key!r}, {location!r}, {numel!r}")
    return storage_type.dtype, key, location, numel


def _is_tar(stream: Any) -> bool:
    head = stream.read(512)
    stream.seek(0)
    return len(head) == 512 and head[257:262] == b"ustar"


def _text(value: Any) -> Any:
    return value.decode("ascii") if isinstance(value, bytes) else value
