"""Names that libraries take from ``torch._C._nn``: functions of ``torch.nn.functional``, and how ``to`` is read."""

from __future__ import annotations

from typing import Any

from flowtorch.nn.module_tree import _parse_to as _parse_to


def __getattr__(name: str) -> Any:
    from flowtorch.nn import functional

    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(functional, name)
