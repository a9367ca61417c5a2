"""The primitives, one file per family; ``op`` holds the record and the decorators, ``dispatch`` the call path."""

from __future__ import annotations

import importlib.util
from typing import Any


def __getattr__(name: str) -> Any:
    # PyTorch has its operators by namespace here. Families that are not loaded yet are left to the import system.
    if name.startswith("__") or importlib.util.find_spec(f"{__name__}.{name}") is not None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from flowtorch import ops_namespace

    return getattr(ops_namespace.ops, name)
