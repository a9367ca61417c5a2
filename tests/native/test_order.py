"""The stable order by bytes is numpy's, for every kind of number that the kernel takes.

Run: python -m pytest tests/native/test_order.py   (needs a C compiler and Python's headers)
"""

import numpy as np
import pytest

from flowtorch.ops import sorting

SPECIAL = [0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1e-45, -1e-45, 1.0, -1.0, 3e38, -3e38]


def declined(*args):
    return "numpy"


def compare(kernels, x, descending):
    plain = getattr(sorting.stable_order, "__wrapped__", sorting.stable_order)
    got = kernels.kernel("stable_order", declined)(x, x.ndim - 1, descending)
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, plain(x, x.ndim - 1, descending))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
@pytest.mark.parametrize("shape", [(1,), (2,), (40,), (41,), (3, 300), (2, 2, 1000)], ids=str)
def test_order(kernels, shape, dtype, descending):
    rng = np.random.default_rng(0)
    compare(kernels, (rng.standard_normal(shape) * 1e6).astype(dtype), descending)
    compare(kernels, rng.integers(-3, 3, shape).astype(dtype), descending)  # many are equal
    compare(kernels, np.full(shape, 7, dtype), descending)
    if np.dtype(dtype).kind == "f":
        compare(kernels, rng.choice(SPECIAL, shape).astype(dtype), descending)
    else:
        limits = np.iinfo(dtype)
        compare(kernels, rng.choice([limits.min, -1, 0, 1, limits.max], shape).astype(dtype), descending)


def test_threads_share_the_rows(kernels):
    before = kernels.threads()
    kernels.threads(3)
    try:
        compare(kernels, np.random.default_rng(1).standard_normal((60, 999)), False)
    finally:
        kernels.threads(before)


def test_other_calls_are_left_to_numpy(kernels):
    order = kernels.kernel("stable_order", declined)
    x = np.ones((3, 4), np.float32)
    assert order(x, 0, False) == order(x[:, ::2], 1, False) == order(x.astype(np.uint8), 1, False) == "numpy"
    assert order(x[:0], 1, False) == order(x[0, 0], 0, False) == "numpy"
