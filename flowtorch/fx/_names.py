"""The names of things in generated code: what PyTorch calls a function, and unique names for values."""

from __future__ import annotations

import builtins
import functools
import inspect
import keyword
import math
import re
import types
from typing import Any, NamedTuple

import flowtorch as torch
from flowtorch.ops.op import COMPOSITES, REGISTRY

# Functions of nn.functional that PyTorch implements outside of it, by the module that its code names them in.
_ELSEWHERE = {
    "torch": (
        "adaptive_avg_pool1d avg_pool1d bilinear channel_shuffle conv1d conv2d conv3d conv_tbc conv_transpose1d "
        "conv_transpose2d conv_transpose3d cosine_similarity hardshrink native_channel_shuffle pairwise_distance pdist "
        "pixel_shuffle pixel_unshuffle prelu"
    ),
    "torch._C._nn": "avg_pool2d avg_pool3d gelu linear one_hot scaled_dot_product_attention softplus softshrink",
}
# Functions of torch that PyTorch writes in Python, in a module of their own.
_IN_FUNCTIONAL = frozenset((
    "atleast_1d", "atleast_2d", "atleast_3d", "block_diag", "broadcast_tensors", "cartesian_prod", "cdist",
    "chain_matmul", "einsum", "lu", "meshgrid", "norm", "split", "stft", "tensordot", "unique",
    "unique_consecutive", "unravel_index",
))  # fmt: skip
_SPECIAL = {
    ("torch.nn.functional", "logsigmoid"): "torch._C._nn.log_sigmoid",
    ("torch", "lobpcg"): "torch._lobpcg.lobpcg",
    ("torch", "pca_lowrank"): "torch._lowrank.pca_lowrank",
    ("torch", "svd_lowrank"): "torch._lowrank.svd_lowrank",
}
# Of one function with names in several namespaces, the first here names it.
_ORDER = ("torch.nn.functional", "torch", "torch.linalg", "torch.fft", "torch.special")


@functools.cache
def _functions() -> dict[Any, str]:
    """Function -> its name in generated code, for the functions of the public namespaces."""
    home = {name: module for module, names in _ELSEWHERE.items() for name in names.split()}
    found: dict[Any, str] = {}
    records: list[Any] = [*REGISTRY.values(), *COMPOSITES.values()]
    for own_name in (True, False):  # a function's own name before its aliases
        for space in _ORDER:
            module = _space(space)
            # Modules list a function only once somebody has asked for it; the records know all.
            published = [r.name for r in records if r.namespace in (space, space.removeprefix("torch."))]
            for name in (*published, *dir(module)):
                value: Any = None if name.startswith("_") else getattr(module, name, None)
                if _is_ours(value) and (value.__name__ == name) is own_name:
                    found.setdefault(value, _published(space, name, home))
    return found


def _space(name: str) -> Any:
    module: Any = torch
    for part in name.split(".")[1:]:
        module = getattr(module, part)
    return module


def _is_ours(value: Any) -> bool:
    if not callable(value) or isinstance(value, (type, types.ModuleType)) or not hasattr(value, "__name__"):
        return False
    return str(getattr(value, "__module__", "")).partition(".")[0] in ("flowtorch", "torch")


def _published(space: str, name: str, home: dict[str, str]) -> str:
    if (space, name) in _SPECIAL:
        return _SPECIAL[space, name]
    if space == "torch.nn.functional":
        return f"{home.get(name, space)}.{name}"
    if space == "torch":
        return f"torch.functional.{name}" if name in _IN_FUNCTIONAL else f"torch.{name}"
    short = space.rpartition(".")[2]
    return f"torch._C._{short}.{short}_{name}"


def torch_name(value: Any) -> str | None:
    """PyTorch's dotted name of a function or class of the library; None for what is not of the library."""
    module = getattr(value, "__module__", None)
    if not isinstance(module, str) or module.partition(".")[0] not in ("flowtorch", "torch"):
        return None
    if isinstance(value, type):
        return public_module(module) + "." + value.__qualname__
    from flowtorch.ops_namespace import OpOverload, OpOverloadPacket

    if isinstance(value, (OpOverload, OpOverloadPacket)):
        return f"torch.ops.{value}"
    try:
        found = _functions().get(value)
    except TypeError:  # not hashable
        found = None
    name: str = value.__name__
    if found is None and inspect.getattr_static(torch.Tensor, name, None) is value:
        found = f"torch.Tensor.{name}"
    if found is None and getattr(torch, name, None) is value:
        found = f"torch.{name}"
    return found or f"{public_module(module)}.{name}"


def public_module(module: str) -> str:
    """The PyTorch module that stands for one of this library's: the same path under ``torch``."""
    first, dot, rest = module.partition(".")
    return ("torch" if first == "flowtorch" else first) + dot + rest


def qualified_name(function: Any) -> str:
    """The name by which generated code refers to a function."""
    name: str = function.__name__
    if getattr(builtins, name, None) is function:
        return name
    if isinstance(function, (types.FunctionType, types.BuiltinFunctionType, type)) or hasattr(function, "__module__"):
        known = torch_name(function)
        if known is not None:
            return known
    if name == "<lambda>":
        try:
            name = inspect.getsource(function).partition("=")[0].strip()
        except (OSError, TypeError) as error:
            raise RuntimeError("Unable to represent lambda") from error
    module = getattr(function, "__module__", None)
    if module is None:
        raise RuntimeError(f"cannot find module for {function}")
    return f"{module}.{name}"


def type_name(kind: Any) -> str:
    """A type as annotations show it."""
    if isinstance(kind, type) and not isinstance(kind, types.GenericAlias):
        if kind.__module__ == "builtins":
            return kind.__qualname__
        return f"{public_module(kind.__module__)}.{kind.__qualname__}"
    if kind is ...:
        return "..."
    if isinstance(kind, types.FunctionType):
        return kind.__name__
    return re.sub(r"\bflowtorch\.", "torch.", repr(kind))


# ---------------------------------------------------------------- names of values


class Builtin(NamedTuple):
    """A value that every generated function may name, and the statement that makes it known to a file."""

    import_str: str
    obj: Any


def _builtins() -> dict[str, Builtin]:
    from flowtorch.fx import _pytree as fx_pytree
    from flowtorch.utils import _pytree as pytree

    return {
        "inf": Builtin("from math import inf", math.inf),
        "nan": Builtin("from math import nan", math.nan),
        "NoneType": Builtin("NoneType = type(None)", type(None)),
        "torch": Builtin("import flowtorch as torch", torch),
        "device": Builtin("from flowtorch import device", torch.device),
        "fx_pytree": Builtin("import flowtorch.fx._pytree as fx_pytree", fx_pytree),
        "pytree": Builtin("import flowtorch.utils._pytree as pytree", pytree),
    }


CUSTOM_BUILTINS = _builtins()
_TAKEN: dict[str, Any] = {word: object() for word in keyword.kwlist}
_TAKEN.update(vars(builtins))
_TAKEN.update({name: builtin.obj for name, builtin in CUSTOM_BUILTINS.items()})


def snake_case(text: str) -> str:
    """``MyLayer`` as ``my_layer``."""
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", text).lower()


def is_magic(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


class Namespace:
    """Gives out names of values: each once, and none that Python or the library has already."""

    def __init__(self) -> None:
        self._obj_to_name: dict[Any, str] = {}
        self._used_names: set[str] = set()
        self._base_count: dict[str, int] = {}

    def create_name(self, candidate: str, obj: Any) -> str:
        """A new name like ``candidate``; for an ``obj`` that has one already, that."""
        if obj is not None and obj in self._obj_to_name:
            return self._obj_to_name[obj]
        candidate = re.sub("[^0-9a-zA-Z_]+", "_", candidate) or "_unnamed"
        if candidate[0].isdigit():
            candidate = "_" + candidate
        base, number = _numbered(candidate)
        if number is None or candidate in self._used_names:
            number = self._base_count.get(base, 0)
            if _TAKEN.get(candidate, obj) is not obj:
                number += 1
                candidate = f"{base}_{number}"
        while candidate in self._used_names:
            number += 1
            candidate = f"{base}_{number}"
        self._used_names.add(candidate)
        self._base_count[base] = number
        if obj is not None:
            self._obj_to_name[obj] = candidate
        return candidate

    def associate_name_with_obj(self, name: str, obj: Any) -> None:
        """Note that ``name``, made before, is that of ``obj``."""
        assert self._obj_to_name.setdefault(obj, name) is name, "obj is already associated"

    def _rename_object(self, obj: Any, name: str) -> None:
        assert obj in self._obj_to_name, f"{obj} has no name yet"
        self._obj_to_name[obj] = name
        self._used_names.add(name)


def _numbered(name: str) -> tuple[str, int | None]:
    """``conv_2`` as ("conv", 2), and names without a number at their end with None."""
    base, _, end = name.rpartition("_")
    return (base, int(end)) if base and end.isascii() and end.isdigit() else (name, None)
