"""Linear algebra (torch.linalg): the functions that the op families register for this namespace."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowtorch import namespace
from flowtorch.ops.linalg_base import LinAlgError as LinAlgError

namespace.publish()
globals().update(namespace.namespaces["linalg"])
matmul = namespace.namespaces["torch"]["matmul"]

if TYPE_CHECKING:
    def __getattr__(name: str) -> Any: ...
