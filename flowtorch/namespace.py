"""Publishing: what the registry holds becomes functions of the public namespaces and methods of Tensor."""
from __future__ import annotations

from typing import Any

from flowtorch.ops import compose, fast_pointwise
from flowtorch.ops.op import COMPOSITES, REGISTRY
from flowtorch.tensor import Tensor

_done: set[str] = set()
namespaces: dict[str, dict[str, Any]] = {}


def publish() -> None:
    """Attach everything registered since the last call. ``namespaces`` maps a namespace to its functions."""
    for name, op in REGISTRY.items():
        if name in _done:
            continue
        _done.add(name)
        if op.namespace != "Tensor" and not name.startswith("_"):
            namespaces.setdefault(op.namespace, {})[name] = op.public
        if op.method:
            setattr(Tensor, op.method if isinstance(op.method, str) else name, op.public)
        if op.inplace:
            inplace = op.public_inplace                                  # type: ignore[attr-defined]
            if op.method:
                setattr(Tensor, name + "_", inplace)
            if op.namespace == "torch" and len(op.tensors) == 1:
                namespaces.setdefault("torch", {})[name + "_"] = inplace
        if op.dunder:
            attach_operators(op)
    for key, record in COMPOSITES.items():
        if f"composite {key}" in _done:                                 # a primitive may have its name elsewhere
            continue
        _done.add(f"composite {key}")
        public = record.public
        if record.namespace != "Tensor":
            namespaces.setdefault(record.namespace, {})[record.name] = public
        if record.method:
            setattr(Tensor, record.method if isinstance(record.method, str) else record.name, public)
        if record.inplace:
            setattr(Tensor, record.name + "_", compose.compose_inplace(record, public))


def publish_aliases(aliases: dict[str, str]) -> None:
    """Further public names of the same functions: ``torch.multiply`` is ``torch.mul``, methods and in-place forms
    too."""
    functions = namespaces["torch"]
    for alias, name in aliases.items():
        functions[alias] = functions[name]
        for suffix in ("", "_"):
            if hasattr(Tensor, name + suffix):
                setattr(Tensor, alias + suffix, getattr(Tensor, name + suffix))
        if name + "_" in functions:
            functions[alias + "_"] = functions[name + "_"]


_REFLECTED = {
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
    "matmul",
}
_COMPARED = {"eq", "ne", "lt", "le", "gt", "ge"}


def attach_operators(op: Any) -> None:
    """``__add__``, ``__radd__``, ``__iadd__`` and their like."""
    d = op.dunder
    if len(op.tensors) == 1:
        setattr(Tensor, f"__{d}__", op.public)
        return
    setattr(Tensor, f"__{d}__", fast_pointwise.binary(op, operator=True))
    if d in _REFLECTED:
        setattr(Tensor, f"__r{d}__", fast_pointwise.binary(op, reverse=True, operator=True))
        if op.inplace:
            setattr(Tensor, f"__i{d}__", op.public_inplace)
        if d == "truediv":                                              # Python 2's names, which PyTorch kept
            for kind in ("", "r", "i"):
                setattr(Tensor, f"__{kind}div__", getattr(Tensor, f"__{kind}truediv__"))
