"""The accelerator of this machine, whatever its kind: CUDA where it is available, else none."""

from __future__ import annotations

from typing import Any

from flowtorch import cuda, devices

__path__: list[str] = []  # a package, as in PyTorch: imports below it are asked for by name
__all__ = [
    "current_accelerator", "current_device_idx", "current_device_index", "current_stream", "device_count",
    "device_index", "empty_cache", "get_memory_info", "is_available", "max_memory_allocated", "max_memory_reserved",
    "memory_allocated", "memory_reserved", "memory_stats", "reset_accumulated_memory_stats",
    "reset_peak_memory_stats", "set_device_idx", "set_device_index", "set_stream", "synchronize",
]  # fmt: skip


class AcceleratorError(RuntimeError):
    """The accelerator reported an error, by its number."""

    error_code: int | None = None


def is_available() -> bool:
    """Whether there is an accelerator."""
    return cuda.is_available()


def device_count() -> int:
    """The number of its devices."""
    return cuda.device_count()


def current_accelerator(check_available: bool = False) -> devices.device | None:
    """The accelerator's device without an index, or None."""
    return devices.device("cuda") if is_available() else None


def _cuda() -> Any:
    if not is_available():
        raise RuntimeError("Cannot access accelerator device when none is available.")
    return cuda


def current_device_index() -> int:
    """The index of the current device."""
    return _cuda().current_device()


def _index(device: Any) -> int | None:
    return device if isinstance(device, int) or device is None else devices.device(device).index


def set_device_index(device: Any, /) -> None:
    """Make a device current."""
    _cuda().set_device(_index(device))


current_device_idx, set_device_idx = current_device_index, set_device_index


def synchronize(device: Any = None, /) -> None:
    """Wait until a device has finished."""
    _cuda().synchronize(_index(device))


def current_stream(device: Any = None, /) -> Any:
    """The current stream of a device."""
    return _cuda().current_stream(_index(device))


def set_stream(stream: Any) -> None:
    """Make a stream the current one."""
    _cuda().set_stream(stream)


class device_index:
    """A context in which a device is current (None changes nothing)."""

    def __init__(self, device: int | None, /) -> None:
        self.index = device

    def __enter__(self) -> None:
        if self.index is not None:
            self.before = current_device_index()
            set_device_index(self.index)

    def __exit__(self, *exc: object) -> None:
        if self.index is not None:
            set_device_index(self.before)


def empty_cache() -> None:
    """Give memory back that is kept for later."""
    _cuda().empty_cache()


def get_memory_info(device_index: Any = None, /) -> tuple[int, int]:
    """The free and the total memory of a device, in bytes."""
    return _cuda().mem_get_info(_index(device_index))


def memory_stats(device_index: Any = None, /) -> dict[str, Any]:
    """Counts of the memory in use."""
    return _cuda().memory_stats(_index(device_index))


def memory_allocated(device_index: Any = None, /) -> int:
    """The bytes in use."""
    return memory_stats(device_index).get("allocated_bytes.all.current", 0)


def max_memory_allocated(device_index: Any = None, /) -> int:
    """The most bytes that were in use."""
    return memory_stats(device_index).get("allocated_bytes.all.peak", 0)


def memory_reserved(device_index: Any = None, /) -> int:
    """The bytes taken from the device."""
    return memory_stats(device_index).get("reserved_bytes.all.current", 0)


def max_memory_reserved(device_index: Any = None, /) -> int:
    """The most bytes that were taken from the device."""
    return memory_stats(device_index).get("reserved_bytes.all.peak", 0)


def reset_peak_memory_stats(device_index: Any = None, /) -> None:
    """Start to look for the most bytes anew."""
    _cuda().reset_peak_memory_stats(_index(device_index))


def reset_accumulated_memory_stats(device_index: Any = None, /) -> None:
    """Start to count allocations anew."""
    _cuda().reset_accumulated_memory_stats(_index(device_index))
