"""Launching kernels: in Triton's interpreter on host memory, or on the GPU through CuPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from triton.backends.compiler import GPUTarget

from .compile import INTERPRET, Kernel, compile_kernel

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

    def __init__(self, cupy):
        self.cupy = cupy
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
        compiled = compile_kernel(kernel, GPUTarget("cuda", int(capability), 32))
        module = self.cupy.cuda.function.Module()
        module.load(compiled.asm["cubin"])
        function = module.get_function(compiled.metadata.name)
        shared = compiled.metadata.shared
        if shared > _STATIC_SHARED_LIMIT:
            driver = self.cupy.cuda.driver
            driver.funcSetAttribute(function.ptr, driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, shared)
        convert = tuple(self.types.get(kind) for kind in kernel.signature.values())
        return function, (32 * compiled.metadata.num_warps,), shared, convert


_launcher: Launcher | None = None
if INTERPRET:
    from .interpreter import launch as _interpret

    _launcher = _interpret
