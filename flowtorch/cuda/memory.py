"""Names of ``torch.cuda`` by the module that defines them in PyTorch."""

from __future__ import annotations

from typing import Any

from flowtorch import cuda
from flowtorch.cuda import (
    empty_cache as empty_cache,
)
from flowtorch.cuda import (
    max_memory_allocated as max_memory_allocated,
)
from flowtorch.cuda import (
    max_memory_reserved as max_memory_reserved,
)
from flowtorch.cuda import (
    mem_get_info as mem_get_info,
)
from flowtorch.cuda import (
    memory_allocated as memory_allocated,
)
from flowtorch.cuda import (
    memory_reserved as memory_reserved,
)
from flowtorch.cuda import (
    memory_stats as memory_stats,
)
from flowtorch.cuda import (
    memory_summary as memory_summary,
)
from flowtorch.cuda import (
    reset_peak_memory_stats as reset_peak_memory_stats,
)

_FURTHER = ("is_initialized", "list_gpu_processes", "max_memory_cached", "memory_cached", "reset_max_memory_allocated",
            "reset_max_memory_cached")  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _FURTHER or cuda._ELSEWHERE.get(name) == "allocator":
        return getattr(cuda, name)
    raise AttributeError(f"module 'torch.cuda.memory' has no attribute '{name}'")
