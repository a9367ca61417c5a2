"""The allocator of device memory: CuPy's pool, which programs may ask about and limit, but not replace."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NoReturn

from flowtorch import cuda


def _need() -> None:
    if not cuda.is_available():
        raise AssertionError("Torch not compiled with CUDA enabled: there is no CUDA device")


def _refuse(name: str) -> NoReturn:
    raise RuntimeError(
        f"torch.cuda.{name}: flowtorch's device memory comes from CuPy's pool, which cannot be replaced; "
        "cupy.cuda.set_allocator sets another one"
    )


def caching_allocator_alloc(size: int, device: Any = None, stream: Any = None) -> int:
    """Take bytes of the device's memory for another library; returns the address."""
    _need()
    module = cuda.cupy()
    if module is None:
        _refuse("caching_allocator_alloc")
    block = module.cuda.alloc(size)
    _given[block.ptr] = block
    return block.ptr


def caching_allocator_delete(mem_ptr: int) -> None:
    """Give memory back that ``caching_allocator_alloc`` took."""
    _given.pop(mem_ptr, None)


_given: dict[int, Any] = {}


def caching_allocator_enable(value: bool = True) -> None:
    """Accepted for PyTorch's sake: freed memory is always kept for later."""


@contextlib.contextmanager
def caching_allocator_disabled() -> Iterator[None]:
    """A context for PyTorch's sake: freed memory is kept for later inside it as well."""
    yield


def get_allocator_backend() -> str:
    """The name of the allocator."""
    return "cupy"


def set_per_process_memory_fraction(fraction: float, device: Any = None) -> None:
    """Let this process take at most a part of the device's memory."""
    _need()
    if not isinstance(fraction, float):
        raise TypeError("Invalid type for fraction argument, must be `float`")
    if not 0 <= fraction <= 1:
        raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
    pool = cuda._pool()
    if pool is not None:
        pool.set_limit(size=int(fraction * cuda.mem_get_info()[1]))


def get_per_process_memory_fraction(device: Any = None) -> float:
    """The part of the device's memory that this process may take."""
    _need()
    pool = cuda._pool()
    limit = 0 if pool is None else pool.get_limit()
    return limit / cuda.mem_get_info()[1] if limit else 1.0


def memory_snapshot(mempool_id: Any = None, include_traces: bool = True) -> list:
    """The blocks that the allocator holds, of which CuPy's pool tells the sum alone: an empty list."""
    return []


def memory_stats_as_nested_dict(device: Any = None) -> dict[str, Any]:
    """``memory_stats`` with a dictionary for each part of a name."""
    nested: dict[str, Any] = {}
    for name, value in cuda.memory_stats(device).items():
        *path, last = name.split(".")
        inner = nested
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return nested


def host_memory_stats() -> dict[str, Any]:
    """Counts of pinned host memory, of which none is kept."""
    return OrderedDict()


def host_memory_stats_as_nested_dict() -> dict[str, Any]:
    """Counts of pinned host memory, of which none is kept."""
    return {}


def reset_accumulated_memory_stats(device: Any = None) -> None:
    """Start to count allocations anew; they are not counted."""


def reset_accumulated_host_memory_stats() -> None:
    """Start to count allocations of pinned memory anew; they are not counted."""


def reset_peak_host_memory_stats() -> None:
    """Start to look for the most pinned memory anew; it is not looked for."""


class MemPool:
    """A pool of memory of its own: not supported."""

    def __init__(self, allocator: Any = None, use_on_oom: bool = False, no_split: bool = False) -> None:
        _refuse("MemPool")


def use_mem_pool(pool: Any, device: Any = None) -> NoReturn:
    """A context that takes memory from a pool of its own: not supported."""
    _refuse("use_mem_pool")


class CUDAPluggableAllocator:
    """An allocator from a shared library: not supported."""

    def __init__(self, path_to_so_file: str, alloc_fn_name: str, free_fn_name: str) -> None:
        _refuse("CUDAPluggableAllocator")


def change_current_allocator(allocator: Any) -> NoReturn:
    """Use another allocator: not supported."""
    _refuse("change_current_allocator")
