"""Linear algebra (torch.linalg): the functions that the op families register for this namespace."""
from __future__ import annotations

from flowtorch import namespace
from flowtorch.ops.linalg_base import LinAlgError as LinAlgError

namespace.publish()
globals().update(namespace.namespaces["linalg"])
matmul = namespace.namespaces["torch"]["matmul"]
