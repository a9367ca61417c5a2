"""CUDA devices (torch.cuda): truthful on machines without one.

Questions are answered, seeds and cache calls do nothing, and whatever needs a device says that there is none.
``FLOWTORCH_CUDA=interpret`` offers one device on host memory, whose kernels Triton's interpreter runs.
"""
from __future__ import annotations

import contextlib
import importlib
import os
import time
from types import SimpleNamespace
from typing import Any

from flowtorch import devices

_NONE = ("No CUDA device is available: flowtorch runs on cuda with the extra 'cuda12' or 'cuda13' (cupy and triton) "
         "and a GPU, "
         "or with FLOWTORCH_CUDA=interpret on host memory")

has_half, has_magma = True, False
default_generators: tuple = ()


class OutOfMemoryError(RuntimeError):
    """The device has no memory left."""


OutOfMemoryError.__module__ = "flowtorch"


class DeferredCudaCallError(Exception):
    """A call that was put off until CUDA was initialised failed."""


def is_available() -> bool:
    """Whether there is a CUDA device, and what it needs to be used (CuPy and Triton).

    >>> device = "cuda" if torch.cuda.is_available() else "cpu"
    """
    return devices.cuda_count() > 0


def device_count() -> int:
    """The number of CUDA devices: 0 without a GPU.

    >>> torch.cuda.device_count() >= 0
    True
    """
    return devices.cuda_count()


def cupy() -> Any:
    """CuPy where it runs on a GPU; None where Triton's interpreter stands in for one."""
    _need()
    from flowtorch.array.cuda import array_module

    module = array_module()
    return None if module.__name__ == "numpy" else module


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
    """Wait until the device has finished, and raise what kernels found wrong."""
    module = cupy()
    if module is not None:
        with _translating():
            module.cuda.runtime.deviceSynchronize()
    from flowtorch.array.cuda import faults

    faults.check()


def _translating() -> Any:
    """A context in which CuPy's errors become PyTorch's."""
    from flowtorch.cuda.errors import translating

    return translating()


def get_device_name(device: Any = None) -> str:
    """The device's name."""
    return get_device_properties(device).name


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """(major, minor) compute capability."""
    found = get_device_properties(device)
    return found.major, found.minor


class _CudaDeviceProperties(SimpleNamespace):
    """What a device is: name, capability, memory in bytes, number of multiprocessors."""


def get_device_properties(device: Any = None) -> Any:
    """Properties of the device."""
    module = cupy()
    if module is None:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return _CudaDeviceProperties(
            name="Triton interpreter on host memory", major=0, minor=0, total_memory=memory, warp_size=1,
            multi_processor_count=os.cpu_count() or 1,
        )  # fmt: skip
    found = module.cuda.runtime.getDeviceProperties(module.cuda.runtime.getDevice())
    name = found["name"]
    return _CudaDeviceProperties(
        name=name.decode() if isinstance(name, bytes) else name, major=found["major"], minor=found["minor"],
        total_memory=found["totalGlobalMem"], warp_size=found["warpSize"],
        multi_processor_count=found["multiProcessorCount"], L2_cache_size=found["l2CacheSize"],
        shared_memory_per_block=found["sharedMemPerBlock"], max_threads_per_multi_processor=found[
            "maxThreadsPerMultiProcessor"],
    )  # fmt: skip


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether bfloat16 arithmetic is there."""
    return is_available()


def is_current_stream_capturing() -> bool:
    """Whether a CUDA graph is being captured."""
    module = cupy() if is_available() else None
    return module is not None and bool(module.cuda.get_current_stream().is_capturing())


def get_arch_list() -> list[str]:
    """The architectures that kernels are compiled for."""
    return []


def _generator(device: Any = None) -> Any:
    _need()
    from flowtorch.array import philox

    return philox.default_generator(0)


def manual_seed(seed: int) -> None:
    """Seed the current device's generator (silently nothing without a device)."""
    seed = int(seed)
    if is_available():
        _generator().manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """Seed the generators of all devices (silently nothing without one)."""
    manual_seed(seed)


def seed() -> None:
    """Seed the current device's generator from entropy."""
    if is_available():
        _generator().seed()


def seed_all() -> None:
    """Seed all devices' generators from entropy."""
    seed()


def initial_seed() -> int:
    """The seed of the current device's generator."""
    return _generator().initial_seed()


def get_rng_state(device: Any = "cuda") -> Any:
    """The state of the device's generator."""
    return _generator(device).get_state()


def get_rng_state_all() -> list:
    """The states of all devices' generators."""
    return [get_rng_state(i) for i in range(device_count())]


def set_rng_state(new_state: Any, device: Any = "cuda") -> None:
    """Set the state of the device's generator."""
    _generator(device).set_state(new_state)


def set_rng_state_all(new_states: Any) -> None:
    """Set the states of all devices' generators."""
    for i, s in enumerate(new_states):
        set_rng_state(s, i)


def _pool() -> Any:
    """CuPy's memory pool; None without a GPU."""
    return None if not is_available() or cupy() is None else cupy().get_default_memory_pool()


def empty_cache() -> None:
    """Give cached memory back to the device."""
    pool = _pool()
    if pool is not None:
        pool.free_all_blocks()


def ipc_collect() -> None:
    """Free memory that other processes shared."""


def memory_allocated(device: Any = None) -> int:
    """Bytes that tensors occupy on the device."""
    return _amounts()[0]


def memory_reserved(device: Any = None) -> int:
    """Bytes that the allocator holds."""
    return _amounts()[1]


def _amounts() -> tuple[int, int]:
    """Bytes in use and held."""
    pool = _pool()
    if pool is None:
        return 0, 0
    from flowtorch.array.cuda import peak

    peak.pool = pool
    return peak.look()


def max_memory_allocated(device: Any = None) -> int:
    """The largest number of bytes that tensors have occupied."""
    _amounts()
    from flowtorch.array.cuda import peak

    return peak.used


def max_memory_reserved(device: Any = None) -> int:
    """The largest number of bytes that the allocator has held."""
    max_memory_allocated()
    from flowtorch.array.cuda import peak

    return peak.held


memory_cached, max_memory_cached = memory_reserved, max_memory_reserved


def memory_stats(device: Any = None) -> dict:
    """The allocator's statistics, of which flowtorch keeps the current and the largest bytes."""
    if _pool() is None:
        return {}
    return {
        "allocated_bytes.all.current": memory_allocated(), "allocated_bytes.all.peak": max_memory_allocated(),
        "reserved_bytes.all.current": memory_reserved(), "reserved_bytes.all.peak": max_memory_reserved(),
    }  # fmt: skip


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """The allocator's statistics as text."""
    found = memory_stats()
    return "".join(f"{name:32} {value:16,}\n" for name, value in found.items()) or "no CUDA device\n"


def reset_peak_memory_stats(device: Any = None) -> None:
    """Start measuring the largest numbers anew."""
    from flowtorch.array.cuda import peak

    peak.used = peak.held = 0


reset_max_memory_allocated = reset_max_memory_cached = reset_peak_memory_stats


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """(free, total) bytes of the device."""
    module = cupy()
    if module is not None:
        free, total = module.cuda.runtime.memGetInfo()
        return int(free), int(total)
    page = os.sysconf("SC_PAGE_SIZE")
    return page * os.sysconf("SC_AVPHYS_PAGES"), page * os.sysconf("SC_PHYS_PAGES")


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
    """A queue of work on a device. Under the interpreter everything has run when a call returns."""

    def __init__(self, device: Any = None, priority: int = 0, **options: Any) -> None:
        module = cupy()
        self.device = devices.device("cuda", 0)
        self.priority = priority
        self.native = options.get("native")
        if self.native is None and module is not None:
            self.native = module.cuda.Stream(non_blocking=True)

    @property
    def cuda_stream(self) -> int:
        """The stream's handle."""
        return 0 if self.native is None else self.native.ptr

    def synchronize(self) -> None:
        """Wait until everything queued has run."""
        if self.native is not None:
            with _translating():
                self.native.synchronize()

    def query(self) -> bool:
        """Whether everything queued has run."""
        return self.native is None or bool(self.native.done)

    def wait_event(self, event: Event) -> None:
        """Let what is queued from now on wait for ``event``."""
        if self.native is not None and event.native is not None:
            self.native.wait_event(event.native)

    def wait_stream(self, stream: Stream) -> None:
        """Let what is queued from now on wait for what ``stream`` has been given."""
        self.wait_event(stream.record_event())

    def record_event(self, event: Event | None = None) -> Event:
        """Mark this place in the queue."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def __enter__(self) -> Stream:
        if self.native is not None:
            self.native.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.native is not None:
            self.native.__exit__(*exc)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and other.cuda_stream == self.cuda_stream

    def __hash__(self) -> int:
        return hash(self.cuda_stream)

    def __repr__(self) -> str:
        return f"<torch.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


class Event:
    """A mark in a stream, which may note the time."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> None:
        module = cupy()
        self.timing = enable_timing
        self.native = None if module is None else module.cuda.Event(block=blocking, disable_timing=not enable_timing)
        self.time: float | None = None

    def record(self, stream: Stream | None = None) -> None:
        """Mark the present end of ``stream`` (the current one by default)."""
        self.time = time.perf_counter()
        if self.native is not None:
            self.native.record(None if stream is None else stream.native)

    def wait(self, stream: Stream | None = None) -> None:
        """Let ``stream`` wait for the mark."""
        (current_stream() if stream is None else stream).wait_event(self)

    def query(self) -> bool:
        """Whether everything before the mark has run."""
        return self.native is None or bool(self.native.done)

    def synchronize(self) -> None:
        """Wait until everything before the mark has run."""
        if self.native is not None:
            with _translating():
                self.native.synchronize()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds between two marks."""
        if not (self.timing and end_event.timing):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self.time is None or end_event.time is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        if self.native is not None:
            return cupy().cuda.get_elapsed_time(self.native, end_event.native)
        return (end_event.time - self.time) * 1000


def stream(stream: Any) -> Any:
    """Context that makes a stream current; None does nothing."""
    if stream is None:
        return contextlib.nullcontext()
    _need()
    return stream


def set_stream(stream: Any) -> None:
    """Make a stream current."""
    if stream is not None and stream.native is not None:
        stream.native.use()


def current_stream(device: Any = None) -> Any:
    """The current stream."""
    module = cupy()
    return Stream(native=None if module is None else module.cuda.get_current_stream())


def default_stream(device: Any = None) -> Any:
    """The default stream."""
    module = cupy()
    return Stream(native=None if module is None else module.cuda.Stream.null)


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """Whether one device can read the other's memory."""
    _need()
    return False


_ELSEWHERE = {
    **dict.fromkeys((
        "clock_rate", "device_memory_used", "list_gpu_processes", "memory_usage", "power_draw", "temperature",
        "utilization"), "monitoring"),
    **dict.fromkeys((
        "CUDAPluggableAllocator", "MemPool", "caching_allocator_alloc", "caching_allocator_delete",
        "caching_allocator_disabled", "caching_allocator_enable", "change_current_allocator", "get_allocator_backend",
        "get_per_process_memory_fraction", "host_memory_stats", "host_memory_stats_as_nested_dict", "memory_snapshot",
        "memory_stats_as_nested_dict", "reset_accumulated_host_memory_stats", "reset_accumulated_memory_stats",
        "reset_peak_host_memory_stats", "set_per_process_memory_fraction", "use_mem_pool"), "allocator"),
    **dict.fromkeys((
        "CudaError", "GreenContext", "check_error", "cudaStatus", "cudart", "current_blas_handle",
        "current_solver_handle", "get_gencode_flags", "get_stream_from_external", "get_sync_debug_mode",
        "is_tf32_supported", "set_sync_debug_mode"), "runtime"),
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in ("amp", "graphs", "memory", "nccl", "nvtx", "profiler", "random", "streams"):
        return importlib.import_module(f"flowtorch.cuda.{name}")
    if name == "AcceleratorError":
        from flowtorch.accelerator import AcceleratorError

        return AcceleratorError
    if name in _ELSEWHERE:
        return getattr(importlib.import_module(f"flowtorch.cuda.{_ELSEWHERE[name]}"), name)
    if name.endswith("Tensor"):
        from flowtorch.legacy_types import CUDA_TYPES

        if name in CUDA_TYPES:
            return CUDA_TYPES[name]
    if name in ("ExternalStream", "StreamContext"):
        return getattr(importlib.import_module("flowtorch.cuda.streams"), name)
    if name in ("CUDAGraph", "graph", "graph_pool_handle", "make_graphed_callables"):
        return getattr(importlib.import_module("flowtorch.cuda.graphs"), name)
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)
