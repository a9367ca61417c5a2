"""What a checkpoint may name and call when it is not trusted."""

from __future__ import annotations

import codecs
from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import cache
from typing import Any

from flowtorch import dtypes, storage
from flowtorch.devices import device
from flowtorch.serialization import tensors
from flowtorch.serialization.names import find_torch, is_torch, torch_name
from flowtorch.serialization.pickling import StorageType, UnpicklingError, _get_layout, storage_type
from flowtorch.tensor import Size, Tensor

BLOCKED_MODULES = ("sys", "os", "posix", "nt")
REBUILD_NAMES = [name for name in vars(tensors) if name.startswith("_rebuild_")]
_marked_safe: list[Any] = []


def _encode(text: str, encoding: str = "utf-8") -> bytes:
    """``codecs.encode`` for what pickle uses it for: the bytes of a str."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise UnpicklingError(f"_codecs.encode is allowed for latin1 text only, not {encoding!r}")
    return text.encode(encoding)


def _bytearray(*args: Any) -> bytearray:
    """``bytearray`` of given bytes; a mere size would take memory that the file does not fill."""
    if args and not isinstance(args[0], (str, bytes, bytearray, list, tuple)):
        raise UnpicklingError(f"bytearray of {type(args[0]).__name__} is not allowed")
    if len(args) == 2:
        return bytearray(_encode(*args))
    return bytearray(*args)


def _empty_tensor(*args: Any) -> Tensor:
    if args:
        raise UnpicklingError("torch.Tensor may only be constructed empty")
    return Tensor()


def _from_type(function: Any, new_type: Any, args: Any, state: Any) -> Any:
    """``_rebuild_from_type_v2`` that calls only what the file could have called itself."""
    call = call_of(function)
    if not isinstance(new_type, type) or not issubclass(new_type, Tensor) or not isinstance(args, tuple):
        raise UnpicklingError(f"_rebuild_from_type_v2 expects a Tensor type, got {new_type}")
    return tensors._rebuild_from_type_v2(call, new_type, args, state)


@cache
def allowed_globals() -> dict[str, Any]:
    """Every name that any file may use, and what it stands for."""
    from flowtorch.nn.parameter import Parameter

    table: dict[str, Any] = {
        "collections.OrderedDict": OrderedDict,
        "collections.Counter": Counter,
        "torch.nn.parameter.Parameter": Parameter,
        "torch.serialization._get_layout": _get_layout,
        "torch.Size": Size,
        "torch.Tensor": Tensor,
        "torch.device": device,
        "_codecs.encode": codecs.encode,
        "builtins.bytearray": bytearray,
        "builtins.set": set,
        "builtins.complex": complex,
        "torch._tensor._rebuild_from_type_v2": tensors._rebuild_from_type_v2,
        "torch.storage.UntypedStorage": storage_type("UntypedStorage"),
    }
    table.update((str(dtype), dtype) for dtype in dtypes.PUBLIC.values())
    for name in storage.STORAGE_DTYPES:
        table[f"torch.{name}"] = table[f"torch.cuda.{name}"] = storage_type(name)
        tensor = name.replace("Storage", "Tensor")
        table[f"torch.{tensor}"] = table[f"torch.cuda.{tensor}"] = Tensor
    for name in REBUILD_NAMES:
        if not name.startswith("_rebuild_from_type"):
            table[f"torch._utils.{name}"] = getattr(tensors, name)
    return table


@cache
def _calls() -> dict[int, Callable]:
    """What runs when a file calls one of the allowed globals; one that is missing here may not be called."""
    names = allowed_globals()
    guarded = {codecs.encode: _encode, bytearray: _bytearray, Tensor: _empty_tensor}
    guarded[tensors._rebuild_from_type_v2] = _from_type
    inert = (dtypes.dtype, StorageType)
    return {id(obj): guarded.get(obj, obj) for obj in names.values() if not isinstance(obj, inert)}


def may_call(obj: Any) -> bool:
    """Whether a file may call ``obj`` by default."""
    return id(obj) in _calls()


def call_of(function: Any) -> Callable:
    """What a call of ``function`` in a file runs; UnpicklingError if it may not be called."""
    call = _calls().get(id(function))
    if call is None and any(function is obj for obj in user_globals().values()):
        call = function
    if call is None:
        owner = getattr(function, "__self__", None)
        belongs = f" which belongs to {owner}" if owner is not None else ""
        raise UnpicklingError(f"Trying to call reduce for unrecognized function {function}{belongs}")
    return call


def called(call: Callable, args: tuple) -> Any:
    """The result of an allowed call; arguments that make no sense are the file's fault."""
    if any(call is obj for obj in user_globals().values()):
        return call(*args)
    try:
        return call(*args)
    except (TypeError, ValueError, AttributeError, LookupError, OverflowError) as error:
        name = getattr(call, "__name__", call)
        raise UnpicklingError(f"invalid pickle data: {name}: {type(error).__name__}: {error}") from error


def user_globals() -> dict[str, Any]:
    """The names that the user has declared safe."""
    table = {}
    for entry in _marked_safe:
        if isinstance(entry, tuple):
            if len(entry) != 2:
                raise ValueError(
                    "Expected tuple of length 2 (global, str of callable full path), "
                    f"but got tuple of length: {len(entry)}"
                )
            if type(entry[1]) is not str:
                raise TypeError(
                    f"Expected second item in tuple to be str of callable full path, but got: {type(entry[1])}"
                )
            table[entry[1]] = entry[0]
        else:
            table[f"{entry.__module__}.{entry.__qualname__}"] = entry
            known = torch_name(entry)
            if known is not None:
                table[".".join(known)] = entry
    return table


def find_safe(module: str, name: str) -> Any:
    """The object of an allowed name; UnpicklingError for every other name."""
    full = f"{module}.{name}"
    if module in BLOCKED_MODULES:
        raise UnpicklingError(f"Trying to load unsupported GLOBAL {full} whose module {module} is blocked.")
    for table in (allowed_globals(), user_globals()):
        if full in table:
            return table[full]
    if is_torch(module) and _marked_safe:
        # The same class may have another path in the file than the one it was declared by.
        try:
            found = find_torch(module, name, load=False)
        except AttributeError:
            found = None
        if any(found is obj for obj in user_globals().values()):
            return found
    full = full.removeprefix("builtins.")
    raise UnpicklingError(
        f"Unsupported global: GLOBAL {full} was not an allowed global by default. "
        f"Please use `torch.serialization.add_safe_globals([{full}])` or the "
        f"`torch.serialization.safe_globals([{full}])` context manager to allowlist this global "
        "if you trust this class/function."
    )


def user_class(cls: Any) -> bool:
    """Whether the user has declared ``cls`` safe."""
    return any(cls is obj for obj in user_globals().values())


def add_safe_globals(safe_globals: list[Callable | tuple[Callable, str]]) -> None:
    """Declare classes and functions that ``load`` may call even for files that are not trusted.

    An entry is the object, or ``(object, "module.name")`` for the name that files know it by.
    """
    known = _marked_safe
    known += [entry for entry in safe_globals if not any(entry is k or entry == k for k in known)]


def get_safe_globals() -> list[Callable | tuple[Callable, str]]:
    """The classes and functions declared by :func:`add_safe_globals`."""
    return list(_marked_safe)


def clear_safe_globals() -> None:
    """Forget what :func:`add_safe_globals` has declared."""
    _marked_safe.clear()


class safe_globals:
    """Declare safe globals for the length of a ``with`` block."""

    def __init__(self, safe_globals: list[Callable | tuple[Callable, str]]) -> None:
        self.safe_globals = safe_globals

    def __enter__(self) -> None:
        self.before = get_safe_globals()
        add_safe_globals(self.safe_globals)

    def __exit__(self, *exc: object) -> None:
        _marked_safe[:] = self.before
