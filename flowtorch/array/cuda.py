"""Memory of device "cuda": CuPy's arrays, or numpy's where Triton's interpreter stands in for a GPU."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from flowtorch import devices


@functools.cache
def kernels() -> ModuleType:
    """The package of Triton kernels, with the launcher for this process's device installed."""
    if devices.interpreted_cuda():
        if "triton" in sys.modules and os.environ.get("TRITON_INTERPRET") != "1":
            raise RuntimeError("FLOWTORCH_CUDA=interpret needs TRITON_INTERPRET=1 before triton is first imported")
        os.environ["TRITON_INTERPRET"] = "1"
        package = _package()
        importlib.import_module("flowtorch.cuda.triton_driver").install(package)
        return package
    from flowtorch.codegen.folders import private_folder

    package = _package()
    launch = importlib.import_module(f"{package.__name__}.launch")
    launch.install(launch.launcher_for(array_module(), private_folder()))  # None: no place that is this user's alone
    capability = array_module().cuda.Device().compute_capability
    importlib.import_module(f"{package.__name__}.tuning").__dict__["architecture"] = f"sm_{capability}"
    peak.pool = array_module().get_default_memory_pool()
    from flowtorch.cuda.errors import translated

    importlib.import_module(f"{package.__name__}.driver").__dict__["translate"] = translated
    importlib.import_module("flowtorch.cuda.triton_driver").install(package)
    return package


def kernel_module(name: str) -> Any:
    """One module of the Triton kernels, e.g. "pointwise"."""
    return importlib.import_module(f"{kernels().__name__}.{name}")


def _package() -> ModuleType:
    name = "flowtorch.triton_kernels"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
    # In a source checkout that is not installed, the kernels lie beside the flowtorch folder.
    folder = Path(__file__).resolve().parents[2] / "triton_kernels"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None or not folder.is_dir():
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)
    package = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    return package


@functools.cache
def array_module() -> Any:
    """The module that makes device arrays: cupy, or numpy in the interpreter."""
    return np if devices.interpreted_cuda() else importlib.import_module("cupy")


class Peak:
    """The largest amounts of memory seen in use and held by the pools; looked at before each allocation."""

    def __init__(self) -> None:
        self.used = self.held = 0
        self.pool: Any = None
        self.graphs: weakref.WeakSet = weakref.WeakSet()
        """Captured graphs, which have pools of their own."""

    def look(self) -> tuple[int, int]:
        """The bytes in use and held now."""
        if self.pool is None:
            return 0, 0
        used, held = self.pool.used_bytes(), self.pool.total_bytes()
        if self.graphs:
            for own in {id(graph.memory): graph.memory for graph in self.graphs if graph.memory is not None}.values():
                used, held = used + own.used_bytes(), held + own.total_bytes()
        self.used, self.held = max(self.used, used), max(self.held, held)
        return used, held


peak = Peak()


def address(array: Any) -> int:
    """Where an array's first element is in device memory."""
    if type(array) is np.ndarray:
        return array.__array_interface__["data"][0]
    return array.data.ptr


def element_strides(array: Any) -> tuple[int, ...]:
    """An array's strides, counted in elements."""
    size = array.itemsize
    return tuple([step // size for step in array.strides])


def empty(shape: Sequence[int], dtype: np.dtype, strides: Sequence[int] | None = None) -> Any:
    """A new dense device array; `strides` (in elements) say in which order its dimensions lie in memory."""
    make = array_module().empty
    if peak.pool is not None:
        peak.look()
    if strides is None:
        return _made(make, shape, dtype)
    order = sorted(range(len(shape)), key=lambda dim: (strides[dim], shape[dim]), reverse=True)
    if order == list(range(len(shape))):
        return _made(make, shape, dtype)
    made = _made(make, [shape[dim] for dim in order], dtype)
    return made.transpose([order.index(dim) for dim in range(len(shape))])


def _made(make: Callable, contents: Any, dtype: np.dtype) -> Any:
    try:
        return make(contents, dtype)
    except MemoryError as error:
        from flowtorch.cuda.errors import translated

        raise translated(error) from None


def to_device(array: np.ndarray) -> Any:
    """A device copy of a host array."""
    if capture.active:
        return _by_arguments(array)
    if array_module() is np:
        return array.copy()
    kernels()  # a program may launch kernels of its own next
    from flowtorch.array import pinned

    if pinned.is_asynchronous() and pinned.block(array) is not None and array.flags.c_contiguous and array.size:
        return pinned.send(array)
    return _made(array_module().asarray, array, array.dtype)


class Capture:
    """Whether the current stream is being captured: then nothing may be copied from memory that the host may change."""

    active = False


capture = Capture()


def _by_arguments(array: np.ndarray) -> Any:
    """A device copy of a host array whose contents are arguments of kernels, which a captured graph keeps."""
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    words = np.zeros(-(-data.size // 8), np.int64)
    words.view(np.uint8)[: data.size] = data
    target = empty((max(words.size, 1),), np.dtype(np.int64))
    write_words(target, words.tolist())
    return target.view(np.dtype(np.uint8))[: data.size].view(array.dtype).reshape(array.shape)


def write_words(target: Any, words: Sequence[int]) -> None:
    """Write integers into a device array of int64; they are arguments of kernels, in the current stream's order."""
    module = kernel_module("multi_tensor")
    for first in range(0, len(words), module.WORDS):
        part = words[first : first + module.WORDS]
        arguments = (address(target) + 8 * first, *part, *[0] * (module.WORDS - len(part)), len(part))
        kernel_module("launch").launch(module.words(), (1,), arguments)


def to_host(array: Any) -> np.ndarray:
    """A host copy of a device array, waiting for what computes it."""
    if capture.active:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing: its result is not there yet")
    if type(array) is np.ndarray:
        host = np.array(array)
    else:
        from flowtorch.cuda.errors import translating

        with translating():
            host = array.get()
    faults.check()
    return host


def strided(array: Any, shape: Sequence[int], strides: Sequence[int], offset: int = 0) -> Any:
    """A view of the memory from an array's first element (and `offset` elements on); `strides` in elements."""
    size = array.itemsize
    steps = [step * size for step in strides]
    if type(array) is np.ndarray:
        flat = array if not offset else np.lib.stride_tricks.as_strided(array, (offset + 1,), (size,))[offset:]
        return np.lib.stride_tricks.as_strided(flat, tuple(shape), tuple(steps))
    cupy = array_module()
    place = cupy.cuda.MemoryPointer(array.data.mem, array.data.ptr - array.data.mem.ptr + offset * size)
    return cupy.ndarray(tuple(shape), array.dtype, place, tuple(steps))


def parts(array: Any) -> tuple[Any, Any]:
    """Views of the real and imaginary parts of a complex array."""
    plane = np.dtype(np.float32 if array.dtype.itemsize == 8 else np.float64)
    flat = strided(array, (1,), (1,)).view(plane)
    steps = [2 * step for step in element_strides(array)]
    return strided(flat, array.shape, steps), strided(flat, array.shape, steps, int(array.size > 0))


def whole_memory(array: Any) -> Any:
    """The block of memory that an array lies in, as a vector of its dtype."""
    cupy = array_module()
    count = array.data.mem.size // array.itemsize
    return cupy.ndarray((count,), array.dtype, cupy.cuda.MemoryPointer(array.data.mem, 0), (array.itemsize,))


def inside(owner: Any, offset: int, shape: Sequence[int], strides: Sequence[int], dtype: np.dtype) -> Any:
    """An array in a block of memory, `offset` bytes behind its start; strides in bytes."""
    cupy = array_module()
    return cupy.ndarray(tuple(shape), dtype, cupy.cuda.MemoryPointer(owner.data.mem, offset), tuple(strides))


def instant() -> bool:
    """Whether the host sees device memory at once, so that checks of values cost no waiting."""
    return array_module() is np


class Faults:
    """What kernels found wrong: each check has a code that a kernel stores in a word the host reads when it waits."""

    def __init__(self) -> None:
        self.words: dict[int, Any] = {}
        self.messages: list[str] = []
        self.codes: dict[str, int] = {}

    def word(self) -> Any:
        """The current device's word: one int32, 0 while nothing is wrong."""
        device = 0 if instant() else array_module().cuda.runtime.getDevice()
        if device not in self.words:
            self.words[device] = array_module().zeros((1,), np.int32)
        return self.words[device]

    def code(self, message: str) -> int:
        """The code that stands for ``message``."""
        if message not in self.codes:
            self.messages.append(message)
            self.codes[message] = len(self.messages)
        return self.codes[message]

    def check(self) -> None:
        """Raise what a kernel has found, after the device was waited for."""
        for word in self.words.values():
            found = word[0].item()
            if found:
                word.fill(0)
                raise RuntimeError(f"CUDA error: device-side assert triggered: {self.messages[found - 1]}")


faults = Faults()
