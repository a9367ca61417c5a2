"""The first profiler's name for ``torch.autograd.profiler.profile``."""

from __future__ import annotations

from flowtorch.autograd.profiler import profile as profile

__all__ = ["profile"]
