"""The parameters and buffers of a TorchScript archive. The program in it is neither run nor compiled."""

from __future__ import annotations

import io
import pickle
import re
from collections import OrderedDict
from typing import Any

from flowtorch.serialization.archive import ArchiveReader
from flowtorch.serialization.files import _ArchiveStorages, _is_torchscript, _opened
from flowtorch.serialization.pickling import UnpicklingError, storage_type
from flowtorch.serialization.tensors import _rebuild_parameter, _rebuild_tensor, _rebuild_tensor_v2
from flowtorch.tensor import Tensor

# The only functions that an archive's pickle may call.
_CALLABLE = {
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("collections", "OrderedDict"): OrderedDict,
}
_CLASS = re.compile(r"^class (\w+)\(Module\):\s*$", re.MULTILINE)


class _Object:
    """An object of a compiled class: its attributes alone."""

    _class = ""

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            vars(self).update(state)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, storages: _ArchiveStorages) -> None:
        super().__init__(file, encoding="utf-8")
        self.storages = storages

    def persistent_load(self, pid: Any) -> Any:
        return self.storages.persistent_load(pid)

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "__torch__":
            return type(name, (_Object,), {"_class": f"{module}.{name}"})
        if (module, name) in _CALLABLE:
            return _CALLABLE[module, name]
        known = storage_type(name) if module == "torch" else None
        if known is not None:
            return known
        if module == "torch.jit._pickle" and name.startswith("build_"):
            return lambda value: value
        raise UnpicklingError(f"a TorchScript archive may not call {module}.{name}")


def script_state_dict(f: Any, map_location: Any = None) -> OrderedDict[str, Tensor]:
    """Return the parameters and buffers of a TorchScript archive (a path or a file) under their names in the module.

    Buffers that the module declared as not persistent are among them: the archive does not tell them apart.
    """
    with _opened(f) as stream:
        archive = ArchiveReader(stream)
        if not _is_torchscript(archive):
            raise ValueError("script_state_dict: this is no TorchScript archive; read it with torch.load")
        unpickler = _Unpickler(io.BytesIO(archive.read("data.pkl")), _ArchiveStorages(archive, map_location, None))
        root = unpickler.load()
        declared = _declared(archive)
    found: OrderedDict[str, Tensor] = OrderedDict()
    _collect(root, "", declared, found)
    return found


def _declared(archive: ArchiveReader) -> dict[str, list[str]]:
    """Return the names of parameters and buffers that each class of the archive's code declares."""
    table = {}
    for record in archive.records():
        if not record.startswith("code/") or not record.endswith(".py"):
            continue
        module = record.removeprefix("code/").removesuffix(".py").replace("/", ".")
        parts = _CLASS.split(archive.read(record).decode())[1:]
        for name, body in zip(parts[::2], parts[1::2], strict=True):
            listed = re.findall(r"__(?:parameters|buffers)__ = \[(.*?)\]", body, re.DOTALL)
            table[f"{module}.{name}"] = [n for part in listed for n in re.findall(r'"([^"]*)"', part)]
    return table


def _collect(owner: Any, prefix: str, declared: dict[str, list[str]], found: dict[str, Tensor]) -> None:
    names = declared.get(owner._class, [])
    for name, value in vars(owner).items():
        if isinstance(value, Tensor) and name in names:
            found[prefix + name] = value.detach()
    for name, value in vars(owner).items():
        if isinstance(value, _Object):
            _collect(value, f"{prefix}{name}.", declared, found)
