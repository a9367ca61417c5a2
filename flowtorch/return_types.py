"""The types of results with named fields, ``torch.return_types.max``: tuples."""

from __future__ import annotations

from typing import Any

_PAIRS = ("cummax", "cummin", "kthvalue", "max", "median", "min", "mode", "nanmedian", "sort", "topk")


def __getattr__(name: str) -> Any:
    from flowtorch.ops import families
    from flowtorch.ops.op import REGISTRY

    if name in _PAIRS:
        return families.named_result(name, ("values", "indices"))
    record = REGISTRY.get(name) or REGISTRY.get(name.removeprefix("linalg_"))
    if record is not None and record.outputs:
        return families.named_result(name, record.outputs)
    for made in list(families._named.values()):
        if made.__name__ == name:
            return made
    raise AttributeError(f"module 'torch.return_types' has no attribute '{name}'")
