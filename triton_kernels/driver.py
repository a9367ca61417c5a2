"""Launching kernels through the CUDA driver itself: two microseconds where CuPy's launch takes ten.

The context, the current stream and all memory are CuPy's; here a binary is loaded, arguments are packed, and a launch
is handed to the driver, whose errors become exceptions that name the kernel.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Callable
from typing import Any

from triton.backends.compiler import GPUTarget

from . import binaries
from .compile import Kernel

_SLOTS = {
    "i8": "b7x", "i16": "h6x", "i32": "i4x", "i64": "q", "u8": "B7x", "u16": "H6x", "u32": "I4x", "u64": "Q",
    "fp16": "e6x", "fp32": "f4x", "fp64": "d",
}  # fmt: skip
"""How a number of each type lies in its slot of eight bytes."""
_STATIC_SHARED_LIMIT = 48 * 1024
_MAX_DYNAMIC_SHARED_SIZE = 8
_INVALID_CONTEXT = 201


class DriverLauncher:
    """Launches kernels on the device and stream that CuPy says are current.

    library: libcuda, or a path to it.
    """

    def __init__(self, cupy: Any, library: Any = "libcuda.so.1", folder: str | None = None):
        self.library = library if isinstance(library, ctypes.CDLL) else ctypes.CDLL(library)
        self.library.cuLaunchKernel.argtypes = [ctypes.c_void_p, *[ctypes.c_uint] * 7, *[ctypes.c_void_p] * 3]
        self.cupy, self.folder = cupy, folder
        self.current_device: Callable[[], int] = cupy.cuda.runtime.getDevice
        self.current_stream: Callable[[], Any] = cupy.cuda.get_current_stream
        self.lock = threading.Lock()  # a kernel's slots are written and read by one launch at a time

    def __call__(self, kernel: Kernel, grid: tuple[int, ...], arguments: tuple) -> None:
        device = self.current_device()
        loaded = kernel.loaded.get(device)
        if loaded is None:
            loaded = kernel.loaded[device] = _Loaded(self, kernel, device)
        loaded.launch(grid, arguments, self.current_stream().ptr)

    def check(self, code: int, what: str) -> None:
        """Raise for an error code of the driver."""
        if code:
            text = ctypes.c_char_p()
            self.library.cuGetErrorString(code, ctypes.byref(text))
            said = text.value.decode() if text.value else f"error {code}"
            raise RuntimeError(f"CUDA error: {said} ({what}, code {code})")


class _Loaded:
    """A kernel's binary on one device, and the memory through which its arguments go."""

    def __init__(self, launcher: DriverLauncher, kernel: Kernel, device: int):
        capability = launcher.cupy.cuda.Device(device).compute_capability
        binary = binaries.binary(kernel, GPUTarget("cuda", int(capability), 32), launcher.folder)
        self.launcher, self.name, self.shared, self.threads = launcher, binary.name, binary.shared, 32 * binary.warps
        library, module, self.function = launcher.library, ctypes.c_void_p(), ctypes.c_void_p()
        launcher.cupy.cuda.runtime.free(0)  # makes the device's context the thread's current one
        launcher.check(library.cuModuleLoadData(ctypes.byref(module), binary.code), f"loading '{self.name}'")
        self.module = module
        name = self.name.encode()
        launcher.check(library.cuModuleGetFunction(ctypes.byref(self.function), module, name), f"finding '{self.name}'")
        if self.shared > _STATIC_SHARED_LIMIT:
            code = library.cuFuncSetAttribute(self.function, _MAX_DYNAMIC_SHARED_SIZE, self.shared)
            launcher.check(code, f"shared memory of '{self.name}'")
        kinds = list(kernel.signature.values())
        # the two last slots are the scratch buffers that every Triton kernel declares
        self.packing = struct.Struct("<" + "".join("Q" if kind[0] == "*" else _SLOTS[kind] for kind in kinds) + "QQ")
        self.slots = ctypes.create_string_buffer(8 * (len(kinds) + 2))
        start = ctypes.addressof(self.slots)
        self.parameters = (ctypes.c_void_p * (len(kinds) + 2))(*range(start, start + len(self.slots), 8))
        self.singles = [k for k, kind in enumerate(kinds) if kind == "fp32"]

    def launch(self, grid: tuple[int, ...], arguments: tuple, stream: int) -> None:
        x, y, z = (*grid, 1, 1)[:3]
        with self.launcher.lock:
            try:
                self.packing.pack_into(self.slots, 0, *arguments, 0, 0)
            except OverflowError:  # numbers beyond float32 are infinite there
                given = list(arguments)
                for k in self.singles:
                    given[k] = ctypes.c_float(given[k]).value
                self.packing.pack_into(self.slots, 0, *given, 0, 0)
            code = self.library_call(x, y, z, stream)
            if code == _INVALID_CONTEXT:  # a thread that has not used the device yet
                self.launcher.cupy.cuda.runtime.free(0)
                code = self.library_call(x, y, z, stream)
        if code:
            self.launcher.check(code, f"launching '{self.name}' over {grid}")

    def library_call(self, x: int, y: int, z: int, stream: int) -> int:
        return self.launcher.library.cuLaunchKernel(
            self.function, x, y, z, self.threads, 1, 1, self.shared, stream, self.parameters, None
        )
