"""Sums by products: against numpy's in double precision, over every set of dimensions, with infinities and nan."""

from itertools import combinations

import numpy as np
import pytest

import flowtorch
from flowtorch.array import sums


@pytest.mark.parametrize("shape", [(3, 7, 300), (2, 5, 1024), (2, 2500), (2500, 3), (9000,), (1, 4096, 1)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_over_all_sets_of_dimensions(shape, dtype):
    x = np.random.default_rng(0).random(shape).astype(dtype)
    wide, eps = x.astype(np.longdouble), np.finfo(dtype).eps
    t = flowtorch.from_numpy(x)
    for count in range(1, len(shape) + 1):
        for axes in combinations(range(len(shape)), count):
            for keepdim in (False, True):
                for got, exact in (
                    (t.sum(axes, keepdim), wide.sum(axes, keepdims=keepdim)),
                    (t.mean(axes, keepdim), wide.mean(axes, keepdims=keepdim)),
                    (flowtorch.linalg.vector_norm(t, 2, axes, keepdim), np.sqrt((wide**2).sum(axes, keepdims=keepdim))),
                ):
                    assert got.shape == exact.shape
                    assert np.abs(got.numpy() / exact - 1).max() <= 4 * eps
            by_product = sums.over(x, axes, True)
            outer = axes == tuple(range(count))
            assert (by_product is not None) == (x.size >= sums.FEW and (outer or axes[-1] == len(shape) - 1))
            assert by_product is None or by_product.shape == wide.sum(axes, keepdims=True).shape
    assert abs(t.sum().item() / float(wide.sum()) - 1) <= 4 * eps


def test_infinities_and_nan_stay_in_their_rows():
    x = flowtorch.ones(4, 3000)
    x[0, 5], x[1, 2999], x[2, 0], x[2, 1] = np.inf, np.nan, np.inf, -np.inf
    for got, usual in ((x.sum(1), 3000), (x.mean(1), 1)):
        assert got[0] == np.inf and np.isnan(got[1]) and np.isnan(got[2]) and got[3] == usual
    for got, usual in ((x.t().contiguous().sum(0), 3000), (x.t().contiguous().mean(0), 1)):
        assert got[0] == np.inf and np.isnan(got[1]) and np.isnan(got[2]) and got[3] == usual
    assert x.norm(dim=1)[3].item() == pytest.approx(3000**0.5)


def test_gaps_and_integers_are_left_to_numpy():
    x = np.ones((100, 100), np.float32)
    assert sums.over(x[:, ::2], (1,)) is None and sums.over(x.T, (1,)) is None
    assert sums.over(x.astype(np.int64), (1,)) is None and sums.over(x.reshape(10, 10, 100), (1,)) is None
