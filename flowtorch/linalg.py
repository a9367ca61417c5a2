"""Linear algebra (torch.linalg): the functions that the op families register for this namespace."""
from __future__ import annotations

from typing import Any

from flowtorch import namespace

namespace.publish()


def __getattr__(name: str) -> Any:
    found = namespace.namespaces.get("linalg", {}).get(name)
    if found is None:
        raise AttributeError(f"module 'torch.linalg' has no attribute '{name}'")
    globals()[name] = found
    return found
