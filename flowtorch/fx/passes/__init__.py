"""Passes over graphs."""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = ("graph_drawer", "graph_manipulation", "infra", "operator_support", "param_fetch", "shape_prop",
            "split_module", "tools_common", "utils")  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"flowtorch.fx.passes.{name}")
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)
