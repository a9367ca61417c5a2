"""Users' @triton.jit kernels with flowtorch tensors: what Triton's own launch hands to the CUDA driver.

Run: python -m pytest tests/gpu_kernels/test_launch_user_kernels.py; a C compiler is needed for the stand-in of libcuda.
"""

import ctypes
import importlib
import struct
import subprocess
from pathlib import Path
from types import SimpleNamespace

import fake_cupy
import pytest

pytest.importorskip("triton.language")

import numpy as np
import triton
import triton.language as tl
from test_launch_driver import FakeCupy, Launch

import flowtorch as torch
from flowtorch import devices
from flowtorch.array.cuda import _package
from flowtorch.array.tensortype import tensor_type
from flowtorch.codegen.folders import compiler
from flowtorch.cuda import triton_driver
from flowtorch.dtypes import from_numpy_dtype
from flowtorch.tensor import wrap

HERE = Path(__file__).parent


@triton.jit
def scaled(x_ptr, out_ptr, n, step, factor, shift, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i * step, mask=i < n).to(tl.float32) * factor
    if shift is not None:
        x += shift
    tl.store(out_ptr + i, x, mask=i < n)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if compiler() is None:
        pytest.skip("there is no C compiler")
    path = tmp_path_factory.mktemp("driver") / "libcuda.so.1"
    subprocess.run([compiler(), "-shared", "-fPIC", "-O1", str(HERE / "fake_cuda.c"), "-o", str(path)], check=True)
    loaded = ctypes.CDLL(str(path))
    loaded.fake_launch.restype = ctypes.POINTER(Launch)
    return loaded


@pytest.fixture
def gpu(library, monkeypatch):
    """A device that notes what it is told, for which Triton compiles and launches."""
    library.fake_reset()
    cupy = FakeCupy()
    attributes = {"MaxSharedMemoryPerBlockOptin": 227 << 10, "MultiProcessorCount": 132, "WarpSize": 32}
    cupy.cuda.Device = lambda index=0: SimpleNamespace(compute_capability="90", attributes=attributes)
    scratch = []
    cupy.cuda.alloc = lambda size: (scratch.append(size), SimpleNamespace(ptr=0xABC00))[1]
    driver = triton_driver.CupyDriver(cupy, _package(), library)
    monkeypatch.setattr(triton_driver.registry, "_active", driver)
    scaled.device_caches.clear()

    def last(count):
        library.fake_parameters(count)
        return library.fake_launch(library.fake_count() - 1).contents

    yield SimpleNamespace(cupy=cupy, library=library, last=last, driver=driver, scratch=scratch)
    scaled.device_caches.clear()  # binaries are unloaded while this driver is there


def tensor(dtype, offset=0):
    """A tensor on a device that is not there: its address is all that a launch looks at."""
    array = fake_cupy.zeros((64,), dtype)[offset:]
    return wrap(array, tensor_type(from_numpy_dtype(array.dtype), devices._cuda0))


def launched(gpu, parameters, *args, grid=(3,), **options):
    gpu.library.fake_parameters(parameters)
    kernel = scaled[grid](*args, **{"BLOCK": 64, **options})
    return kernel, gpu.library.fake_launch(gpu.library.fake_count() - 1).contents


def test_tensors_and_numbers_reach_the_driver_in_their_places(gpu):
    x, out = tensor(np.float32), tensor(np.float32)
    kernel, seen = launched(gpu, 8, x, out, 1000, 3, 0.5, 0.25, num_warps=8)
    slots = list(seen.slots)
    assert slots[:2] == [x.data_ptr(), out.data_ptr()] and slots[2] == 1000 and slots[3] == 3
    floats = [struct.unpack_from("<f", struct.pack("<Q", slot))[0] for slot in slots[4:6]]
    assert floats == [0.5, 0.25] and slots[6:8] == [0, 0]
    assert list(seen.grid) == [3, 1, 1] and list(seen.block) == [256, 1, 1] and seen.stream == 0x51
    declared = kernel.asm["ptx"].split("{")[0].count(".param ")
    assert declared == 8  # as many as were passed


def test_one_and_none_are_compiled_into_the_kernel(gpu):
    x, out = tensor(np.float32), tensor(np.float32)
    kernel, seen = launched(gpu, 6, x, out, 1000, 1, 0.5, None, grid=lambda meta: (1000 // meta["BLOCK"], 2))
    assert list(seen.slots)[:3] == [x.data_ptr(), out.data_ptr(), 1000] and list(seen.grid) == [15, 2, 1]
    assert kernel.asm["ptx"].split("{")[0].count(".param ") == 6


def test_multiples_of_16_and_types_make_variants(gpu):
    x, out = tensor(np.float32), tensor(np.float32)
    kernels = [
        launched(gpu, 8, *args, 0.5, 0.25)[0]
        for args in ((x, out, 1000, 3), (x, out, 999, 3), (x, out, 1024, 3), (tensor(np.float32, 1), out, 1000, 3),
                     (tensor(np.float16), out, 1000, 3), (x, out, 2**31, 3))
    ]  # fmt: skip
    assert kernels[0] is kernels[1] and len(set(map(id, kernels))) == 5
    assert gpu.library.fake_loads() == 5


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"])
def test_every_dtype_of_tensors(gpu, dtype):
    x = tensor(np.dtype(dtype))
    kernel, seen = launched(gpu, 8, x, tensor(np.float32), 64, 3, 1.5, 2.5)
    assert seen.slots[0] == x.data_ptr()
    names = {"bool": "u1", "float16": "fp16", "float32": "fp32", "float64": "fp64"}
    named = names.get(dtype, dtype.replace("uint", "u").replace("int", "i"))
    assert kernel.src.signature["x_ptr"] in (f"*{named}", "*i1" if dtype == "bool" else "")


def test_bfloat16_tensors(gpu):
    import ml_dtypes

    kernel, _ = launched(gpu, 8, tensor(np.dtype(ml_dtypes.bfloat16)), tensor(np.float32), 64, 3, 1.5, 2.5)
    assert kernel.src.signature["x_ptr"] == "*bf16"


def test_errors_of_the_driver_and_of_arguments(gpu):
    x, out = tensor(np.float32), tensor(np.float32)
    launched(gpu, 8, x, out, 1000, 3, 0.5, 0.25)
    with pytest.raises(ValueError, match=r"cannot be accessed from Triton \(cpu tensor\?\)"):
        scaled[(1,)](torch.zeros(4), out, 1000, 3, 0.5, 0.25, BLOCK=64)
    gpu.library.fake_fail(700)
    with pytest.raises(RuntimeError, match=r"CUDA error: an illegal memory access .*launching 'scaled' over \(3, 1"):
        scaled[(3,)](x, out, 1000, 3, 0.5, 0.25, BLOCK=64)
    gpu.library.fake_reset()
    before = gpu.library.fake_count()
    scaled[(0,)](x, out, 1000, 3, 0.5, 0.25, BLOCK=64)
    assert gpu.library.fake_count() == before  # an empty grid is no launch


def test_clusters_are_refused(gpu):
    x, out = tensor(np.float32), tensor(np.float32)
    with pytest.raises(NotImplementedError, match="clusters"):
        scaled[(1,)](x, out, 1000, 3, 0.5, 0.25, BLOCK=64, num_ctas=2)


def test_autotuning_measures_on_the_device(gpu, monkeypatch):
    timed = []

    def bench(call, quantiles, **options):
        call()
        timed.append(gpu.library.fake_launch(gpu.library.fake_count() - 1).contents.block[0])
        return [float(timed[-1])] * 3

    monkeypatch.setattr(gpu.driver, "get_benchmarker", lambda: bench)
    tuned = triton.autotune([triton.Config({"BLOCK": 64}, num_warps=w) for w in (8, 2, 4)], key=["n"])(scaled)
    tuned[(1,)](tensor(np.float32), tensor(np.float32), 64, 3, 0.5, 0.25)
    assert sorted(timed) == [64, 128, 256]
    assert gpu.last(1).block[0] == 64  # the fastest


def test_scratch_memory_is_there_for_kernels_that_ask(gpu):
    metadata = SimpleNamespace(name="probe", shared=0, num_warps=4, global_scratch_size=128)
    source = SimpleNamespace(signature={"x": "i32", "B": "constexpr", "t": ("i64", "constexpr")})
    launch = gpu.driver.launcher_cls(source, metadata)
    gpu.library.fake_parameters(4)
    launch(2, 3, 1, 9, ctypes.c_void_p(1), None, None, None, None, 5, 64, (7, 8))
    assert gpu.scratch == [2 * 3 * 128] and list(gpu.last(4).slots)[:4] == [5, 7, 0xABC00, 0]


def test_the_driver_is_set_where_triton_is_flowtorchs(monkeypatch):
    import sys

    monkeypatch.setattr(triton_driver.registry, "_active", None)
    monkeypatch.setattr(triton_driver, "array_module", lambda: np)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())
    triton_driver.install(_package())
    assert triton_driver.registry._active is None  # PyTorch's Triton keeps its driver
    monkeypatch.delitem(sys.modules, "torch")
    triton_driver.install(_package())
    active = triton_driver.registry.active
    assert type(active) is triton_driver.TensorDriver and active.get_active_torch_device().type == "cuda"
    assert active.get_device_interface() is torch.cuda and not active.is_active()
    assert importlib.import_module("triton.runtime").driver.active is active
