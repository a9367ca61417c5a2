"""One module in several processes."""

from __future__ import annotations

import warnings
from typing import Any

from ..module import Module

__all__ = ["DistributedDataParallel"]


class DistributedDataParallel(Module):
    """Keeps the copies of ``module`` in the processes of a group in step by averaging their gradients.

    There are no process groups yet, so making one raises the error of a group that has not been initialised.
    """

    def __init__(self, module: Module, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")


class DistributedDataParallelCPU(DistributedDataParallel):
    """Deprecated: use DistributedDataParallel."""

    def __init__(self, module: Module, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            "`torch.nn.parallel.DistributedDataParallelCPU` is deprecated, please use "
            "`torch.nn.parallel.DistributedDataParallel` instead.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__(module, *args, **kwargs)
