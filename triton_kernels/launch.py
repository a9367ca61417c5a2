"""Launching kernels: in Triton's interpreter on host memory, or on the GPU through CuPy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from triton.backends.compiler import GPUTarget

from .compile import INTERPRET, Kernel, compile_kernel

_STATIC_SHARED_LIMIT = 48 * 1024


def launch(kernel: Kernel, grid: tuple[int, ...], arguments: Sequence) -> None:
    """Run `kernel` over `grid`; `arguments` are addresses and numbers in the signature's order."""
    _launcher()(kernel, grid, tuple(arguments))


@functools.cache
def _launcher() -> Callable[[Kernel, tuple[int, ...], tuple], None]:
    if INTERPRET:
        from . import interpreter

        return interpreter.launch
    return CupyLauncher()


class CupyLauncher:
    """Launches compiled kernels as CuPy functions, on CuPy's current device and stream."""

    def __init__(self, cupy=None):
        if cupy is None:
            import cupy
        self.cupy = cupy
        self.current_device = cupy.cuda.runtime.getDevice

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
            from cupy_backends.cuda.api import driver

            driver.funcSetAttribute(
                function.ptr, driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, shared
            )
        return function, (32 * compiled.metadata.num_warps,), shared, self.converters(kernel)

    def converters(self, kernel: Kernel) -> tuple:
        """What gives each argument its declared type; CuPy itself passes 64-bit integers and float64."""
        import numpy

        types = {"fp32": numpy.float32, "fp64": numpy.float64, "i32": numpy.int32}
        return tuple(types.get(kind) for kind in kernel.signature.values())
