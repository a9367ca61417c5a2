"""The kernels that copy large arrays, against the numpy functions that they stand for.

Run: python -m pytest tests/native/test_copies.py   (needs a C compiler and Python's headers)
"""

import ml_dtypes
import numpy as np
import pytest
from test_kernels import Declined, decline, numbers, numpy_kernel

DTYPES = [np.float32, np.float64, np.int64, np.uint8, np.complex64, ml_dtypes.bfloat16]


@pytest.fixture(params=(1, 2, 3))
def threads(kernels, request):
    before = kernels.threads()
    kernels.threads(request.param)
    yield request.param
    kernels.threads(before)


def same(kernels, name, *args):
    got, want = kernels.kernel(name, decline)(*args), numpy_kernel(name)(*args)
    assert got.dtype == want.dtype and got.shape == want.shape and got.strides == want.strides
    assert not np.shares_memory(got, args[0] if name != "concatenate" else args[0][0])
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [701, 2048])  # with some bytes behind the last line, and past the caches
def test_duplicate(kernels, threads, dtype, columns):
    x = numbers(600, columns).astype(dtype)
    same(kernels, "duplicate", x)
    same(kernels, "duplicate", x.T)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_concatenate(kernels, threads, dtype, dim):
    rows = (301, 0, 300) if dim == 0 else (301, 301, 301)
    parts = [
        numbers(n, 5 if dim == 0 else k, 900 if dim == 1 else 901, seed=k).astype(dtype)
        for k, n in zip((2, 3, 1), rows, strict=True)
    ]
    if dim == -1:
        parts = [np.ascontiguousarray(p[:, :1, :900]) for p in parts]
    same(kernels, "concatenate", parts, dim)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [0, 1])
def test_take(kernels, threads, dtype, dim):
    x = numbers(*((500, 96) if dim == 0 else (3, 500, 96))).astype(dtype)
    index = np.random.default_rng(2).integers(0, 500, (60, 70))
    same(kernels, "take", x, index, dim)
    index[-1, -1] = -1  # counted from the end: left to numpy, as is what lies outside
    for bad in (-1, 500):
        index[-1, -1] = bad
        with pytest.raises(Declined):
            kernels.kernel("take", decline)(x, index, dim)


def test_what_is_left_to_numpy(kernels):
    x, index = numbers(600, 800), np.zeros(600, np.int64)
    for name, args in (
        ("duplicate", (numbers(4, 4),)),
        ("duplicate", (x[:, ::2],)),
        ("duplicate", (x.astype(object),)),
        ("concatenate", ([x, x.astype(np.float64)], 0)),
        ("concatenate", ([x, x[:, :5]], 0)),
        ("concatenate", ([x, x.T], 0)),
        ("concatenate", ([x, x], 2)),
        ("take", (x.T, index, 0)),
        ("take", (x, index.astype(np.int32), 0)),
        ("take", (x, index[::2], 0)),
        ("take", (x, index, 2)),
    ):
        with pytest.raises(Declined):
            kernels.kernel(name, decline)(*args)


def test_casts_to_integers_are_numpys(kernels, threads):
    x = numbers(300, 500, scale=1e9)
    x[0, :6] = np.nan, np.inf, -np.inf, 3e9, -0.0, 1e30
    for wide in (np.float32, np.float64):
        for target in (np.int32, np.int64):
            if wide is np.float64 and target is np.int32:
                continue
            with np.errstate(invalid="ignore"):
                same(kernels, "astype", x.astype(wide), np.dtype(target))
    same(kernels, "astype", (numbers(300, 500).astype(np.float64) * 1e15).astype(np.int64), np.dtype(np.float64))
