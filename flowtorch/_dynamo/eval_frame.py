"""``OptimizedModule``, for isinstance checks."""

from __future__ import annotations

from typing import Any

from flowtorch.nn.module import Module


class OptimizedModule(Module):
    """The type that a compiled module has in PyTorch; here ``torch.compile`` returns the module itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("OptimizedModule: torch.compile returns the module itself, and makes none of these")
