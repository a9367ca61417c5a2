"""Errors of the driver, of CuPy and of its memory pool: PyTorch's types, naming the operation and the kernel.

The arrays are those of fake_cupy.py; what goes wrong is made to.
Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_errors.py
"""

import pickle
import sys
from pathlib import Path

import pytest

import flowtorch as ft
from flowtorch.array import cuda as memory
from flowtorch.cuda.errors import translated

sys.path.insert(0, str(Path(__file__).parent))
import fake_cupy

OPERANDS = r"\(mul: input float32\[3\] on cuda:0, other 2\)"  # of x * 2, as errors name them


class OutOfMemoryError(MemoryError):
    """As CuPy's pool raises it."""


CODES = {
    1: "invalid argument",
    200: "device kernel image is invalid",
    209: "no kernel image is available for execution",
    400: "invalid resource handle",
    700: "an illegal memory access was encountered",
    701: "too many resources requested for launch",
    702: "the launch timed out and was terminated",
    710: "device-side assert triggered",
    716: "misaligned address",
    719: "unspecified launch failure",
    900: "operation not permitted when stream is capturing",
}


@pytest.fixture(autouse=True)
def device_arrays(monkeypatch):
    fake_cupy.install(monkeypatch.setattr)


@pytest.fixture
def failing(monkeypatch):
    """Let launches fail with a code."""

    def fail(code, said):
        driver = memory.kernel_module("driver")

        class Library:
            @staticmethod
            def cuGetErrorString(number, text):
                text._obj.value = said.encode()

        made = object.__new__(driver.Driver)
        made.library = Library
        monkeypatch.setattr(driver, "translate", translated)

        def launcher(kernel, grid, arguments):
            made.check(code, f"launching '{kernel.function.__name__}' over {grid}")

        monkeypatch.setattr(memory.kernel_module("launch"), "_launcher", launcher)

    return fail


@pytest.mark.parametrize("code", CODES)
def test_each_code_of_the_driver_names_operation_kernel_and_operands(code, failing):
    x = ft.ones(3, device="cuda")
    failing(code, CODES[code])
    said = rf"^CUDA error: {CODES[code]} \(launching 'mul_\w+' over \(1,\), code {code}\) {OPERANDS}"
    with pytest.raises(ft.AcceleratorError, match=said) as raised:
        x * 2
    assert raised.value.error_code == code and isinstance(raised.value, RuntimeError)


def test_kernels_with_other_names_belong_to_an_operation_too(failing):
    x, i = ft.ones(3, 4, device="cuda"), ft.zeros(3, dtype=ft.int64, device="cuda")
    failing(700, "an illegal memory access was encountered")
    calls = {
        "index_select": lambda: x.index_select(0, i), "softmax": lambda: x.softmax(1), "cat": lambda: ft.cat([x, x]),
        "matmul": lambda: x @ x.t(), "mul": lambda: x.mul_(2), "cumsum": lambda: x.cumsum(0), "sort": lambda: x.sort(1),
    }  # fmt: skip
    for name, call in calls.items():
        with pytest.raises(ft.AcceleratorError, match=rf"launching '\w+' over .* \({name}: \w+ \[?float32\[") as raised:
            call()
        assert raised.value.error_code == 700


def test_a_device_without_memory_left(monkeypatch):
    x = ft.ones(3, device="cuda")
    host = ft.ones(3)

    def empty(*args):
        raise OutOfMemoryError("Out of memory allocating 4,096 bytes (allocated so far: 1,024 bytes).")

    monkeypatch.setattr(fake_cupy, "empty", empty)
    monkeypatch.setattr(fake_cupy, "asarray", empty)
    calls = (
        lambda: x + 1, lambda: x.sum(), lambda: x.clone(), lambda: host.to("cuda"), lambda: ft.empty(5, device="cuda"),
        lambda: ft.zeros(5, device="cuda"), lambda: ft.tensor([1.0], device="cuda"),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(ft.OutOfMemoryError, match=r"^CUDA out of memory\. Out of memory allocating 4,096 bytes"):
            call()
    assert ft.OutOfMemoryError is ft.cuda.OutOfMemoryError and not issubclass(ft.OutOfMemoryError, MemoryError)


def test_a_launch_without_memory_left(failing):
    x = ft.ones(3, device="cuda")
    failing(2, "out of memory")
    with pytest.raises(ft.OutOfMemoryError, match=rf"launching 'mul_\w+'.* free\. {OPERANDS}"):
        x.mul_(2)


def test_what_a_wait_finds_is_pytorchs_error_as_well(monkeypatch):
    x = ft.ones(3, device="cuda")

    def get(self):
        raise fake_cupy.CUDARuntimeError(700, "cudaErrorIllegalAddress: an illegal memory access was encountered")

    monkeypatch.setattr(fake_cupy.ndarray, "get", get)
    for call in (x.cpu, x.tolist, x[0].item, lambda: str(x), lambda: bool(x[0])):
        with pytest.raises(ft.AcceleratorError, match=r"^CUDA error: an illegal memory access was") as raised:
            call()
        assert raised.value.error_code == 700


def test_errors_of_the_driver_can_be_pickled():
    error = memory.kernel_module("driver").DriverError(700, "an illegal memory access", "launching 'add'")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) and again.code == 700
