"""Launching kernels through the CUDA driver itself: two microseconds where CuPy's launch takes ten.

The context, the current stream and all memory are CuPy's; here a binary is loaded, arguments are packed, and a launch
is handed to the driver, whose errors become exceptions that name the kernel.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Any

from triton.backends.compiler import GPUTarget

from . import binaries
from .compile import Kernel

_SLOTS = {
    "i1": "B7x", "i8": "b7x", "i16": "h6x", "i32": "i4x", "i64": "q", "u1": "B7x", "u8": "B7x", "u16": "H6x",
    "u32": "I4x", "u64": "Q", "fp16": "e6x", "fp32": "f4x", "fp64": "d",
}  # fmt: skip
"""How a number of each type lies in its slot of eight bytes."""
_STATIC_SHARED_LIMIT = 48 * 1024
_MAX_DYNAMIC_SHARED_SIZE = 8
_INVALID_CONTEXT = 201


class DriverError(RuntimeError):
    """What the driver refused or found wrong; `code` is its number for it, `said` its words."""

    def __init__(self, code: int, said: str, what: str):
        super().__init__(f"CUDA error: {said} ({what}, code {code})")
        self.code, self.said, self.what = code, said, what

    def __reduce__(self) -> tuple:
        return type(self), (self.code, self.said, self.what)


def translate(error: DriverError) -> Exception:
    """What is raised for an error; who uses this package puts a function here that knows its own exceptions."""
    return error


class Driver:
    """The calls of libcuda that launches need, in CuPy's contexts; their errors are DriverErrors.

    library: libcuda, or a path to it.
    """

    def __init__(self, cupy: Any, library: Any = "libcuda.so.1"):
        self.cupy = cupy
        self.library = library if isinstance(library, ctypes.CDLL) else ctypes.CDLL(library)
        self.library.cuLaunchKernel.argtypes = [ctypes.c_void_p, *[ctypes.c_uint] * 7, *[ctypes.c_void_p] * 3]
        self.lock = threading.Lock()  # a kernel's slots are written and read by one launch at a time

    def check(self, code: int, what: str) -> None:
        """Raise for an error code of the driver."""
        if code:
            text = ctypes.c_char_p()
            self.library.cuGetErrorString(code, ctypes.byref(text))
            raise translate(DriverError(code, text.value.decode() if text.value else f"error {code}", what))

    def make_context_current(self) -> None:
        """Give the thread the current device's context."""
        self.cupy.cuda.runtime.free(0)

    def load(self, code: bytes, name: str, shared: int) -> tuple[ctypes.c_void_p, ctypes.c_void_p]:
        """The module and the function of a binary, loaded into the current context."""
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self.make_context_current()
        self.check(self.library.cuModuleLoadData(ctypes.byref(module), code), f"loading '{name}'")
        found = self.library.cuModuleGetFunction(ctypes.byref(function), module, name.encode())
        self.check(found, f"finding '{name}'")
        if shared > _STATIC_SHARED_LIMIT:
            set = self.library.cuFuncSetAttribute(function, _MAX_DYNAMIC_SHARED_SIZE, shared)
            self.check(set, f"{shared} bytes of shared memory of '{name}'")
        return module, function

    def launch(
        self, name: str, function: Any, grid: tuple[int, ...], threads: int, shared: int, stream: int,
        parameters: Parameters, arguments: tuple, scratch: int = 0,
    ) -> None:  # fmt: skip
        """Queue a kernel on a stream."""
        x, y, z = (*grid, 1, 1)[:3]
        with self.lock:
            parameters.fill(arguments, scratch)
            given = (function, x, y, z, threads, 1, 1, shared, stream, parameters.places, None)
            code = self.library.cuLaunchKernel(*given)
            if code == _INVALID_CONTEXT:  # a thread that has not used the device yet
                self.make_context_current()
                code = self.library.cuLaunchKernel(*given)
        if code:
            self.check(code, f"launching '{name}' over {grid}")

    def unload(self, module: ctypes.c_void_p) -> None:
        """Forget a module; a context that is gone has forgotten it already."""
        self.library.cuModuleUnload(module)

    def attribute(self, function: ctypes.c_void_p, which: int) -> int:
        """An attribute of a function by its number."""
        value = ctypes.c_int()
        self.check(self.library.cuFuncGetAttribute(ctypes.byref(value), which, function), f"attribute {which}")
        return value.value


class Parameters:
    """Memory through which the arguments of a kernel reach the driver, eight bytes for each.

    kinds: the types of the arguments in order; two scratch buffers follow, which every Triton kernel declares.
    """

    def __init__(self, kinds: Iterable[str]):
        kinds = list(kinds)
        unknown = [kind for kind in kinds if kind[0] != "*" and kind not in _SLOTS]
        if unknown:
            raise NotImplementedError(f"arguments of type {unknown[0]} cannot be passed to a kernel")
        self.packing = struct.Struct("<" + "".join("Q" if kind[0] == "*" else _SLOTS[kind] for kind in kinds) + "QQ")
        self.slots = ctypes.create_string_buffer(8 * (len(kinds) + 2))
        start = ctypes.addressof(self.slots)
        self.places = (ctypes.c_void_p * (len(kinds) + 2))(*range(start, start + len(self.slots), 8))
        self.singles = [k for k, kind in enumerate(kinds) if kind == "fp32"]

    def fill(self, arguments: tuple, scratch: int = 0) -> None:
        """Write the arguments of the next launch."""
        try:
            self.packing.pack_into(self.slots, 0, *arguments, scratch, 0)
        except OverflowError:  # numbers beyond float32 are infinite there
            given = list(arguments)
            for k in self.singles:
                given[k] = ctypes.c_float(given[k]).value
            self.packing.pack_into(self.slots, 0, *given, scratch, 0)


class DriverLauncher:
    """Launches kernels on the device and stream that CuPy says are current; binaries are kept in `folder`."""

    def __init__(self, cupy: Any, library: Any = "libcuda.so.1", folder: str | None = None):
        self.driver = Driver(cupy, library)
        self.cupy, self.folder = cupy, folder
        self.current_device: Callable[[], int] = cupy.cuda.runtime.getDevice
        self.current_stream: Callable[[], Any] = cupy.cuda.get_current_stream

    def __call__(self, kernel: Kernel, grid: tuple[int, ...], arguments: tuple) -> None:
        device = self.current_device()
        loaded = kernel.loaded.get(device)
        if loaded is None:
            loaded = kernel.loaded[device] = self.load(kernel, device)
        name, function, threads, shared, parameters = loaded
        stream = self.current_stream().ptr
        self.driver.launch(name, function, grid, threads, shared, stream, parameters, arguments)

    def load(self, kernel: Kernel, device: int) -> tuple[str, Any, int, int, Parameters]:
        """Compile for `device` and load the binary there."""
        capability = self.cupy.cuda.Device(device).compute_capability
        binary = binaries.binary(kernel, GPUTarget("cuda", int(capability), 32), self.folder)
        _, function = self.driver.load(binary.code, binary.name, binary.shared)
        return binary.name, function, 32 * binary.warps, binary.shared, Parameters(kernel.signature.values())
