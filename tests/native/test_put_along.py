"""The kernel that writes and adds at the places of an index, against the numpy kernel that it stands for.

Run: python -m pytest tests/native/test_put_along.py   (needs a C compiler and Python's headers)
"""

import ml_dtypes
import numpy as np
import pytest
from test_kernels import Declined, decline, numbers, numpy_kernel


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64, np.bool_, ml_dtypes.bfloat16])
@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize(
    "size, dim, shape", [((7,), 0, (5,)), ((3, 9), 1, (4, 6)), ((9, 3), 0, (6, 4)), ((2, 5, 3), 1, (3, 4, 3))]
)
def test_put_along(kernels, dtype, adds, size, dim, shape):
    target = numbers(*shape, scale=9).astype(dtype)
    index = np.random.default_rng(1).integers(0, shape[dim], size)
    wide = numbers(*(n + 1 for n in size), scale=9, seed=2).astype(dtype)
    for values in (wide[tuple(slice(n) for n in size)].copy(), wide, wide.reshape(-1)[:1].reshape(())):
        ours, theirs = target.copy(), target.copy()
        if adds and target.dtype.itemsize < 4:
            with pytest.raises(Declined):
                kernels.kernel("put_along", decline)(ours, dim, index, values, adds)
            continue
        kernels.kernel("put_along", decline)(ours, dim, index, values, adds)
        numpy_kernel("put_along")(theirs, dim, index, values, adds)
        np.testing.assert_array_equal(ours, theirs)


def test_put_along_leaves_the_rest_to_numpy(kernels):
    target, index = numbers(4, 6), np.zeros((4, 6), np.int64)
    for x, at, values in (
        (target.T, index.T, target.T),
        (target, index.astype(np.int32), target.copy()),
        (target, index, target),
        (target.astype(np.complex64), index, target.astype(np.complex64)),
    ):
        with pytest.raises(Declined):
            kernels.kernel("put_along", decline)(x, 1, at, values, True)


@pytest.mark.parametrize("dim", [0, 1])
def test_put_along_is_the_same_for_any_number_of_threads(kernels, dim):
    index, values = np.random.default_rng(3).integers(0, 300, (300, 300)), numbers(300, 300)
    before, results = kernels.threads(), []
    for threads in (1, 2, 4):
        kernels.threads(threads)
        results.append(np.zeros((300, 300), np.float32))
        kernels.kernel("put_along", decline)(results[-1], dim, index, values, True)
    kernels.threads(before)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
