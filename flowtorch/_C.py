"""Names that programs reach through torch._C."""

from __future__ import annotations

from flowtorch.ops.linalg_base import _LinAlgError as _LinAlgError
