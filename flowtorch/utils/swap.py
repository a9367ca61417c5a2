"""Exchanging two tensors while everybody who holds them keeps holding the same objects."""

from __future__ import annotations

import copyreg
import weakref
from typing import Any


def swap_tensors(t1: Any, t2: Any) -> None:
    """Let two tensors change places: data, class, history and attributes; their identities stay.

    No weak reference to either may exist, and their classes must have the same slots.
    """
    for name, tensor in (("t1", t1), ("t2", t2)):
        if weakref.getweakrefs(tensor):
            raise RuntimeError(f"Cannot swap {name} because it has weakref associated with it")
    slots = set(copyreg._slotnames(type(t1)))  # type: ignore[attr-defined]
    if slots != set(copyreg._slotnames(type(t2))):  # type: ignore[attr-defined]
        raise RuntimeError("Cannot swap t1 and t2 if they have different slots")
    missing = object()
    for name in ("__class__", "__dict__", *slots):
        # Not through getattr: subclasses may show other attributes than they have.
        first, second = (_get(tensor, name, missing) for tensor in (t1, t2))
        for tensor, value in ((t1, second), (t2, first)):
            if value is not missing:
                object.__setattr__(tensor, name, value)
            elif _get(tensor, name, missing) is not missing:
                object.__delattr__(tensor, name)


def _get(tensor: Any, name: str, default: Any) -> Any:
    try:
        return object.__getattribute__(tensor, name)
    except AttributeError:
        return default
