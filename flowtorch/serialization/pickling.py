"""The pickler that writes PyTorch's names, and the unpickler that trusts a file."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

from flowtorch import dtypes, storage
from flowtorch.serialization.names import find_torch, is_torch, torch_name

UnpicklingError = pickle.UnpicklingError
_PythonPickler: Any = pickle._Pickler  # type: ignore[attr-defined]


class StorageType:
    """What a storage class in a checkpoint becomes: its dtype, and nothing that could be called."""

    def __init__(self, name: str) -> None:
        self.dtype = dtypes.uint8 if name == "UntypedStorage" else storage.STORAGE_DTYPES[name]

    def __str__(self) -> str:
        return f"StorageType(dtype={self.dtype})"


@cache
def storage_type(name: str) -> StorageType | None:
    """The StorageType of a class name, None if it is not a storage's."""
    known = name == "UntypedStorage" or name in storage.STORAGE_DTYPES
    return StorageType(name) if known else None


def _get_layout(name: str) -> Any:
    """The layout of a name such as ``torch.strided``."""
    return dtypes.LAYOUTS[name.removeprefix("torch.")]


_get_layout.__module__ = "flowtorch.serialization"


class _TorchNames:
    """Makes a pickler written in Python spell flowtorch's classes and functions as PyTorch's."""

    def save_global(self: Any, obj: Any, name: Any = None) -> None:
        known = torch_name(obj)
        if known is None:
            super().save_global(obj, name)  # type: ignore[misc]
            return
        if self.proto >= 4:
            for part in known:
                self.save(part)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + "\n".join((*known, "")).encode())
        self.memoize(obj)

    def save_layout(self: Any, obj: Any) -> None:
        self.save_reduce(_get_layout, (repr(obj),), obj=obj)


def make_pickler(pickle_module: Any, stream: Any, protocol: int, persistent_id: Callable[[Any], Any]) -> Any:
    """A pickler that hands storages to ``persistent_id``.

    It is the one written in Python, whose output of names can be changed; a foreign module's pickler writes
    flowtorch's own names where it cannot.
    """
    base = _PythonPickler if pickle_module is pickle else pickle_module.Pickler
    bases = (_TorchNames, base) if issubclass(base, _PythonPickler) else (base,)

    class Pickler(*bases):  # type: ignore[misc]
        def persistent_id(self, obj: Any) -> Any:
            return persistent_id(obj)

    if bases[0] is _TorchNames:
        Pickler.dispatch = {**base.dispatch, dtypes.layout: _TorchNames.save_layout}
        if base.dispatch.get(FunctionType) is _PythonPickler.save_global:
            Pickler.dispatch[FunctionType] = _TorchNames.save_global
    pickler: Any = Pickler(stream, protocol=protocol)
    if bases[0] is _TorchNames:
        pickler.persistent_id = persistent_id  # one call less for each object
    return pickler


def trusting_unpickler(pickle_module: Any, stream: Any, persistent_load: Callable, **options: Any) -> Any:
    """An unpickler that runs whatever a file says, PyTorch's names resolved to flowtorch."""

    class Unpickler(pickle_module.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if is_torch(module):
                return storage_type(name) or find_torch(module, name)
            return super().find_class(module, name)

        def persistent_load(self, pid: Any) -> Any:
            return persistent_load(pid)

    return Unpickler(stream, **options)
