"""``save`` and ``load``: PyTorch's checkpoint files, both ways, safe by default."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import re
import stat
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import IO, Any, TypeAlias

import numpy as np

from flowtorch import devices, dtypes
from flowtorch.serialization import safe
from flowtorch.serialization.archive import ArchiveReader, ArchiveWriter
from flowtorch.serialization.legacy import checked_storage, load_stream, save_stream
from flowtorch.serialization.locations import location_tag, restorer
from flowtorch.serialization.options import (
    LoadEndianness,
    config,
    get_default_load_endianness,
    get_default_mmap_options,
    running,
)
from flowtorch.serialization.pickling import UnpicklingError, make_pickler, trusting_unpickler
from flowtorch.serialization.restricted import RestrictedUnpickler, globals_in
from flowtorch.storage import LEGACY_CLASSES, StorageBase, TypedStorage, UntypedStorage, detached
from flowtorch.storage_memory import mapped
from flowtorch.tensor import wrap

DEFAULT_PROTOCOL = 2
FILE_LIKE: TypeAlias = str | os.PathLike[str] | IO[bytes]
MAP_LOCATION: TypeAlias = Callable[[Any, str], Any] | devices.device | str | dict[str, str] | None
UNSAFE_MESSAGE = (
    "The `weights_only` argument of `torch.load` is `True` by default. Re-running `torch.load` with "
    "`weights_only` "
    "set to `False` will likely succeed, but it can result in arbitrary code execution. Do it only if you "
    "got the "
    "file from a trusted source."
)


def save(
    obj: object,
    f: Any,
    pickle_module: Any = pickle,
    pickle_protocol: int = DEFAULT_PROTOCOL,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Write an object to a path or to a file object with ``write``.

    Tensors that share memory share it again after :func:`load`. A path is replaced in one step once
    everything is on the disk: whatever happens before, the old file stays whole.

    >>> import io
    >>> torch.save([torch.zeros(3)], io.BytesIO())
    """
    if not isinstance(f, (str, os.PathLike)) and not hasattr(f, "write"):
        raise AttributeError("expected 'f' to be string, path, or a file-like object with a 'write' attribute")
    if not _use_new_zipfile_serialization and running.skip_data:
        raise RuntimeError("Cannot use skip_data=True with _use_new_zipfile_serialization=False")
    with _replacing(f) if isinstance(f, (str, os.PathLike)) else contextlib.nullcontext(f) as stream:
        if _use_new_zipfile_serialization:
            settings = config().save
            name = _archive_name(f)
            writer = ArchiveWriter(stream, name, settings.compute_crc32, settings.storage_alignment)
            _save_archive(obj, writer, pickle_module, pickle_protocol, not _disable_byteorder_record)
        else:
            save_stream(obj, stream, pickle_module, pickle_protocol, _Describer())
        if hasattr(stream, "flush"):
            stream.flush()


def _archive_name(f: Any) -> str:
    if not isinstance(f, (str, os.PathLike)):
        return "archive"
    name = os.path.basename(os.fspath(f))
    name = name.decode(errors="replace") if isinstance(name, bytes) else name
    return os.path.splitext(name)[0] or "archive"


@contextlib.contextmanager
def _replacing(path: Any) -> Iterator[Any]:
    """Open a file to write that takes the place of ``path`` when the block ends well."""
    target = os.path.realpath(os.fspath(path))
    directory = os.path.dirname(target)
    if not os.path.isdir(directory):
        raise RuntimeError(f"Parent directory {os.path.dirname(os.fspath(path))} does not exist.")
    if os.path.isdir(target):
        raise RuntimeError(f"File {os.fspath(path)} cannot be opened.")
    if os.path.exists(target) and (not stat.S_ISREG(os.stat(target).st_mode) or not os.access(directory, os.W_OK)):
        with open(target, "wb") as stream:  # a device or a pipe, or a directory that takes no new file
            yield stream
        return
    prefix = b".tmp-save-" if isinstance(target, bytes) else ".tmp-save-"
    descriptor, temporary = tempfile.mkstemp(prefix=prefix, dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode) if os.path.exists(target) else _new_mode())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    with contextlib.suppress(OSError):  # not every system lets a directory be synchronised
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _new_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


class _Describer:
    """Describes storages while an object is pickled, and refuses memory that is seen as two dtypes."""

    def __init__(self) -> None:
        self.seen: dict[int, Any] = {}

    def __call__(self, value: Any) -> tuple:
        """(bytes, class, dtype, location, number of elements) of a storage."""
        if isinstance(value, TypedStorage):
            untyped, dtype, size = value.untyped(), value.dtype, len(value)
            kind: type = LEGACY_CLASSES[value.pickle_storage_type()]
        else:
            untyped, dtype, size, kind = value, dtypes.uint8, len(value), UntypedStorage
        address = untyped.data_ptr()
        if address and self.seen.setdefault(address, dtype) is not dtype:
            raise RuntimeError("Cannot save multiple tensors or storages that view the same data as different types")
        return untyped, kind, dtype, location_tag(untyped), size


def _save_archive(obj: Any, writer: ArchiveWriter, pickle_module: Any, protocol: int, byteorder: bool) -> None:
    describe = _Describer()
    keys: dict[Any, str] = {}
    storages: list[UntypedStorage] = []

    def persistent_id(value: Any) -> Any:
        if not isinstance(value, StorageBase):
            return None
        storage, kind, _, location, size = describe(value)
        identity = storage._cdata
        if identity not in keys:
            keys[identity] = str(len(keys))
            storages.append(storage)  # kept alive, so that no other memory gets its address
        return "storage", kind, keys[identity], location, size

    buffer = io.BytesIO()
    make_pickler(pickle_module, buffer, protocol, persistent_id).dump(obj)
    writer.write("data.pkl", buffer.getbuffer())
    writer.write(".format_version", b"1")
    writer.write(".storage_alignment", str(writer.alignment).encode())
    if byteorder:
        writer.write("byteorder", sys.byteorder.encode())
    for key, storage in enumerate(storages):
        data = storage._bytes if storage.device.type == "meta" else storage.cpu()._bytes
        writer.write(f"data/{key}", np.ascontiguousarray(data), fill=not running.skip_data)
    writer.write("version", b"3\n")
    writer.write(".data/serialization_id", writer.serialization_id().encode())
    writer.close()


# --- load -------------------------------------------------------------------------------------


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Read what :func:`save` (flowtorch's or PyTorch's) has written, from a path or a seekable file object.

    Only tensors, plain containers and what :func:`add_safe_globals` declares are admitted; anything else is an
    UnpicklingError that says what was met. ``weights_only=False`` runs whatever the file says: use it only with files
    that you trust.

    Args:
        map_location: where storages go: a device, a string, a dictionary from the file's locations to others, or a
            function of (storage on the CPU, location) that returns a storage or None.
        mmap: leave the storages in the file and map it into memory.

    >>> import io
    >>> file = io.BytesIO()
    >>> torch.save({"weight": torch.ones(2)}, file)
    >>> _ = file.seek(0)
    >>> torch.load(file)
    {'weight': tensor([1., 1.])}
    """
    weights_only = _decide_weights_only(weights_only, pickle_module)
    if weights_only and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    if weights_only and pickle_load_args:
        warnings.warn("pickle_load_args only works if `weights_only=False`.", UserWarning, stacklevel=2)
    mmap = config().load.mmap if mmap is None else mmap
    pickle_load_args.setdefault("encoding", "utf-8")
    if isinstance(f, (str, os.PathLike)) and os.fsdecode(f).endswith(".safetensors"):
        return _load_safetensors(f, map_location)
    module = None if weights_only else pickle_module or pickle
    with _opened(f) as stream:
        before, running.map_location = running.map_location, map_location
        try:
            if _is_zipfile(stream):
                return _load_archive(f, stream, map_location, module, mmap, pickle_load_args)
            if mmap:
                raise RuntimeError(
                    "mmap can only be used with files saved with "
                    "`torch.save(_use_new_zipfile_serialization=True)`, "
                    "please torch.save your checkpoint with this option in order to use mmap."
                )
            return load_stream(stream, restorer(map_location), module, pickle_load_args, running.skip_data)
        except UnpicklingError as error:
            if not weights_only:
                raise
            raise UnpicklingError(_refusal(str(error))) from None
        finally:
            running.map_location = before


def _decide_weights_only(weights_only: bool | None, pickle_module: Any) -> bool:
    decided = pickle_module is None if weights_only is None else weights_only
    yes = ("1", "y", "yes", "true")
    force = os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "0").lower() in yes
    forbid = os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "0").lower() in yes
    if force and forbid:
        raise RuntimeError(
            "Only one of `TORCH_FORCE_WEIGHTS_ONLY_LOAD` or `TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD` "
            "should be set, but both were set."
        )
    if forbid and weights_only is None:
        warnings.warn(
            "Environment variable TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD detected, since the"
            "`weights_only` argument was not explicitly passed to `torch.load`, forcing weights_only=False.",
            UserWarning,
            stacklevel=3,
        )
        return False
    return force or bool(decided)


def _refusal(message: str) -> str:
    """The text of the error for a file that is not trusted, with the ways out that fit the reason."""
    if re.search(r"GLOBAL \S+ was not an allowed global by default", message):
        return (
            "Weights only load failed. This file can still be loaded, to do so you have two options, "
            f"do those steps only if you trust the source of the checkpoint. \n\t(1) {UNSAFE_MESSAGE}\n\t(2) "
            "Alternatively, to load with `weights_only=True` please check the recommended steps in the "
            "following "
            f"error message.\n\tWeightsUnpickler error: {message}"
        )
    return f"Weights only load failed. {UNSAFE_MESSAGE}\nWeightsUnpickler error: {message}"


@contextlib.contextmanager
def _opened(f: Any) -> Iterator[Any]:
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as stream:
            yield stream
        return
    try:
        f.seek(f.tell())
    except (OSError, AttributeError) as error:
        kind = AttributeError if isinstance(error, AttributeError) else io.UnsupportedOperation
        raise kind(
            f"{error}. You can only torch.load from a file that is seekable. Please pre-load the data into a "
            f"buffer "
            "like io.BytesIO and try to load from it instead."
        ) from None
    yield f


def _is_zipfile(stream: Any) -> bool:
    here = stream.tell()
    head = stream.read(4)
    stream.seek(here)
    return head == b"PK\3\4"


def _is_torchscript(archive: ArchiveReader) -> bool:
    return "constants.pkl" in archive


def _load_archive(f: Any, stream: Any, map_location: Any, module: Any, mmap: bool, options: dict[str, Any]) -> Any:
    archive = ArchiveReader(stream)
    if _is_torchscript(archive):
        hint = "" if module is not None else "Cannot use ``weights_only=True`` with TorchScript archives. "
        raise RuntimeError(
            f"{hint}this file is a TorchScript archive, a program that only PyTorch's torch.jit.load can "
            "run; torch.serialization.script_state_dict(file) reads its parameters and buffers, or save the module's "
            "state_dict() with torch.save instead"
        )
    if mmap and not isinstance(f, (str, os.PathLike)):
        raise ValueError("f must be a file path in order to use the mmap argument")
    storages = _ArchiveStorages(archive, map_location, _map_file(f) if mmap else None)
    pickled = io.BytesIO(archive.read("data.pkl"))
    if module is None:
        return RestrictedUnpickler(pickled, storages.persistent_load, **options).load()
    return trusting_unpickler(module, pickled, storages.persistent_load, **options).load()


def _map_file(path: Any) -> np.ndarray:
    import mmap

    shared = get_default_mmap_options() == mmap.MAP_SHARED
    return mapped(path, shared, os.path.getsize(path))


class _ArchiveStorages:
    """Makes the storages that an archive's pickle asks for."""

    def __init__(self, archive: ArchiveReader, map_location: Any, mapped: np.ndarray | None) -> None:
        self.archive, self.mapped = archive, mapped
        self.meta = str(map_location) == "meta"
        self.restore = restorer(map_location)
        self.loaded: dict[str, TypedStorage] = {}
        self.byteorder = _byteorder(archive)

    def persistent_load(self, pid: Any) -> TypedStorage:
        if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] not in ("storage", b"storage"):
            raise UnpicklingError(f"Unknown persistent id: expected the description of a storage, got {pid!r}")
        dtype, key, location, numel = checked_storage(*pid[1:])
        if key not in self.loaded:
            storage = self.read(f"data/{key}", dtype, numel * dtype.itemsize)
            if not self.meta:
                storage = self.restore(storage, location)
            storage = storage.untyped()
            self.loaded[key] = TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)
        return self.loaded[key]

    def read(self, record: str, dtype: Any, nbytes: int) -> UntypedStorage:
        # Checked before any memory is taken: a small file may claim storages of any size.
        if self.archive.size(record) < nbytes:
            raise RuntimeError(
                f"the record {record} has {self.archive.size(record)} bytes, but the checkpoint claims "
                f"{nbytes} of "
                "it: the file is damaged"
            )
        if self.meta:
            return UntypedStorage(nbytes, device=devices.meta)
        if self.mapped is not None:
            start = self.archive.offset(record)
            storage = UntypedStorage._around(detached(self.mapped[start : start + nbytes]))
        else:
            storage = UntypedStorage(nbytes, device=devices.cpu)
            if not running.skip_data:
                self.archive.read_into(record, memoryview(storage._bytes))
        if self.byteorder != sys.byteorder:
            storage.byteswap(dtype)
        return storage


def _byteorder(archive: ArchiveReader) -> str:
    if "byteorder" in archive:
        order = archive.read("byteorder").decode(errors="replace")
        if order not in ("little", "big"):
            raise ValueError(f"Unknown endianness type: {order}")
        return order
    assumed = get_default_load_endianness() or LoadEndianness.LITTLE
    return sys.byteorder if assumed is LoadEndianness.NATIVE else assumed.name.lower()


SAFETENSORS_DTYPES = {
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "BF16": "bfloat16",
    "BOOL": "bool",
    "C64": "complex64",
}


def _safetensors_dtype(name: str) -> Any:
    kinds = {"F": "float", "I": "int", "U": "uint"}
    return dtypes.PUBLIC[SAFETENSORS_DTYPES.get(name) or kinds[name[0]] + name[1:]]


def _load_safetensors(path: Any, map_location: Any) -> dict[str, Any]:
    """The tensors of a safetensors file."""
    try:
        from safetensors import deserialize
    except ImportError as error:
        raise RuntimeError(
            "Attempting to load a safetensors file but safetensors is not installed. "
            "Please install safetensors with: pip install safetensors"
        ) from error
    if map_location is not None and not isinstance(map_location, (str, bytes, devices.device)):
        kind = "dict" if isinstance(map_location, dict) else "callable"
        raise RuntimeError(
            f"Loading safetensors file with {kind} map_location is not supported. "
            "Use a device string or torch.device instead."
        )
    with open(path, "rb") as file:
        entries = deserialize(file.read())
    tensors = {}
    for name, entry in entries:
        dtype = _safetensors_dtype(entry["dtype"])
        tensor = wrap(np.frombuffer(bytearray(entry["data"]), dtype.numpy).reshape(entry["shape"]))
        tensors[name] = tensor if map_location is None else tensor.to(str(map_location))
    return tensors


def get_unsafe_globals_in_checkpoint(f: Any) -> list[str]:
    """The names in a checkpoint that ``load`` would refuse; nothing of the file is run."""
    with _opened(f) as stream:
        if not _is_zipfile(stream):
            raise ValueError("Expected input to be a checkpoint returned by torch.save")
        archive = ArchiveReader(stream)
        if _is_torchscript(archive):
            raise ValueError(
                "Expected input to be a checkpoint returned by torch.save but got a torchscript checkpoint"
            )
        names = globals_in(io.BytesIO(archive.read("data.pkl")))
    known = {*safe.allowed_globals(), *safe.user_globals()}
    return list(names - known)
