"""Reductions of expressions on device "cuda" under Triton's interpreter: one pass over the inputs, nothing between.

Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_reductions.py
"""

import math

import numpy as np
import pytest

import flowtorch as ft

F = ft.nn.functional


def numbers(*shape, dtype="float32", seed=0, grad=False):
    array = np.random.default_rng(seed).standard_normal(shape)
    return ft.tensor(array).to(getattr(ft, dtype)).requires_grad_(grad)


CALLS = {
    "var": lambda x: x.var(1),
    "var of all": lambda x: x.var(),
    "var, few": lambda x: x.var(0, correction=9),
    "std": lambda x: x.std((0, 2), keepdim=True),
    "std of columns": lambda x: x.transpose(0, 2).std(0),
    "norm": lambda x: x.norm(),
    "norm 1": lambda x: x.norm(1, 1),
    "norm 0": lambda x: x.norm(0, 1),
    "norm 3": lambda x: x.norm(3, (0, 2), keepdim=True),
    "largest": lambda x: x.norm(math.inf, 2),
    "smallest": lambda x: x.norm(-math.inf, 0),
    "norm of nothing": lambda x: x[:0].norm(),
    "logsumexp": lambda x: x.logsumexp(1),
    "logsumexp of all": lambda x: x.logsumexp((0, 1, 2), keepdim=True),
    "mse": lambda x: F.mse_loss(x, x.flip(0)),
    "mse, sum": lambda x: F.mse_loss(x, x.flip(1), reduction="sum"),
}


@pytest.mark.filterwarnings("ignore:var.*degrees of freedom")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
@pytest.mark.parametrize("name", CALLS)
def test_reductions_of_expressions(name, dtype, same):
    same(CALLS[name], numbers(4, 5, 3, dtype=dtype), scale=8)


@pytest.mark.parametrize("name", ["norm", "logsumexp", "var of all", "largest"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_special_values(name, value, same):
    x = numbers(4, 5, 3)
    x[1, 2, 0] = value
    same(CALLS[name], x)


def test_equal_numbers_have_no_variance():
    x = ft.full((3, 7), 0.1, device="cuda")
    assert x.var(1).tolist() == [0.0] * 3 and x.std().item() == 0.0


def test_half_precision_is_summed_in_float32(same):
    x = ft.full((1, 4096), 0.01, dtype=ft.bfloat16)
    same(lambda x: x.norm(2, 1), x)
    same(lambda x: (x * 300).to(ft.float16).norm(2, 1), x)  # the squares' sum is beyond float16's range


@pytest.mark.parametrize("elements", [8, 32])
def test_small_tiles_and_two_passes(elements):
    """What a GPU does for long rows and for few results: walks, and a second kernel that joins the parts."""
    from flowtorch.codegen import triton_kernel
    from flowtorch.ops.cuda import base

    rng = np.random.default_rng(0)
    for shape, dims in (((3, 50), (1,)), ((70, 3), (0,)), ((6, 5, 7), (0, 2)), ((200,), (0,))):
        x, m = rng.standard_normal(shape), rng.standard_normal([1 if d in dims else n for d, n in enumerate(shape)])
        before = base._expression("(x - m) * (x - m)", (("x", "float64"), ("m", "float64")), (), "float64")
        after = base._expression("sqrt(x / n)", (("x", "float64"),), ("n",), "float64")
        found = triton_kernel.fold("sum", (x, m), dims, "float64", before, after, ((), (5.0,)), elements)
        np.testing.assert_allclose(found, np.sqrt(((x - m) ** 2).sum(dims) / 5), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "uint8", "bool"])
def test_hashes(dtype):
    x = (3 * numbers(4, 5, 3)).to(getattr(ft, dtype))
    for dim in ((), 0, (0, 2)):
        assert ft.hash_tensor(x.cuda(), dim).tolist() == ft.hash_tensor(x, dim).tolist()
    x[1, 2, 0] = ~x[1, 2, 0] if dtype == "bool" else x[1, 2, 0] + 1
    assert ft.hash_tensor(x.cuda()).item() == ft.hash_tensor(x).item()


@pytest.mark.parametrize("initial", [None, 2.0])
@pytest.mark.parametrize("rule", ["sum", "mean", "max", "min", "prod"])
def test_segments(rule, initial, same):
    for dtype in ("float32", "float64", "bfloat16"):
        x = numbers(10, 3, 2, dtype=dtype, grad=dtype != "bfloat16" and rule != "prod")
        lengths = ft.tensor([3, 0, 7])
        same(lambda x, n: ft.segment_reduce(x, rule, lengths=n, initial=initial), x, lengths, grad=True, scale=4)
