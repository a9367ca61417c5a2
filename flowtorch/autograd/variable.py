"""``Variable``, the former name of ``Tensor``."""

from __future__ import annotations

from flowtorch.tensor import Tensor

__all__ = ["Variable"]

Variable = Tensor
