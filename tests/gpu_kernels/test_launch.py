"""The launch path against a stand-in for CuPy: what reaches the driver, and how often.

Run: python -m pytest tests/gpu_kernels/test_launch.py
"""

import importlib
import re
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("triton.language")

from flowtorch.array.cuda import _package
from flowtorch.codegen.expression import parse
from flowtorch.codegen.lowering import lower
from flowtorch.codegen.triton_renderer import render


def module(name):
    return importlib.import_module(f"{_package().__name__}.{name}")


class FakeFunction:
    ptr = 0xF00

    def __init__(self, name, launches):
        self.name, self.launches = name, launches

    def __call__(self, grid, block, arguments, shared_mem=0):
        self.launches.append(SimpleNamespace(name=self.name, grid=grid, block=block, args=arguments, shared=shared_mem))


class FakeCupy:
    """Records loads and launches in the way CuPy is called."""

    float32, float64, int32 = np.float32, np.float64, np.int32

    def __init__(self):
        self.launches, self.loaded, self.attributes, self.device = [], [], [], 0
        recorder = self

        class Module:
            def load(self, cubin):
                assert cubin[:4] == b"\x7fELF"
                recorder.loaded.append(cubin)
                self.cubin = cubin

            def get_function(self, name):
                assert name.encode() in self.cubin
                return FakeFunction(name, recorder.launches)

        driver = SimpleNamespace(
            CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES=8,
            funcSetAttribute=lambda *args: recorder.attributes.append(args),
        )
        self.cuda = SimpleNamespace(
            runtime=SimpleNamespace(getDevice=lambda: recorder.device),
            Device=lambda index: SimpleNamespace(compute_capability="80" if index else "90"),
            function=SimpleNamespace(Module=Module),
            driver=driver,
        )


@pytest.fixture
def cupy():
    fake = FakeCupy()
    launch = module("launch")
    launch.install(launch.CupyLauncher(fake))
    yield fake
    launch.install(None)


def prepared(text, types, scalars, numel):
    program = lower([parse(text, tuple(types), tuple(scalars))], types, scalars)
    lines, results = render(program)
    pointwise = module("pointwise")
    outputs = tuple(value.type for value in program.outputs)
    made = pointwise.Expression("test", tuple(types.values()), tuple(scalars.values()), outputs, lines, results)
    return pointwise.prepare(made, "contiguous", (numel,), ((1,),) * (len(types) + len(outputs)), aligned=True)


def test_arguments_reach_the_kernel_typed_and_complete(cupy):
    types, scalars = {"a": "float32", "b": "float32"}, {"s": "float32", "n": "int64"}
    call = prepared("a + s * b + n", types, scalars, 5000)
    module("launch").launch(call.kernel, call.grid, (0x10000, 0x20000, 0x30000, 0.1, 2**40, *call.integers))
    (seen,) = cupy.launches
    assert seen.grid == (5,) and seen.block == (128,)
    pointers, s, n, numel, scratch = seen.args[:3], *seen.args[3:6], seen.args[6:]
    assert pointers == (0x10000, 0x20000, 0x30000)
    assert isinstance(s, np.float32) and s == np.float32(0.1)
    assert n == 2**40 and not isinstance(n, np.int32)
    assert isinstance(numel, np.int32) and numel == 5000
    assert scratch == (None, None)


def test_the_binary_declares_as_many_parameters_as_are_passed(cupy):
    from triton.backends.compiler import GPUTarget

    call = prepared("a * s", {"a": "float64"}, {"s": "float64"}, 100)
    module("launch").launch(call.kernel, call.grid, (16, 32, 0.1, *call.integers))
    ptx = module("compile").compile_kernel(call.kernel, GPUTarget("cuda", 90, 32)).asm["ptx"]
    declared = re.findall(r"\.param \.(\w+)", ptx.split("{")[0])
    assert len(declared) == len(cupy.launches[0].args)
    assert declared[:4] == ["u64", "u64", "f64", "u32"]
    assert isinstance(cupy.launches[0].args[2], np.float64)


def test_a_kernel_is_loaded_once_per_device(cupy):
    call = prepared("a + a", {"a": "float32"}, {}, 100)
    for device in (0, 1, 0, 1):
        cupy.device = device
        module("launch").launch(call.kernel, call.grid, (16, 32, *call.integers))
    assert len(cupy.launches) == 4 and len(cupy.loaded) == 2
    assert cupy.loaded[0] != cupy.loaded[1]  # two capabilities


def test_large_shared_memory_is_asked_for_once(cupy):
    matmul = module("matmul")
    call = matmul.prepare(("float16",) * 3, (256,) * 3, ((256, 1),) * 3, aligned=True, tile=(128, 128, 64))
    call.kernel.loaded.clear()
    for _ in range(2):
        module("launch").launch(call.kernel, call.grid, (16, 32, 48, *call.integers))
    assert cupy.launches[0].shared > 48 * 1024
    assert cupy.attributes == [(0xF00, 8, cupy.launches[0].shared)]
    assert cupy.launches[0].block == (256,) and cupy.launches[0].grid == (4,)


def test_without_a_launcher_the_error_says_what_to_do():
    call = prepared("a + a", {"a": "float32"}, {}, 100)
    with pytest.raises(RuntimeError, match="TRITON_INTERPRET=1"):
        module("launch").launch(call.kernel, call.grid, (16, 32, *call.integers))


def test_a_wrong_number_of_arguments_is_an_error(cupy):
    call = prepared("a + a", {"a": "float32"}, {}, 100)
    with pytest.raises(ValueError, match="zip"):
        module("launch").launch(call.kernel, call.grid, (16, *call.integers))
