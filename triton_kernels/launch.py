"""Launching kernels: in Triton's interpreter on host memory, or on the GPU through CuPy."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from triton.backends.compiler import GPUTarget

from . import binaries
from .compile import INTERPRET, Kernel

Launcher = Callable[[Kernel, tuple[int, ...], tuple], None]
_STATIC_SHARED_LIMIT = 48 * 1024


def launch(kernel: Kernel, grid: tuple[int, ...], arguments: Sequence) -> None:
    """Run `kernel` over `grid`; `arguments` are addresses and numbers in the signature's order."""
    if _launcher is None:
        raise RuntimeError("no launcher is installed: set TRITON_INTERPRET=1, or install a CupyLauncher")
    _launcher(kernel, grid, tuple(arguments))


def install(launcher: Launcher | None) -> None:
    """Make `launcher` the one that `launch` uses."""
    global _launcher
    _launcher = launcher


class CupyLauncher:
    """Launches compiled kernels as CuPy functions, on CuPy's current device and stream."""

    def __init__(self, cupy, folder: str | None = None):
        self.cupy, self.folder = cupy, folder
        self.current_device = cupy.cuda.runtime.getDevice
        # CuPy itself passes Python numbers as int64 and float64
        self.types = {"fp32": cupy.float32, "fp64": cupy.float64, "i32": cupy.int32}

    def __call__(self, kernel: Kernel, grid: tuple[int, ...], arguments: tuple) -> None:
        device = self.current_device()
        loaded = kernel.loaded.get(device)
        if loaded is None:
            loaded = kernel.loaded[device] = self.load(kernel, device)
        function, block, shared, convert = loaded
        # the two trailing NULLs are the scratch buffers that every Triton kernel declares
        converted = tuple(
            value if cast is None else cast(value) for cast, value in zip(convert, arguments, strict=True)
        )
        function(grid, block, (*converted, None, None), shared_mem=shared)

    def load(self, kernel: Kernel, device: int) -> tuple:
        """Compile for `device` and load the binary there."""
        capability = self.cupy.cuda.Device(device).compute_capability
        compiled = binaries.binary(kernel, GPUTarget("cuda", int(capability), 32), self.folder)
        module = self.cupy.cuda.function.Module()
        module.load(compiled.code)
        function = module.get_function(compiled.name)
        shared = compiled.shared
        if shared > _STATIC_SHARED_LIMIT:
            driver = self.cupy.cuda.driver
            driver.funcSetAttribute(function.ptr, driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, shared)
        convert = tuple(self.types.get(kind) for kind in kernel.signature.values())
        return function, (32 * compiled.warps,), shared, convert


def launcher_for(cupy: Any, folder: str | None = None) -> Launcher:
    """The launcher for CuPy's device: the driver's own launch, or CuPy's where there is no libcuda (or
    FLOWTORCH_LAUNCH=cupy asks for it). Binaries are kept in `folder`."""
    if os.environ.get("FLOWTORCH_LAUNCH") != "cupy":
        from .driver import DriverLauncher

        try:
            return DriverLauncher(cupy, folder=folder)
        except OSError:
            pass  # no libcuda that ctypes can load: CuPy launches
    return CupyLauncher(cupy, folder)


_launcher: Launcher | None = None
if INTERPRET:
    from .interpreter import launch as _interpret

    _launcher = _interpret
