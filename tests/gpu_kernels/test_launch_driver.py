"""Launches as the CUDA driver sees them: a library that stands in for libcuda records every call.

Run: python -m pytest tests/gpu_kernels/test_launch_driver.py; a C compiler is needed.
"""

import ctypes
import importlib
import os
import struct
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("triton.language")

from triton.backends.compiler import GPUTarget

from flowtorch.array.cuda import _package
from flowtorch.codegen.folders import compiler

HERE = Path(__file__).parent


def module(name):
    return importlib.import_module(f"{_package().__name__}.{name}")


class Launch(ctypes.Structure):
    _fields_ = [("function", ctypes.c_uint64), ("grid", ctypes.c_uint64 * 3), ("block", ctypes.c_uint64 * 3),
                ("shared", ctypes.c_uint64), ("stream", ctypes.c_uint64), ("slots", ctypes.c_uint64 * 40)]  # fmt: skip


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if compiler() is None:
        pytest.skip("there is no C compiler")
    path = tmp_path_factory.mktemp("driver") / "libcuda.so.1"
    subprocess.run([compiler(), "-shared", "-fPIC", "-O1", str(HERE / "fake_cuda.c"), "-o", str(path)], check=True)
    loaded = ctypes.CDLL(str(path))
    loaded.fake_launch.restype = ctypes.POINTER(Launch)
    loaded.fake_attribute.restype = ctypes.POINTER(ctypes.c_uint64)
    return loaded


class FakeCupy:
    """What a launch asks of CuPy: the current device and stream."""

    def __init__(self):
        self.device, self.stream, self.initialised = 0, 0x51, 0
        runtime = SimpleNamespace(getDevice=lambda: self.device, free=self.free)
        self.cuda = SimpleNamespace(
            runtime=runtime,
            get_current_stream=lambda: SimpleNamespace(ptr=self.stream),
            Device=lambda index: SimpleNamespace(compute_capability="80" if index else "90"),
        )

    def free(self, pointer):
        assert pointer == 0
        self.initialised += 1


@pytest.fixture
def driver(library, tmp_path):
    library.fake_reset()
    cupy = FakeCupy()
    launcher = module("driver").DriverLauncher(cupy, library, str(tmp_path))
    return SimpleNamespace(launch=launcher, library=library, cupy=cupy, folder=tmp_path)


def kernel(signature, body="tl.store(out_ptr, 1)", **options):
    return module("compile").define("probe", {"out_ptr": "*i32", **signature}, {}, [body], **options)


def launched(driver, made, grid, arguments):
    driver.library.fake_parameters(len(arguments) + 2)
    driver.launch(made, grid, arguments)
    return driver.library.fake_launch(driver.library.fake_count() - 1).contents


def test_every_type_of_argument_is_packed_as_the_kernel_declares_it(driver):
    kinds = ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "fp32", "fp64"]
    values = [-1, -2, -3, -(2**40), 255, 65535, 2**32 - 1, 2**64 - 1, 0.1, 0.1]
    made = kernel({f"a{k}": kind for k, kind in enumerate(kinds)})
    seen = launched(driver, made, (3, 2), (0x7F00, *values))
    assert list(seen.grid) == [3, 2, 1] and list(seen.block) == [128, 1, 1] and seen.stream == 0x51
    assert seen.slots[0] == 0x7F00 and list(seen.slots)[11:13] == [0, 0]  # scratch buffers: none
    formats = ["b", "h", "i", "q", "B", "H", "I", "Q", "f", "d"]
    for slot, form, value in zip(list(seen.slots)[1:11], formats, values, strict=True):
        assert struct.unpack_from(f"<{form}", struct.pack("<Q", slot))[0] == pytest.approx(value, rel=1e-7)
    # the binary agrees about the number and the sizes of its parameters
    ptx = module("compile").compile_kernel(made, GPUTarget("cuda", 90, 32)).asm["ptx"]
    assert ptx.split("{")[0].count(".param ") == len(values) + 3


def test_numbers_beyond_float32_are_infinite_there(driver):
    seen = launched(driver, kernel({"x": "fp32", "y": "fp64"}), (1,), (16, -1e300, 1e300))
    assert struct.unpack_from("<f", struct.pack("<Q", seen.slots[1]))[0] == float("-inf")
    assert struct.unpack("<d", struct.pack("<Q", seen.slots[2]))[0] == 1e300


def test_a_binary_is_loaded_once_per_device_and_launched_on_the_current_stream(driver):
    made = kernel({"n": "i32"})
    for device, stream in ((0, 7), (1, 8), (0, 9), (1, 7)):
        driver.cupy.device, driver.cupy.stream = device, stream
        assert launched(driver, made, (1,), (16, 1)).stream == stream
    assert driver.library.fake_loads() == 2 and driver.library.fake_count() == 4


def test_shared_memory_beyond_the_static_limit_is_asked_for(driver):
    matmul = module("matmul")
    call = matmul.prepare(("float16",) * 3, (256,) * 3, ((256, 1),) * 3, aligned=True, tile=(128, 128, 64))
    call.kernel.loaded.clear()
    driver.launch(call.kernel, call.grid, (16, 32, 48, *call.integers))
    call.kernel.loaded.clear()
    shared = driver.library.fake_launch(0).contents.shared
    assert shared > 48 * 1024 and driver.library.fake_attribute()[1:3] == [8, shared]


def test_errors_name_the_kernel_and_what_the_driver_said(driver):
    made = kernel({"n": "i32"})
    driver.launch(made, (1,), (16, 1))
    driver.library.fake_fail(700)
    said = r"CUDA error: an illegal memory access .* \(launching 'probe_\w+' over \(1,\), code 700"
    with pytest.raises(RuntimeError, match=said):
        driver.launch(made, (1,), (16, 1))
    driver.library.fake_fail(999)
    with pytest.raises(RuntimeError, match="error 999"):
        driver.launch(made, (1,), (16, 1))
    driver.library.fake_reset()
    with pytest.raises(struct.error):
        driver.launch(made, (1,), (16, 2**31))
    with pytest.raises(struct.error):
        driver.launch(made, (1,), (16,))


def test_a_thread_without_a_context_gets_one(driver):
    made = kernel({"n": "i32"})
    driver.launch(made, (1,), (16, 1))
    driver.library.fake_fail(201)
    before = driver.cupy.initialised
    thread = threading.Thread(target=driver.launch, args=(made, (2,), (16, 1)))
    thread.start()
    thread.join()
    assert driver.library.fake_count() == 2 and driver.cupy.initialised == before + 1


def test_what_is_loaded_can_be_launched_while_a_stream_is_captured(driver):
    made, late = kernel({"n": "i32"}), kernel({"n": "i64"})
    driver.launch(made, (1,), (16, 1))
    driver.library.fake_capture(1)
    driver.cupy.stream = 0xCA
    assert launched(driver, made, (1,), (16, 2)).stream == 0xCA
    with pytest.raises(RuntimeError, match=r"loading 'probe_\w+', code 900"):
        driver.launch(late, (1,), (16, 2))


def test_binaries_are_kept_for_the_next_process(driver, monkeypatch):
    binaries, target = module("binaries"), GPUTarget("cuda", 90, 32)
    made = kernel({"n": "i32"}, "tl.store(out_ptr, n)")
    first = binaries.binary(made, target, str(driver.folder))
    monkeypatch.setattr(binaries, "compile_kernel", lambda *args: pytest.fail("it was compiled again"))
    assert binaries.binary(made, target, str(driver.folder)) == first
    (path,) = [path for path in driver.folder.iterdir() if path.name == f"{binaries.key(made, target)}.bin"]
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(pytest.fail.Exception):  # a file that was cut off is not believed
        binaries.binary(made, target, str(driver.folder))
    other = kernel({"n": "i32"}, "tl.store(out_ptr, n)", warps=8)
    keys = {binaries.key(k, t) for k in (made, other) for t in (target, GPUTarget("cuda", 80, 32))}
    assert len(keys) == 4


@pytest.mark.parametrize("damage", [
    lambda data: b"", lambda data: b"5\n", lambda data: b"{}\n", lambda data: b"\xff\xfe\n" + data,
    lambda data: data + b"x", lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    lambda data: b'["n", 0, 4]\n', lambda data: None,
])  # fmt: skip
def test_files_that_are_damaged_or_foreign_are_replaced(driver, damage):
    binaries, target = module("binaries"), GPUTarget("cuda", 90, 32)
    made = kernel({"n": "i32"}, "tl.store(out_ptr, n)")
    good = binaries.binary(made, target, str(driver.folder))
    path = driver.folder / f"{binaries.key(made, target)}.bin"
    data, bad = path.read_bytes(), damage(path.read_bytes())
    if bad is None:  # a folder of that name: nothing can be put there, and nothing is left lying about
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(bad)
    assert binaries.binary(made, target, str(driver.folder)) == good
    assert path.is_dir() if bad is None else path.read_bytes() == data
    assert [other.name for other in driver.folder.iterdir()] == [path.name]
    assert binaries.binary(made, target, str(driver.folder / "absent")) == good


def test_several_processes_write_the_same_file(driver):
    binaries = module("binaries")
    made = binaries.Binary("probe", 0, 4, bytes(range(256)) * 4000)
    path = driver.folder / "same.bin"
    binaries._write(path, made)
    children = []
    for _ in range(3):
        child = os.fork()
        if not child:
            for _ in range(50):
                binaries._write(path, made)
            os._exit(0)
        children.append(child)
    for _ in range(200):
        assert binaries._read(path.read_bytes()) == made
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    assert [other.name for other in driver.folder.iterdir()] == ["same.bin"]


def test_the_key_holds_all_that_a_binary_depends_on(monkeypatch):
    binaries, target = module("binaries"), GPUTarget("cuda", 90, 32)
    made = kernel({"n": "i32"}, "tl.store(out_ptr, n)")
    keys = {binaries.key(k, target) for k in (
        made, kernel({"n": "i32"}, "tl.store(out_ptr, n + 1)"), kernel({"n": "i64"}, "tl.store(out_ptr, n)"),
        kernel({"n": "i32"}, "tl.store(out_ptr, n)", stages=2),
        kernel({"n": "i32"}, "tl.store(out_ptr, n)", divisible=frozenset(["n"])))}  # fmt: skip
    keys |= {binaries.key(made, GPUTarget("hip", "gfx942", 64))}
    monkeypatch.setattr(binaries.triton, "__version__", "9.9")
    keys |= {binaries.key(made, target)}
    monkeypatch.setattr(binaries, "_package_digest", lambda: "other helpers")
    assert len(keys | {binaries.key(made, target)}) == 8


def test_flowtorch_takes_the_driver_where_there_is_one(driver, monkeypatch):
    launch, cupy = module("launch"), driver.cupy
    cupy.float32 = cupy.float64 = cupy.int32 = None
    monkeypatch.setattr(module("driver").DriverLauncher, "__init__", lambda self, *args, **kwargs: None)
    assert type(launch.launcher_for(cupy)) is module("driver").DriverLauncher
    monkeypatch.setenv("FLOWTORCH_LAUNCH", "cupy")
    assert type(launch.launcher_for(cupy)) is launch.CupyLauncher
