"""Apple's GPUs (``torch.mps``): flowtorch does not use them, and says so."""

from __future__ import annotations

from typing import Any, NoReturn

__path__: list[str] = []  # a package, as in PyTorch: imports below it are asked for by name
__all__ = [
    "Event", "compile_shader",
    "current_allocated_memory", "device_count", "driver_allocated_memory", "empty_cache", "get_rng_state",
    "is_available", "load_metallib", "manual_seed", "recommended_max_memory", "seed", "set_per_process_memory_fraction",
    "set_rng_state", "synchronize",
]  # fmt: skip


def is_available() -> bool:
    """Whether there is an MPS device: no."""
    return False


def device_count() -> int:
    """The number of MPS devices: 0."""
    return 0


def _none(what: str) -> NoReturn:
    raise RuntimeError(f"Cannot execute {what}() without MPS backend.")


def synchronize() -> None:
    """RuntimeError: there is no device."""
    _none("deviceSynchronize")


def empty_cache() -> None:
    """RuntimeError: there is no device."""
    _none("emptyCache")


def current_allocated_memory() -> int:
    """RuntimeError: there is no device."""
    _none("getCurrentAllocatedMemory")


def driver_allocated_memory() -> int:
    """RuntimeError: there is no device."""
    _none("getDriverAllocatedMemory")


def recommended_max_memory() -> int:
    """RuntimeError: there is no device."""
    _none("getRecommendedMaxMemory")


def set_per_process_memory_fraction(fraction: float) -> None:
    """RuntimeError: there is no device."""
    _none("setMemoryFraction")


def get_rng_state(device: Any = "mps") -> Any:
    """RuntimeError: there is no device."""
    _none("getDefaultGenerator")


def set_rng_state(new_state: Any, device: Any = "mps") -> None:
    """RuntimeError: there is no device."""
    _none("getDefaultGenerator")


def manual_seed(seed: int) -> None:
    """Seed nothing: there is no device."""


def seed() -> None:
    """RuntimeError: there is no device."""
    _none("getDefaultGenerator")


class Event:
    """A mark in the device's queue: RuntimeError, there is no device."""

    def __init__(self, enable_timing: bool = False) -> None:
        _none("acquireEvent")


def compile_shader(source: str) -> NoReturn:
    """RuntimeError: there is no device."""
    raise RuntimeError("MPS is not available: write the kernel for numpy or Triton, see torch.library.custom_op")


def load_metallib(source: Any) -> NoReturn:
    """RuntimeError: there is no device."""
    raise RuntimeError("MPS is not available: write the kernel for numpy or Triton, see torch.library.custom_op")
