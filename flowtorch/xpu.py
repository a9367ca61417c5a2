"""Intel's GPUs (``torch.xpu``): flowtorch does not use them, and says so."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from typing import Any, NoReturn

__path__: list[str] = []  # a package, as in PyTorch: imports below it are asked for by name
__all__ = [
    "current_device", "current_stream", "device", "device_count", "empty_cache", "get_device_capability",
    "get_device_name", "get_device_properties", "get_rng_state", "get_rng_state_all", "init", "initial_seed",
    "is_available", "is_bf16_supported", "is_current_stream_capturing", "is_initialized", "is_tf32_supported",
    "manual_seed", "manual_seed_all", "max_memory_allocated", "max_memory_reserved", "mem_get_info",
    "memory_allocated", "memory_reserved", "memory_stats", "seed", "seed_all", "set_device", "set_rng_state",
    "set_rng_state_all", "synchronize",
]  # fmt: skip

default_generators: tuple = ()


def is_available() -> bool:
    """Whether there is an XPU device: no."""
    return False


def device_count() -> int:
    """The number of XPU devices: 0."""
    return 0


def is_initialized() -> bool:
    """Whether devices were set up: no."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether a device computes in bfloat16: there is none."""
    return False


def is_tf32_supported() -> bool:
    """Whether a device computes in TensorFloat-32: there is none."""
    return False


def is_current_stream_capturing() -> bool:
    """Whether a graph is being recorded: no."""
    return False


def _none(*args: Any, **kwargs: Any) -> NoReturn:
    """AssertionError: there is no device."""
    raise AssertionError("Torch not compiled with XPU enabled")


init = current_device = current_stream = get_device_capability = get_device_name = get_device_properties = _none
get_rng_state = initial_seed = mem_get_info = synchronize = _none


def set_device(device: Any) -> None:
    """AssertionError for a device; a negative index does nothing."""
    if not isinstance(device, int) or device >= 0:
        _none()


def get_rng_state_all() -> list:
    """The states of all devices: none."""
    return []


def set_rng_state_all(new_states: Any) -> None:
    """AssertionError if there is a state to set."""
    for _ in new_states:
        _none()


def set_rng_state(new_state: Any, device: Any = "xpu") -> None:
    """AssertionError: there is no device."""
    _none()


def manual_seed(seed: int) -> None:
    """Seed nothing: there is no device."""


def manual_seed_all(seed: int) -> None:
    """Seed nothing: there is no device."""


def seed() -> None:
    """Seed nothing: there is no device."""


def seed_all() -> None:
    """Seed nothing: there is no device."""


def empty_cache() -> None:
    """There is no memory to give back."""


def memory_stats(device: Any = None) -> OrderedDict:
    """Counts of the memory in use: none."""
    return OrderedDict()


def memory_allocated(device: Any = None) -> int:
    """The bytes in use: 0."""
    return 0


memory_reserved = max_memory_allocated = max_memory_reserved = memory_allocated


class device(contextlib.AbstractContextManager):
    """A context in which a device is current; None and negative indices change nothing."""

    def __init__(self, device: Any) -> None:
        if device is not None and not (isinstance(device, int) and device < 0):
            _none()

    def __exit__(self, *exc: object) -> None:
        pass
