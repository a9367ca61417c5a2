"""Operations that users define: the examples of docs/custom_ops.md run, on both devices.

Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_custom_ops.py
"""

import linecache
import re
from pathlib import Path

import numpy as np
import pytest

import flowtorch as torch
from flowtorch.custom_ops import check_op, expression_op
from flowtorch.user_kernels import LaunchableKernel, sources

PAGE = Path(__file__).resolve().parents[2] / "docs" / "custom_ops.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def run(text, namespace):
    """Triton reads a kernel's source back, so an example must be found in a file."""
    file = f"<example {hash(text)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    exec(compile(text, file, "exec"), namespace)
    return namespace


def test_the_examples_run():
    first = run(EXAMPLES[0], {"__name__": "example"})
    x = torch.randn(5)
    np.testing.assert_allclose(first["squareplus"](x), (x + (x * x + 4).sqrt()) / 2, rtol=1e-6)
    assert len(EXAMPLES[0].splitlines()) < 20
    axpy = run(EXAMPLES[1], {"__name__": "example"})["axpy"]
    for device in ("cpu", "cuda"):
        a, b = (torch.arange(6.0, device=device).reshape(2, 3).requires_grad_() for _ in range(2))
        result = axpy(a, b, 0.5)
        assert result.device.type == device
        np.testing.assert_allclose(result.detach().cpu(), 1.5 * np.arange(6.0).reshape(2, 3))
        result.sum().backward()
        assert (b.grad == 0.5).all() and (a.grad == 1).all()
    run(EXAMPLES[2], {"torch": torch})


def test_two_tensors_and_a_wrong_derivative():
    blend = expression_op("blend_two(x, y, *, t=0.25)", "x + t * (y - x)", lambda g, t: g * (1 - t), lambda g, t: g * t)
    check_op(blend, torch.randn(3, 4), torch.randn(4))
    assert blend(torch.tensor([1, 2]), torch.tensor([3, 4])).dtype is torch.float32
    wrong = expression_op("blend_wrong(x, y)", "x * y", lambda g, y: g, lambda g, x: g * x)
    with pytest.raises((AssertionError, RuntimeError), match="Jacobian mismatch"):
        check_op(wrong, torch.randn(3), torch.randn(3))
    with pytest.raises(ValueError, match="already"):
        expression_op("blend_two(x)", "x")


def test_sources_show_every_side_of_an_operation():
    text = sources(torch.softmax, torch.randn(4, 8, device="cuda"), -1)
    assert "@triton.jit" in text and "def softmax" in text
    text = sources(torch.exp, torch.randn(4, device="cuda"))
    assert "scalar expression" in text and "derivative" in text and "libdevice.exp" in text


def test_launching_says_what_is_wrong():
    kernel = run(EXAMPLES[1].replace("mine::axpy", "mine::again"), {"__name__": "example"})["scaled_add"]
    launch = LaunchableKernel(kernel)[(1,)]
    x = torch.zeros(4, device="cuda")
    with pytest.raises(TypeError, match="missing arguments: n, alpha, BLOCK"):
        launch(x, x, x)
    with pytest.raises(ValueError, match="cannot be accessed from Triton"):
        launch(x, torch.zeros(4), x, 4, 1.0, BLOCK=4)


TUNED = """
import triton
import triton.language as tl

@triton.autotune([triton.Config({"BLOCK": 4}), triton.Config({"BLOCK": 8})], key=["n"])
@triton.heuristics({"EVEN": lambda given: given["n"] % 2 == 0})
@triton.jit
def shifted(x_ptr, shift_ptr, out_ptr, n, EVEN: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n)
    if shift_ptr is not None:
        x += tl.load(shift_ptr)
    if EVEN:
        x += 100
    tl.store(out_ptr + i, x, mask=i < n)
"""


@pytest.mark.parametrize("wrapped", [True, False])
def test_autotuned_kernels_and_pointers_that_are_none(wrapped):
    kernel = run(TUNED, {"__name__": "tuned"})["shifted"]
    launch = LaunchableKernel(kernel) if wrapped else kernel
    x, out = torch.arange(6.0, device="cuda"), torch.empty(6, device="cuda")
    grid = lambda meta: (-(-6 // meta["BLOCK"]),)  # noqa: E731
    launch[grid](x, None, out, 6)
    assert (out == x + 100).all()
    launch[grid](x, torch.tensor(0.5, device="cuda"), out, 5)
    assert (out[:5] == x[:5] + 0.5).all() and out[5] == 105
