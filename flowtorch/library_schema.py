"""Schemas of operators that programs define, from the annotations of their functions."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any

from flowtorch import devices, dtypes
from flowtorch.tensor import Tensor

_NAMES: dict[Any, str] = {
    Tensor: "Tensor", int: "SymInt", float: "float", bool: "bool", str: "str", dtypes.dtype: "ScalarType",
    devices.device: "Device", complex: "Scalar",
}  # fmt: skip


def parse_name(qualname: str) -> tuple[str, str]:
    """Return the namespace and the name in ``"namespace::name"``."""
    namespace, separator, name = qualname.partition("::")
    if not separator or not namespace or not name:
        raise ValueError(f"Expected `{qualname}` to be of the form `namespace::name`")
    return namespace, name


def infer_schema(
    prototype_function: Callable, /, *, mutates_args: str | Iterable[str], op_name: str | None = None, tags: Any = ()
) -> str:
    """Return the schema of a function with annotations: ``"(Tensor x, SymInt n) -> Tensor"``."""
    signature = inspect.signature(prototype_function)
    try:
        hints = typing.get_type_hints(prototype_function)
    except NameError as error:
        raise ValueError(f"infer_schema(func): an annotation cannot be resolved: {error}") from None
    changed = set() if isinstance(mutates_args, str) else set(mutates_args)
    unknown = changed - set(signature.parameters)
    if unknown:
        raise ValueError(f"{sorted(unknown)} in mutates_args were not found in the custom op's signature.")
    out, star = [], False
    for name, p in signature.parameters.items():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise ValueError(f"infer_schema(func): Unsupported kind of parameter {name}: {p.kind}")
        if name not in hints:
            raise ValueError(f"infer_schema(func): Parameter {name} must have a type annotation.")
        if p.kind is p.KEYWORD_ONLY and not star:
            star = True
            out.append("*")
        text = _type(hints[name])
        if name in changed or (mutates_args == "unknown" and "Tensor" in text):
            text = text.replace("Tensor", f"Tensor(a{len(out)}!)", 1)
        shown = f'"{p.default}"' if isinstance(p.default, str) else repr(p.default)
        default = "" if p.default is p.empty else f"={shown}"
        out.append(f"{text} {name}{default}")
    result = hints.get("return")
    return f"{op_name or ''}({', '.join(out)}) -> {_result(result)}"


def _type(hint: Any) -> str:
    if hint in _NAMES:
        return _NAMES[hint]
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        rest = [t for t in inner if t is not type(None)]
        if set(rest) <= {int, float, bool} and len(rest) > 1:
            return "Scalar" + "?" * (len(rest) < len(inner))
        if len(rest) == 1 and len(inner) == 2:
            return _type(rest[0]) + "?"
    if origin is not None and isinstance(origin, type) and issubclass(origin, (list, typing.Sequence)):  # type: ignore[arg-type]
        return _type(inner[0]) + "[]"
    raise ValueError(f"infer_schema(func): unsupported type {hint}")


def _result(hint: Any) -> str:
    if hint is None or hint is type(None):
        return "()"
    if typing.get_origin(hint) is tuple:
        return "(" + ", ".join(_type(t) for t in typing.get_args(hint)) + ")"
    return _type(hint)
