"""A stand-in for CuPy on host memory, stricter than CuPy: nothing turns one of its arrays into numpy's unasked.

What flowtorch does with a device array must go through flowtorch/array, through kernels, or through the few attributes
here. CuPy itself would take part in some of numpy's functions; these arrays refuse all of them, so that a call of one
on a device array fails here instead of being slow, or wrong, on a GPU.
"""

import contextlib
import ctypes
import sys
from types import ModuleType, SimpleNamespace

import numpy as np


class Memory:
    def __init__(self, owner):
        self.owner, self.ptr, self.size = owner, owner.__array_interface__["data"][0], owner.nbytes


class MemoryPointer:
    def __init__(self, mem, offset):
        self.mem, self.ptr = mem, mem.ptr + offset

    def __add__(self, bytes):
        return MemoryPointer(self.mem, self.ptr - self.mem.ptr + bytes)

    def copy_from_host_async(self, source, size, stream):
        stream.run(lambda: ctypes.memmove(self.ptr, source, size))

    def copy_to_host_async(self, target, size, stream):
        stream.run(lambda: ctypes.memmove(target, self.ptr, size))


class ndarray:
    def __init__(self, shape, dtype=np.float32, memptr=None, strides=None):
        if memptr is None:
            self._host = np.empty(shape, dtype)
            memptr = MemoryPointer(Memory(self._host), 0)
        else:
            flat = memptr.mem.owner.reshape(-1).view(np.uint8)[memptr.ptr - memptr.mem.ptr :]
            dtype = np.dtype(dtype)
            start = flat[: len(flat) // dtype.itemsize * dtype.itemsize].view(dtype)
            self._host = np.lib.stride_tricks.as_strided(start, shape, strides)
        self.data = memptr

    @classmethod
    def of(cls, host, data):
        made = object.__new__(cls)
        made._host = host
        offset = host.__array_interface__["data"][0] - data.mem.ptr
        made.data = MemoryPointer(data.mem, offset)
        return made

    shape = property(lambda self: self._host.shape)
    strides = property(lambda self: self._host.strides)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    flags = property(lambda self: self._host.flags)
    T = property(lambda self: self.transpose())
    base = property(lambda self: None)
    real = property(lambda self: ndarray.of(self._host.real, self.data))
    imag = property(lambda self: ndarray.of(self._host.imag, self.data))

    def __len__(self):
        return len(self._host)

    def __getitem__(self, index):
        found = self._host[index]
        return ndarray.of(np.asarray(found) if not isinstance(found, np.ndarray) else self._host[index], self.data)

    def __setitem__(self, index, value):
        Stream.current.run(lambda: self._host.__setitem__(index, value._host if isinstance(value, ndarray) else value))

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        return ("a capsule", self)

    def __dlpack_device__(self):
        return 2, 0

    def get(self):
        if Stream.current.noted is not None:
            raise CUDARuntimeError(901, "cudaErrorStreamCaptureUnsupported: operation not permitted when capturing")
        return self._host.copy()

    def item(self):
        return self.get().item()

    def fill(self, value):
        Stream.current.run(lambda: self._host.fill(value))

    def view(self, dtype=None):
        return ndarray.of(self._host.view(dtype) if dtype is not None else self._host.view(), self.data)

    def copy(self, order="C"):
        return asarray(self._host.copy(order))

    def conj(self):
        return asarray(self._host.conj())

    def astype(self, dtype, copy=True):
        return asarray(self._host.astype(dtype))

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError(f"numpy.{function.__name__} was called on a device array")

    def __array_ufunc__(self, ufunc, method, *args, **kwargs):
        raise TypeError(f"numpy.{ufunc.__name__} was called on a device array")

    def __bool__(self):
        return bool(self.get())


def _shaping(name):
    def method(self, *args, **kwargs):
        before = self._host
        found = getattr(before, name)(*args, **kwargs)
        shared = np.shares_memory(found, before) or not found.size
        return ndarray.of(found, self.data) if shared else asarray(found)

    method.__name__ = name
    return method


for _name in ("reshape", "transpose", "squeeze", "swapaxes"):
    setattr(ndarray, _name, _shaping(_name))


def asarray(host, dtype=None):
    if isinstance(host, ndarray):
        return host
    made = object.__new__(ndarray)
    made._host = np.asarray(host).copy("K")
    made.data = MemoryPointer(Memory(made._host), 0)
    return made


def from_dlpack(source):
    word, array = source.__dlpack__(stream=0)
    assert word == "a capsule"
    return array


def empty(shape, dtype=np.float64):
    made = ndarray(tuple(shape), dtype)
    if _allocator is not None:
        _allocator(made)
    return made


def zeros(shape, dtype=np.float64):
    made = empty(shape, dtype)
    made._host.fill(0)
    return made


def _by_numpy(function):
    """A function of CuPy's libraries: arrays of the device in, arrays of the device out."""

    def call(*args, **kwargs):
        host = [arg._host if isinstance(arg, ndarray) else arg for arg in args]
        found = function(*host, **kwargs)
        return tuple(map(asarray, found)) if isinstance(found, tuple) else asarray(np.asarray(found))

    return call


linalg = SimpleNamespace(**{name: _by_numpy(getattr(np.linalg, name)) for name in np.linalg.__all__})
fft = SimpleNamespace(**{name: _by_numpy(getattr(np.fft, name)) for name in np.fft.__all__})
def _matrices(address, kind, rows, cols, leading, step, count):
    """Matrices at an address, one column after another, as cuBLAS sees them."""
    import ml_dtypes

    names = {0: np.float32, 1: np.float64, 2: np.float16, 4: np.complex64, 5: np.complex128, 14: ml_dtypes.bfloat16}
    dtype = np.dtype(names[kind])
    last = (count - 1) * step + (cols - 1) * leading + rows
    memory = np.ctypeslib.as_array((ctypes.c_uint8 * (last * dtype.itemsize)).from_address(address)).view(dtype)
    strides = (step * dtype.itemsize, dtype.itemsize, leading * dtype.itemsize)
    return np.lib.stride_tricks.as_strided(memory, (count, rows, cols), strides)


class _Cublas:
    """The two functions of cuBLAS that flowtorch calls, with CuPy's signatures; `calls` counts them."""

    calls = 0

    @classmethod
    def gemmStridedBatchedEx(
        cls, handle, flip_a, flip_b, m, n, k, alpha, a, a_kind, lda, a_step, b, b_kind, ldb, b_step, beta,
        c, c_kind, ldc, c_step, count, precision, algorithm,
    ):  # fmt: skip
        assert handle == 77 and algorithm == -1 and precision == (70 if c_kind in (1, 5) else 68)
        assert lda >= (k if flip_a else m) and ldb >= (n if flip_b else k) and ldc >= m
        left = _matrices(a, a_kind, *((k, m) if flip_a else (m, k)), lda, a_step, count)
        right = _matrices(b, b_kind, *((n, k) if flip_b else (k, n)), ldb, b_step, count)
        result = _matrices(c, c_kind, m, n, ldc, c_step, count)
        state = {2: np.float32, 14: np.float32}.get(c_kind, result.dtype)
        alpha, beta = (_matrices(x, {2: 0, 14: 0}.get(c_kind, c_kind), 1, 1, 1, 1, 1).item() for x in (alpha, beta))
        left, right = (x.swapaxes(1, 2) if flip else x for x, flip in ((left, flip_a), (right, flip_b)))
        product = alpha * (left.astype(state) @ right.astype(state))
        result[...] = product if beta == 0 else product + beta * result.astype(state)
        cls.calls += 1

    @classmethod
    def gemmEx(
        cls, handle, flip_a, flip_b, m, n, k, alpha, a, a_kind, lda, b, b_kind, ldb, beta, c, c_kind, ldc, precision,
        algorithm,
    ):  # fmt: skip
        cls.gemmStridedBatchedEx(handle, flip_a, flip_b, m, n, k, alpha, a, a_kind, lda, 0, b, b_kind, ldb, 0, beta,
                                 c, c_kind, ldc, 0, 1, precision, algorithm)  # fmt: skip


class CUDARuntimeError(RuntimeError):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class Graph:
    def __init__(self, noted):
        self.noted = noted

    def launch(self, stream):
        for call in self.noted:
            call()


class PinnedMemory:
    """Page-locked memory; `alive` counts what has not been given back."""

    alive = 0

    def __init__(self, size):
        self.bytes = np.empty(size, np.uint8)
        self.ptr = self.bytes.__array_interface__["data"][0]
        PinnedMemory.alive += 1

    def __del__(self):
        PinnedMemory.alive -= 1


class Event:
    """An event that has come when its stream has run what it was given before."""

    def __init__(self, disable_timing=False):
        self.stream = None

    def record(self, stream):
        self.stream, self.mark = stream, stream.given

    done = property(lambda self: self.stream.given - len(self.stream.waiting) >= self.mark)


class Stream:
    """A stream that runs what it is given at once, when it is waited for (if slow), or notes it while captured."""

    def __init__(self, non_blocking=False, ptr=7):
        self.ptr, self.done, self.noted, self.before = ptr, True, None, []
        self.slow, self.given, self.waiting = False, 0, []

    def run(self, call):
        if self.slow:
            self.given += 1
            self.waiting.append(call)
        elif self.noted is None:
            call()
        else:
            self.noted.append(call)

    def __enter__(self):
        self.before.append(Stream.current)
        Stream.current = self

    def __exit__(self, *exc):
        Stream.current = self.before.pop()

    def begin_capture(self):
        assert self is not Stream.null
        self.noted = []
        launch = sys.modules["flowtorch.triton_kernels.launch"]
        self.launcher = launch._launcher
        launch.install(lambda *call: self.noted.append(lambda: self.launcher(*call)))

    def end_capture(self):
        noted, self.noted = self.noted, None
        sys.modules["flowtorch.triton_kernels.launch"].install(self.launcher)
        return Graph(noted)

    def is_capturing(self):
        return self.noted is not None

    def synchronize(self):
        assert self.noted is None
        while self.waiting:
            self.waiting.pop(0)()

    def wait_event(self, event):
        pass


Stream.null = Stream.current = Stream(ptr=0)


class MemoryPool:
    """Memory of its own: what was allocated there is nobody else's as long as the pool is there."""

    def __init__(self):
        self.blocks = []

    def malloc(self, array):
        self.blocks.append(array)

    def used_bytes(self):
        return sum(array.nbytes for array in self.blocks)

    total_bytes = used_bytes


def set_allocator(allocator):
    global _allocator
    _allocator = allocator


_allocator = None
cuda = SimpleNamespace(
    MemoryPointer=MemoryPointer, Stream=Stream, MemoryPool=MemoryPool, set_allocator=set_allocator,
    get_allocator=lambda: _allocator, get_current_stream=lambda: Stream.current,
    cublas=_Cublas, alloc_pinned_memory=PinnedMemory, Event=Event,
    device=SimpleNamespace(get_cublas_handle=lambda: 77),
    runtime=SimpleNamespace(
        getDevice=lambda: 0, deviceSynchronize=lambda: None, memGetInfo=lambda: (1 << 20, 80 << 30)
    ),
    Device=lambda index=0: contextlib.nullcontext(),
)


def get_default_memory_pool():
    return SimpleNamespace(used_bytes=lambda: 2 << 20, total_bytes=lambda: 3 << 20, free_all_blocks=lambda: None)


def install(patch):
    """Let flowtorch take these arrays for CuPy's; `patch` sets an attribute, given as (object, name, value)."""
    import scipy.linalg

    import flowtorch.ops.cuda
    from flowtorch.array import cuda as memory

    memory.kernels()
    flowtorch.ops.cuda.load()
    faults = memory.Faults()
    for name in ("array.cuda", "codegen.triton_kernel", "ops.cuda.library", "ops.cuda.blas"):
        patch(sys.modules[f"flowtorch.{name}"], "array_module", lambda: sys.modules[__name__])
    for name in ("array.cuda", "ops.cuda.places", "ops.cuda.losses"):
        patch(sys.modules[f"flowtorch.{name}"], "faults", faults)
    solvers = ModuleType("cupyx.scipy.linalg")
    solvers.lu_factor = _by_numpy(scipy.linalg.lu_factor)
    sys.modules |= {"cupyx": ModuleType("cupyx"), "cupyx.scipy": ModuleType("scipy"), "cupyx.scipy.linalg": solvers}
