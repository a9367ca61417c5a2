"""Reductions, softmax and matrix products in Triton's interpreter against numpy.

Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_kernels.py
"""

import ml_dtypes
import numpy as np
import pytest

import flowtorch as ft
from flowtorch.codegen import triton_kernel as kernels

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = [np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.float16), BFLOAT16]
TOLERANCE = {
    np.dtype(np.float32): 2e-6,
    np.dtype(np.float64): 1e-13,
    np.dtype(np.float16): 2e-3,
    BFLOAT16: 1.6e-2,
}


def numbers(*shape, dtype=np.float32, seed=0):
    return np.asarray(np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


NUMPY = {
    "sum": np.sum, "mean": np.mean, "prod": np.prod, "amax": np.max, "amin": np.min, "any": np.any,
    "all": np.all,
}  # fmt: skip
SHAPES = {
    "row": ((6, 7), (1,)),
    "column": ((6, 7), (0,)),
    "all": ((6, 7), (0, 1)),
    "middle": ((3, 4, 5), (1,)),
    "outside": ((3, 4, 5), (0, 2)),
    "apart": ((2, 3, 4, 5), (0, 2)),
    "nothing": ((4, 5), ()),
    "scalar": ((), ()),
}


@pytest.mark.parametrize("elements", [None, 8])
@pytest.mark.parametrize("case", SHAPES)
@pytest.mark.parametrize("rule", NUMPY)
def test_reductions(rule, case, elements):
    """`elements` makes tiles of eight: loops, several programs, and two passes for few results."""
    shape, dims = SHAPES[case]
    x = numbers(*shape)
    x = np.asarray(x > 0.8) if rule == "any" else np.asarray(x > -0.8) if rule == "all" else x
    result = kernels.reduce(rule, x, dims, x.dtype.name, elements)
    expected = np.asarray(NUMPY[rule](x, axis=dims)).astype(x.dtype)
    assert result.shape == expected.shape and result.dtype == expected.dtype
    np.testing.assert_allclose(result.astype(float), expected.astype(float), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("view", [lambda x: x.T, lambda x: x[::2, ::3], lambda x: x[::-1], lambda x: x[:, :1]])
def test_reductions_of_views(view):
    x = view(numbers(12, 18))
    for dims in ((0,), (1,), (0, 1)):
        result = kernels.reduce("sum", x, dims, "float32", 8)
        np.testing.assert_allclose(result, x.sum(dims), rtol=1e-5, atol=1e-6)
    spread = np.broadcast_to(numbers(3, 1), (3, 50))
    np.testing.assert_allclose(kernels.reduce("sum", spread, (1,), "float32"), spread.sum(1), rtol=1e-6)


def test_low_precision_accumulates_in_float32():
    x = np.full(4096, 1.0, BFLOAT16)  # bfloat16 sums stop at 256
    assert kernels.reduce("sum", x, (0,), "bfloat16") == 4096
    assert kernels.reduce("mean", x, (0,), "bfloat16", 64) == 1
    assert kernels.reduce("sum", np.full(70, 1000, np.float16), (0,), "float32") == 70000
    assert kernels.reduce("sum", np.full(70, 1000, np.float16), (0,), "float16") == np.inf


def test_integers_accumulate_in_int64():
    x = np.random.default_rng(0).integers(0, 255, (5, 300)).astype(np.uint8)
    np.testing.assert_array_equal(kernels.reduce("sum", x, (1,), "int64"), x.sum(1, dtype=np.int64))
    np.testing.assert_array_equal(kernels.reduce("sum", x > 100, (1,), "int64"), (x > 100).sum(1))
    np.testing.assert_array_equal(kernels.reduce("amax", x, (0,), "uint8"), x.max(0))
    for dtype in (np.int8, np.int32, np.int64):
        y = (x.astype(np.int64) - 200).astype(dtype)
        np.testing.assert_array_equal(kernels.reduce("amax", y, (1,), y.dtype.name, 64), y.max(1))
        np.testing.assert_array_equal(kernels.reduce("amin", y, (1,), y.dtype.name), y.min(1))
    z = np.random.default_rng(1).integers(1, 3, (4, 40))
    np.testing.assert_array_equal(kernels.reduce("prod", z, (1,), "int64"), z.prod(1))


@pytest.mark.parametrize("elements", [None, 4])
def test_extrema_propagate_nan(elements):
    x = numbers(4, 9)
    x[1, 5] = x[3, 0] = np.nan
    for rule in ("amax", "amin"):
        for dims in ((0,), (1,), (0, 1)):
            np.testing.assert_array_equal(kernels.reduce(rule, x, dims, "float32", elements), NUMPY[rule](x, axis=dims))
    np.testing.assert_array_equal(
        kernels.reduce("amax", np.full((2, 3), -np.inf, np.float32), (1,), "float32"), -np.inf
    )


def test_empty_reductions():
    x = np.zeros((3, 0), np.float32)
    for rule, neutral in (("sum", 0), ("prod", 1)):
        np.testing.assert_array_equal(kernels.reduce(rule, x, (1,), "float32"), np.full(3, neutral, np.float32))
        assert kernels.reduce(rule, x, (0,), "float32").shape == (0,)
    assert np.isnan(kernels.reduce("mean", x, (1,), "float32")).all()


def softmax(x, axis, log):
    x = x.astype(np.float64)
    with np.errstate(all="ignore"):
        shifted = x - x.max(axis, keepdims=True)
        total = np.exp(shifted).sum(axis, keepdims=True)
        return shifted - np.log(total) if log else np.exp(shifted) / total


AXES = [((6, 10), 1), ((6, 10), 0), ((3, 4, 5), 1), ((3, 4, 5), -1), ((40,), 0)]


@pytest.mark.parametrize("elements", [None, 8])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("log", [False, True])
def test_softmax_forward_and_backward(log, dtype, elements):
    """`elements` makes tiles of eight, so that longer rows are walked."""
    for shape, axis in AXES:
        axis %= len(shape)
        x = (numbers(*shape) * 3).astype(dtype)
        y = kernels.softmax(x, axis, dtype.name, log, elements)
        tolerance = TOLERANCE[dtype]
        np.testing.assert_allclose(y.astype(float), softmax(x, axis, log), rtol=tolerance, atol=tolerance)
        g = numbers(*shape, dtype=dtype, seed=1)
        result = kernels.softmax_backward(g, y, axis, dtype.name, log, elements)
        wide_g, wide_y = g.astype(float), y.astype(float)
        if log:
            expected = wide_g - np.exp(wide_y) * wide_g.sum(axis, keepdims=True)
        else:
            expected = wide_y * (wide_g - (wide_g * wide_y).sum(axis, keepdims=True))
        np.testing.assert_allclose(result.astype(float), expected, rtol=2 * tolerance, atol=2 * tolerance)


@pytest.mark.parametrize("elements", [None, 8])
@pytest.mark.parametrize("log", [False, True])
def test_softmax_of_infinities_and_nan(log, elements):
    x = numbers(6, 40)
    x[0, 1] = np.nan
    x[1, :20] = -np.inf
    x[2, :] = -np.inf
    x[3, 3] = np.inf
    x[4, :] = 1e4
    result = kernels.softmax(x, 1, "float32", log, elements)
    np.testing.assert_allclose(result, softmax(x, 1, log), rtol=2e-6, atol=1e-6)


def test_softmax_of_views_and_other_dtypes():
    x = numbers(8, 12)
    for view in (x.T, x[::2, ::3], np.broadcast_to(x[:1], (4, 12))):
        for axis in (0, 1):
            np.testing.assert_allclose(
                kernels.softmax(view, axis, "float32"), softmax(view, axis, False), rtol=2e-6, atol=1e-7
            )
    half = x.astype(np.float16)
    np.testing.assert_allclose(kernels.softmax(half, 1, "float32"), softmax(half, 1, False), rtol=2e-6)
    assert kernels.softmax(numbers(), 0, "float32") == 1
    assert kernels.softmax(x[:0], 1, "float32").shape == (0, 12)


@pytest.mark.parametrize("tile", [None, (16, 16, 16)])
@pytest.mark.parametrize("dtype", [*FLOATS, np.dtype(np.int64), np.dtype(np.int8)], ids=str)
def test_matrix_products(dtype, tile):
    def make(*shape):
        return (numbers(*shape) * 3).astype(dtype)

    cases = [
        (make(5, 7), make(7, 3)),
        (make(20, 33), make(33, 18)),
        (make(33, 20).T, make(18, 33).T),
        (make(40, 20)[::2, ::2], make(10, 6)),
        (make(3, 2, 5, 7), make(2, 7, 6)),
        (make(1, 9), make(9, 1)),
        (make(4, 0), make(0, 3)),
    ]
    for left, right in cases if tile is None else cases[:3]:
        result = kernels.matmul(left, right, tile=tile)
        if dtype.kind == "i":
            np.testing.assert_array_equal(result, left @ right)
        else:
            expected = left.astype(np.float64) @ right.astype(np.float64)
            scale = max(np.abs(expected).max(initial=0), 1)
            np.testing.assert_allclose(result.astype(float), expected, rtol=0, atol=TOLERANCE[dtype] * scale)


def test_many_tiles_are_each_computed_once():
    """More rows of tiles than walk together, and a last group that is not full."""
    left, right = numbers(16 * 11 + 3, 5), numbers(5, 16 * 3 + 1)
    np.testing.assert_allclose(kernels.matmul(left, right, tile=(16, 16, 16)), left @ right, rtol=1e-5, atol=1e-5)


ALIKE = {
    "pointwise": lambda x: x * 2 + x,
    "formula": lambda x: ft.nn.functional.gelu(x),
    "map": lambda x: x.tril(1),
    "fill": lambda x: ft.zeros_like(x),
    "reduction": lambda x: x.sum(0),
    "softmax": lambda x: x.softmax(-1),
    "product": lambda x: x @ x,
    "norm": lambda x: ft.nn.functional.layer_norm(x, (16,)),
    "scan": lambda x: x.cumsum(1),
    "sort": lambda x: x.sort(1)[0],
    "convolution": lambda x: ft.nn.functional.conv2d(x[None, None], x[None, None, :3, :3]),
    "list": lambda x: ft._foreach_mul([x, x], 2.0)[0],
}


@pytest.mark.parametrize("name", ALIKE)
def test_a_call_like_an_earlier_one_plans_nothing(name, monkeypatch):
    from flowtorch.array import cuda
    from flowtorch.codegen import triton_kernel, triton_map

    x, y = ft.rand(16, 16, device="cuda"), ft.rand(16, 16, device="cuda")
    for given in (x, y, x):
        expected = ALIKE[name](given)
    monkeypatch.setattr(triton_map, "_plan", None)
    monkeypatch.setattr(triton_kernel.TritonKernel, "plan", None)
    for module, function in (("direct", "variant"), ("reduction", "build"), ("softmax", "build"), ("matmul", "build"),
                             ("multi_tensor", "build"), ("compile", "define")):  # fmt: skip
        monkeypatch.setattr(cuda.kernel_module(module), function, None)
    np.testing.assert_array_equal(ALIKE[name](x).cpu(), expected.cpu())
