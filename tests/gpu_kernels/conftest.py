"""Triton's interpreter replaces its compiler for the whole process, so each side of these tests has its own.

Interpreted:  FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_*.py
Compiled:     python -m pytest tests/gpu_kernels/test_compile.py tests/gpu_kernels/test_launch.py
On a GPU:     FLOWTORCH_TEST_GPU=1 python -m pytest tests/gpu_kernels/test_interpret_*.py
"""

import importlib.util
import os

import pytest

ON_GPU = os.environ.get("FLOWTORCH_TEST_GPU") == "1"
"""The tests of the interpreter, on a real device."""
STAND_INS = (
    "test_interpret_benchmarks.py", "test_interpret_cuda_api.py", "test_interpret_device_arrays.py",
    "test_interpret_errors.py", "test_interpret_pinned.py", "test_interpret_strict.py",
)  # fmt: skip


def installed():
    try:  # "triton" alone would find this folder
        return importlib.util.find_spec("triton.language") is not None
    except ModuleNotFoundError:
        return False


def pytest_collection_modifyitems(items):
    missing = not installed()
    interpreting = os.environ.get("TRITON_INTERPRET") == "1" and os.environ.get("FLOWTORCH_CUDA") == "interpret"
    interpreting = interpreting or ON_GPU
    for item in items:
        if "tests/gpu_kernels" not in item.path.as_posix():
            continue
        wants_interpreter = "interpret" in item.path.name
        if missing:
            item.add_marker(pytest.mark.skip(reason="triton is not installed"))
        elif ON_GPU and item.path.name in STAND_INS:
            item.add_marker(pytest.mark.skip(reason="tests what stands in for a GPU"))
        elif wants_interpreter != interpreting:
            reason = "needs TRITON_INTERPRET=1 FLOWTORCH_CUDA=interpret" if wants_interpreter else "needs a compiler"
            item.add_marker(pytest.mark.skip(reason=f"{reason}: run in its own process, see conftest.py"))


@pytest.fixture
def same():
    """Check that a function of tensors gives on the device what it gives on the CPU, gradients too."""
    return check_same


def check_same(function, *arguments, grad=False, scale=1.0):
    import numpy as np

    import flowtorch

    copies = [move(argument) for argument in arguments]
    expected, results = flatten(function(*arguments)), flatten(function(*copies))
    assert len(expected) == len(results)
    for left, right in zip(results, expected, strict=True):
        assert left.device.type == "cuda", "the result left the device"
        assert left.dtype is right.dtype and left.shape == right.shape, (left.dtype, left.shape, right.shape)
        assert_near(left, right, scale)
    if not grad:
        return
    rng = np.random.default_rng(7)
    for left, right in zip(results, expected, strict=True):
        if right.requires_grad:
            weight = flowtorch.tensor(rng.standard_normal(tuple(right.shape))).to(right.dtype)
            right.backward(weight, retain_graph=True)
            left.backward(weight.to("cuda"), retain_graph=True)
    for copy, argument in zip(flatten(copies), flatten(arguments), strict=True):
        if getattr(argument, "grad", None) is not None:
            assert_near(copy.grad, argument.grad, 4 * scale)
            argument.grad = None


def assert_near(left, right, scale):
    import numpy as np

    import flowtorch

    kind = flowtorch.complex128 if right.is_complex() else flowtorch.float64
    if right.dtype in (flowtorch.float16, flowtorch.bfloat16):
        tolerance = 2**-7 if right.dtype is flowtorch.bfloat16 else 2**-9
    elif right.is_floating_point() or right.is_complex():
        tolerance = 1e-12 if right.dtype in (flowtorch.float64, flowtorch.complex128) else 4e-6
    else:
        kind, tolerance = right.dtype, 0
    values = [t.detach().cpu().to(kind).numpy() for t in (left, right)]
    np.testing.assert_allclose(*values, rtol=scale * tolerance, atol=scale * tolerance)


def move(argument):
    import flowtorch

    if isinstance(argument, flowtorch.Tensor):
        return argument.detach().to("cuda").requires_grad_(argument.requires_grad)
    return type(argument)(map(move, argument)) if isinstance(argument, (list, tuple)) else argument


def flatten(value):
    return [part for item in value for part in flatten(item)] if isinstance(value, (list, tuple)) else [value]
