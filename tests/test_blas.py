"""Products by numpy's own BLAS: every layout, what is kept and scaled, and the same without the library."""

import numpy as np
import pytest

from flowtorch.array import blas


@pytest.fixture(params=["called directly", "absent"])
def tier(request, monkeypatch):
    if request.param == "absent":
        monkeypatch.setattr(blas, "_gemm", lambda char: None)
    else:
        assert blas._gemm("f") is not None and blas._gemm("d") is not None, "numpy's wheels bring OpenBLAS"
    assert blas._gemm("F") is None


def _random(shape, dtype="f", seed=0):
    x = np.random.default_rng(seed).normal(size=shape)
    return (x + 1j * x[::-1]).astype(dtype) if np.dtype(dtype).kind == "c" else (x * 9).astype(dtype)


LAYOUTS = {
    "rows": lambda x: x,
    "columns": lambda x: np.asfortranarray(x),
    "part of longer rows": lambda x: np.concatenate([x, x], axis=1)[:, : x.shape[1]],
    "every second row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "every second number": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "backwards": lambda x: np.ascontiguousarray(x[::-1])[::-1],
    "one row repeated": lambda x: np.broadcast_to(x[:1], x.shape),
}


@pytest.mark.parametrize("first", LAYOUTS)
@pytest.mark.parametrize("second", LAYOUTS)
def test_layouts(tier, first, second):
    a, b = LAYOUTS[first](_random((5, 7))), LAYOUTS[second](_random((7, 4), seed=1))
    for out in (np.empty((5, 4), "f"), np.empty((4, 5), "f").T, np.empty((5, 9), "f")[:, 2:6]):
        out[...] = 3
        blas.multiply(a, b, out, 1.0)
        error = np.abs(out - (a.astype("d") @ b + 3))
        assert (error <= 5e-7 * (np.abs(a) @ np.abs(b) + 3)).all()  # eight units of the sum of magnitudes


@pytest.mark.parametrize("dtype", ["f", "d", "F", "D", "i", "e"])
def test_dtypes_and_factors(tier, dtype):
    a, b, c = _random((3, 5), dtype), _random((5, 2), dtype, 1), _random((3, 2), dtype, 2)
    exact = 2 * (a.astype("D") @ b) - 3 * c.astype("D")
    out = c.copy()
    blas.multiply(a, b, out, -3, 2)
    np.testing.assert_allclose(out, exact, rtol=2e-2 if dtype == "e" else 1e-5, atol=1 if dtype == "e" else 1e-4)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 3), (4, 1, 3), (4, 5, 1), (0, 5, 3), (4, 0, 3), (4, 5, 0)])
def test_few_numbers(tier, shape):
    m, k, n = shape
    a, b = _random((m, k)), _random((k, n), seed=1)
    for left, right in ((a, b), (np.asfortranarray(a), np.asfortranarray(b))):
        out = np.full((m, n), 2, "f")
        blas.multiply(left, right, out, 1.0)
        np.testing.assert_allclose(out, a @ b + 2, rtol=1e-5, atol=1e-5)


def test_what_is_not_kept_may_be_anything(tier):
    out = np.full((3, 3), np.nan, "f")
    blas.multiply(np.eye(3, dtype="f"), _random((3, 3)), out)
    assert np.array_equal(out, _random((3, 3)))
