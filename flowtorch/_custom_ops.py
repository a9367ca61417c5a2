"""The earlier names of ``torch.library``'s functions for operators of a program's own."""

from __future__ import annotations

from flowtorch.library import custom_op as custom_op
from flowtorch.library import get_ctx as get_ctx
from flowtorch.library import impl as impl
from flowtorch.library import impl_abstract as impl_abstract

__all__ = ["custom_op", "get_ctx", "impl", "impl_abstract"]
