"""CUDA devices (torch.cuda): truthful on machines without one.

Questions are answered, seeds and cache calls do nothing, and whatever needs a device says that there is none.
``FLOWTORCH_CUDA=interpret`` offers one device on host memory, whose kernels Triton's interpreter runs.
"""
from __future__ import annotations

import contextlib
import importlib
from typing import Any

from flowtorch import devices

_NONE = ("No CUDA device is available: flowtorch runs on cuda with the extra 'cuda12' or 'cuda13' (cupy and triton) "
         "and a GPU, "
         "or with FLOWTORCH_CUDA=interpret on host memory")

has_half = has_magma = False
default_generators: tuple = ()


class OutOfMemoryError(RuntimeError):
    """The device has no memory left."""


class DeferredCudaCallError(Exception):
    """A call that was put off until CUDA was initialised failed."""


def is_available() -> bool:
    """Whether there is a CUDA device."""
    return devices.interpreted_cuda()


def device_count() -> int:
    """The number of CUDA devices."""
    return 1 if devices.interpreted_cuda() else 0


def is_initialized() -> bool:
    """Whether CUDA has been initialised in this process."""
    return is_available()


def init() -> None:
    """Initialise CUDA; RuntimeError without a device."""
    _need()


def _need() -> None:
    if not is_available():
        raise RuntimeError(_NONE)


def current_device() -> int:
    """The index of the current device."""
    _need()
    return 0


def set_device(device: Any) -> None:
    """Make ``device`` current (a negative index does nothing)."""
    if isinstance(device, int) and device < 0:
        return
    _need()


def synchronize(device: Any = None) -> None:
    """Wait until the device has finished."""
    _need()


def get_device_name(device: Any = None) -> str:
    """The device's name."""
    _need()
    return "Triton interpreter on host memory"


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """(major, minor) compute capability."""
    _need()
    return (0, 0)


def get_device_properties(device: Any = None) -> Any:
    """Properties of the device."""
    _need()
    raise NotImplementedError("torch.cuda.get_device_properties: the interpreter has no device properties")


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether bfloat16 arithmetic is there."""
    return is_available()


def is_current_stream_capturing() -> bool:
    """Whether a CUDA graph is being captured."""
    return False


def get_arch_list() -> list[str]:
    """The architectures that kernels are compiled for."""
    return []


def manual_seed(seed: int) -> None:
    """Seed the current device's generator (silently nothing without a device)."""
    int(seed)


def manual_seed_all(seed: int) -> None:
    """Seed the generators of all devices (silently nothing without one)."""
    int(seed)


def seed() -> None:
    """Seed the current device's generator from entropy."""


def seed_all() -> None:
    """Seed all devices' generators from entropy."""


def initial_seed() -> int:
    """The seed of the current device's generator."""
    _need()
    return 0


def get_rng_state(device: Any = "cuda") -> Any:
    """The state of the device's generator."""
    _need()
    raise NotImplementedError("torch.cuda.get_rng_state is not supported yet")


def get_rng_state_all() -> list:
    """The states of all devices' generators."""
    return [get_rng_state(i) for i in range(device_count())]


def set_rng_state(new_state: Any, device: Any = "cuda") -> None:
    """Set the state of the device's generator."""
    _need()


def set_rng_state_all(new_states: Any) -> None:
    """Set the states of all devices' generators."""
    for i, s in enumerate(new_states):
        set_rng_state(s, i)


def empty_cache() -> None:
    """Give cached memory back to the device."""


def ipc_collect() -> None:
    """Free memory that other processes shared."""


def _zero(name: str, doc: str) -> Any:
    def figure(device: Any = None) -> int:
        return 0
    figure.__name__ = figure.__qualname__ = name
    figure.__doc__ = doc
    return figure


memory_allocated = _zero("memory_allocated", "Bytes that tensors occupy on the device.")
max_memory_allocated = _zero("max_memory_allocated", "The largest number of bytes that tensors have occupied.")
memory_reserved = _zero("memory_reserved", "Bytes that the allocator holds.")
max_memory_reserved = _zero("max_memory_reserved", "The largest number of bytes that the allocator has held.")
memory_cached, max_memory_cached = memory_reserved, max_memory_reserved


def memory_stats(device: Any = None) -> dict:
    """The allocator's statistics."""
    return {}


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """The allocator's statistics as text."""
    return "no CUDA device\n"


def reset_peak_memory_stats(device: Any = None) -> None:
    """Start measuring the largest numbers anew."""


reset_max_memory_allocated = reset_max_memory_cached = reset_peak_memory_stats


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """(free, total) bytes of the device."""
    _need()
    return (0, 0)


class device:
    """Context that makes a device current."""

    def __init__(self, device: Any) -> None:
        self.idx = device

    def __enter__(self) -> None:
        if self.idx is not None and not (isinstance(self.idx, int) and self.idx < 0):
            _need()

    def __exit__(self, *exc: object) -> None:
        return None


class device_of(device):
    """Context that makes a tensor's device current (nothing for tensors elsewhere)."""

    def __init__(self, obj: Any) -> None:
        super().__init__(obj.get_device() if obj.is_cuda else -1)


class Stream:
    """A queue of work on a device; making one needs a device."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _need()


class Event:
    """A mark in a stream; making one needs a device."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _need()


def stream(stream: Any) -> Any:
    """Context that makes a stream current; None does nothing."""
    if stream is not None:
        _need()
    return contextlib.nullcontext()


def current_stream(device: Any = None) -> Any:
    """The current stream."""
    _need()
    return Stream()


def default_stream(device: Any = None) -> Any:
    """The default stream."""
    _need()
    return Stream()


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """Whether one device can read the other's memory."""
    _need()
    return False


def __getattr__(name: str) -> Any:
    if name in ("amp", "graphs", "memory", "nvtx", "random", "streams"):
        return importlib.import_module(f"flowtorch.cuda.{name}")
    if name in ("ExternalStream", "StreamContext"):
        return getattr(importlib.import_module("flowtorch.cuda.streams"), name)
    if name in ("CUDAGraph", "graph", "graph_pool_handle", "make_graphed_callables"):
        return getattr(importlib.import_module("flowtorch.cuda.graphs"), name)
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)
