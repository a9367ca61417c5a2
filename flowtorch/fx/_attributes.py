"""Attributes of modules by dotted names: read, copied from one module to another, assigned, deleted."""

from __future__ import annotations

from typing import Any

import flowtorch as torch
from flowtorch.nn.module import Module


def _walk(module: Any, path: list[str]) -> Any:
    """The module at ``path``; what is missing on the way is made."""
    for name in path:
        if getattr(module, name, None) is None:
            setattr(module, name, Module())
        module = getattr(module, name)
    return module


def _put(value: Any, module: Any, name: str) -> None:
    if isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter):
        module.register_buffer(name, value)
    else:
        setattr(module, name, value)


def _assign_attr(from_obj: Any, to_module: Any, target: str) -> None:
    """Make ``from_obj`` the attribute ``target`` of a module: tensors become buffers."""
    *path, name = target.split(".")
    _put(from_obj, _walk(to_module, path), name)


def _copy_attr(from_module: Any, to_module: Any, target: str) -> None:
    """Give ``to_module`` the attribute that ``from_module`` has under a dotted name."""
    *path, name = target.split(".")
    for part in path:
        source, there = getattr(from_module, part), getattr(to_module, part, None)
        if source is there:  # copied as a whole before
            return
        from_module, to_module = source, _walk(to_module, [part])
    _put(getattr(from_module, name), to_module, name)


def _get_attr(model: Any, attr_name: str) -> Any:
    """The attribute with a dotted name."""
    return _get_attr_via_attr_list(model, attr_name.split("."))


def _get_attr_via_attr_list(model: Any, attr_list: list[str]) -> Any:
    for name in attr_list:
        model = getattr(model, name)
    return model


def _del_attr(model: Any, attr_name: str) -> None:
    """Delete the attribute with a dotted name."""
    *path, name = attr_name.split(".")
    delattr(_get_attr_via_attr_list(model, path), name)


def _has_attr(model: Any, attr_name: str) -> bool:
    """Whether there is an attribute with a dotted name."""
    try:
        _get_attr(model, attr_name)
    except AttributeError:
        return False
    return True
