"""Triton's own launches, ``kernel[grid](...)`` of ``@triton.jit`` functions, with flowtorch tensors.

Triton asks a driver object for the device, the stream, and for what loads and launches a binary. The one that comes
with Triton 3.6 needs PyTorch, later ones launch on the default stream, and all of them need a C compiler. Here CuPy
says which device and stream are current, and libcuda is called directly. ``triton.autotune`` and
``triton.testing.do_bench`` work.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from triton.backends.compiler import GPUTarget
from triton.backends.driver import DriverBase
from triton.runtime import driver as registry

from flowtorch import cuda, devices
from flowtorch.array.cuda import array_module

_LOCAL_BYTES, _MOST_THREADS, _REGISTERS = 3, 0, 4
"""Numbers of the driver's attributes of functions."""
_TIMED_BYTES = 256 << 20
"""More than any L2 cache holds: written between timings, so that each reads from memory."""


def install(package: ModuleType) -> None:
    """Let Triton launch through flowtorch's kernels, unless PyTorch is in this process and Triton is its."""
    own = sys.modules[__name__.partition(".")[0]]
    if sys.modules.get("torch", own) is own and not isinstance(registry._active, TensorDriver):
        module = array_module()
        registry.set_active(TensorDriver() if module.__name__ == "numpy" else CupyDriver(module, package))


class TensorDriver(DriverBase):
    """What Triton asks whether or not there is a GPU; under its interpreter nothing else is asked."""

    def __init__(self) -> None:
        pass

    @classmethod
    def is_active(cls) -> bool:
        """Whether Triton should choose this driver by itself: it is set, not found."""
        return False

    def map_python_to_cpp_type(self, ty: str) -> str:
        """The C type of an argument: no C is made."""
        raise NotImplementedError("flowtorch launches without C code")

    def get_current_device(self) -> int:
        """The current device's number."""
        return 0

    def get_current_stream(self, device: Any = None) -> int:
        """The handle of the current stream."""
        return 0

    def get_current_target(self) -> GPUTarget:
        """What to compile for."""
        return GPUTarget("cuda", 80, 32)

    def get_active_torch_device(self) -> Any:
        """The device as programs name it."""
        return devices.device("cuda", self.get_current_device())

    def get_device_interface(self) -> Any:
        """The module with streams, events and waiting."""
        return cuda

    def get_empty_cache_for_benchmark(self) -> Any:
        """Memory larger than the device's caches."""
        import flowtorch

        return flowtorch.empty(1 if array_module().__name__ == "numpy" else _TIMED_BYTES // 4, device="cuda")

    def clear_cache(self, cache: Any) -> None:
        """Put the caches' contents out by writing other memory."""
        cache.zero_()

    def get_benchmarker(self) -> Any:
        """What ``triton.autotune`` measures with: under the interpreter one run, whose time means nothing."""

        def once(call: Any, quantiles: Any = (0.5,), **options: Any) -> list[float]:
            call()
            return [1.0 for _ in quantiles]

        return once


class CupyDriver(TensorDriver):
    """Triton's launches on CuPy's current device and stream, through libcuda."""

    def __init__(self, cupy: Any, package: ModuleType, library: Any = "libcuda.so.1") -> None:
        self.calls = importlib.import_module(f"{package.__name__}.driver")
        self.cupy, self.driver = cupy, self.calls.Driver(cupy, library)
        self.utils = self  # Triton calls the three functions below there
        self.capability = cupy.cuda.Device().compute_capability

    def get_current_device(self) -> int:
        """The current device's number."""
        return self.cupy.cuda.runtime.getDevice()

    def set_current_device(self, device: int) -> None:
        """Make a device current."""
        self.cupy.cuda.runtime.setDevice(device)

    def get_current_stream(self, device: Any = None) -> int:
        """The handle of the current stream."""
        return self.cupy.cuda.get_current_stream().ptr

    def get_current_target(self) -> GPUTarget:
        """What to compile for."""
        return GPUTarget("cuda", int(self.capability), 32)

    def get_device_capability(self, device: Any = None) -> tuple[int, int]:
        """(major, minor)"""
        return int(self.capability[:-1]), int(self.capability[-1])

    def get_benchmarker(self) -> Any:
        """What ``triton.autotune`` measures with."""
        from triton.testing import do_bench

        return do_bench

    def launcher_cls(self, source: Any, metadata: Any) -> Launch:
        """What launches a compiled kernel."""
        return Launch(self, source.signature, metadata)

    def load_binary(self, name: str, code: bytes, shared: int, device: int) -> tuple:
        """(module, function, registers, spilled words, most threads of a block)"""
        module, function = self.driver.load(code, name, shared)
        registers, spilled, threads = (
            self.driver.attribute(function, which) for which in (_REGISTERS, _LOCAL_BYTES, _MOST_THREADS)
        )
        return module, function, registers, spilled // 4, threads

    def unload_module(self, module: Any) -> None:
        """Forget a binary."""
        self.driver.unload(module)

    def get_device_properties(self, device: int) -> dict[str, int]:
        """What Triton wants to know of a device."""
        names = {
            "max_shared_mem": "MaxSharedMemoryPerBlockOptin", "max_num_regs": "MaxRegistersPerBlock",
            "multiprocessor_count": "MultiProcessorCount", "warpSize": "WarpSize", "sm_clock_rate": "ClockRate",
            "mem_clock_rate": "MemoryClockRate", "mem_bus_width": "GlobalMemoryBusWidth",
        }  # fmt: skip
        found = self.cupy.cuda.Device(device).attributes
        return {name: found[said] for name, said in names.items() if said in found}


class Launch:
    """Launches one compiled kernel; called as Triton's launchers are, with all arguments of the function in order."""

    def __init__(self, driver: CupyDriver, signature: Mapping[str, Any], metadata: Any) -> None:
        self.driver, self.name, self.shared = driver, metadata.name, metadata.shared
        self.threads = 32 * metadata.num_warps
        self.signature = tuple(signature.values())
        if getattr(metadata, "num_ctas", 1) > 1 or getattr(metadata, "launch_cooperative_grid", False):
            raise NotImplementedError(f"'{self.name}': clusters and cooperative grids are not launched; use num_ctas=1")
        kinds = [kind for kind, _ in _flat(self.signature, self.signature)]
        if any(kind.startswith("tensordesc") for kind in kinds):
            raise NotImplementedError(f"'{self.name}': make descriptors in the kernel (tl.make_tensor_descriptor)")
        self.parameters = driver.calls.Parameters("*" if kind[0] == "*" else kind for kind in kinds)
        self.scratch = getattr(metadata, "global_scratch_size", 0)

    def __call__(
        self, x: int, y: int, z: int, stream: int, function: Any, packed: Any, metadata: Any, enter: Any, leave: Any,
        *arguments: Any,
    ) -> None:  # fmt: skip
        if not x * y * z:
            return
        values = tuple(_value(kind, value) for kind, value in _flat(self.signature, arguments))
        memory = self.driver.cupy.cuda.alloc(x * y * z * self.scratch) if self.scratch else None
        if enter is not None:
            enter(metadata)
        self.driver.driver.launch(
            self.name, function, (x, y, z), self.threads, self.shared, stream, self.parameters, values,
            0 if memory is None else memory.ptr,
        )  # fmt: skip
        if leave is not None:
            leave(metadata)


def _flat(signature: tuple, arguments: tuple) -> Iterator[tuple[str, Any]]:
    """(type, argument) of what a kernel is passed: constants are compiled into it, tuples passed one by one."""
    for kind, value in zip(signature, arguments, strict=True):
        if isinstance(kind, (tuple, list)):
            yield from _flat(tuple(kind), tuple(value))
        elif kind != "constexpr":
            yield kind, value


def _value(kind: str, value: Any) -> Any:
    if kind[0] != "*" or isinstance(value, int):
        return value
    if not getattr(value, "is_cuda", True):
        raise ValueError(f"Pointer argument of type {kind} cannot be accessed from Triton (cpu tensor?)")
    return value.data_ptr()
