"""Meta's accelerators (``torch.mtia``): flowtorch does not use them, and says so."""

from __future__ import annotations

from typing import Any, NoReturn

__path__: list[str] = []  # a package, as in PyTorch: imports below it are asked for by name
__all__ = ["current_device", "device_count", "is_available", "is_initialized", "memory_stats", "synchronize"]


def is_available() -> bool:
    """Whether there is such a device: no."""
    return False


def device_count() -> int:
    """The number of devices: 0."""
    return 0


def is_initialized() -> bool:
    """Whether devices were set up: no."""
    return False


def memory_stats(device: Any = None) -> dict[str, Any]:
    """Counts of the memory in use: none."""
    return {}


def _none(what: str) -> NoReturn:
    raise RuntimeError(f"Cannot execute {what}() without MTIA backend.")


def current_device() -> int:
    """RuntimeError: there is no device."""
    _none("getCurrentDevice")


def synchronize(device: Any = None) -> None:
    """RuntimeError: there is no device."""
    _none("getCurrentDevice")
