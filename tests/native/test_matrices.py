"""Products of matrices by the C tier's own panels: any layout, any remainder, special values, any number of threads."""

import numpy as np
import pytest

import flowtorch as torch

SIZES = [(48, 32, 33), (50, 1000, 65), (129, 300, 47), (300, 257, 96), (1000, 64, 128), (64, 128, 64), (70, 513, 700)]


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def laid_out(x, how):
    """The same matrix in order, transposed, or as a part of a larger one."""
    if how == "transposed":
        return torch.from_numpy(np.ascontiguousarray(x.T)).t()
    if how == "part":
        larger = np.full((x.shape[0] + 1, x.shape[1] + 3), np.nan, np.float32)
        larger[1:, 2:-1] = x
        return torch.from_numpy(larger)[1:, 2:-1]
    return torch.from_numpy(x)


@pytest.mark.parametrize("second", ["in order", "transposed", "part"])
@pytest.mark.parametrize("first", ["in order", "transposed", "part"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_product(kernels, size, first, second):
    m, k, n = size
    a, b = numbers(m, k), numbers(k, n, seed=1)
    got = (laid_out(a, first) @ laid_out(b, second)).numpy()
    exact = a.astype(np.float64) @ b.astype(np.float64)
    bound = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    assert got.dtype == np.float32 and got.shape == (m, n)
    assert (np.abs(got - exact) <= 2e-6 * bound).all()


def test_special_values_stay_where_they_belong(kernels):
    a, b = numbers(100, 80), numbers(80, 130, seed=1)
    a[3, 5], a[7, 0], b[4, 129], b[79, 2] = np.nan, np.inf, -np.inf, np.nan
    got = (torch.from_numpy(a) @ torch.from_numpy(b)).numpy()
    with np.errstate(all="ignore"):
        expected = a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_array_equal(got[np.isinf(expected)], expected[np.isinf(expected)])


def test_linear_and_its_gradients(kernels):
    x, w, b, g = numbers(4, 50, 70), numbers(90, 70, seed=1), numbers(90, seed=2), numbers(4, 50, 90, seed=3)
    tensors = [torch.from_numpy(v).requires_grad_() for v in (x, w, b)]
    out = torch.nn.functional.linear(*tensors)
    grads = torch.autograd.grad(out, tensors, torch.from_numpy(g))
    x, w, b, g = (v.astype(np.float64) for v in (x, w, b, g))

    def results(x, w, b, g):
        rows = g.reshape(-1, 90)
        return x @ w.T + b, g @ w, rows.T @ x.reshape(-1, 70), rows.sum(0)

    bounds = results(*(np.abs(v) for v in (x, w, b, g)))
    for got, expected, bound in zip((out.detach(), *grads), results(x, w, b, g), bounds, strict=True):
        assert (np.abs(got.numpy() - expected) <= 5e-7 * bound).all()  # eight units of the sum of magnitudes


def test_the_same_on_any_number_of_threads(kernels):
    a, b = torch.from_numpy(numbers(700, 300)), torch.from_numpy(numbers(200, 300, seed=1)).t()
    before, results = kernels.threads(), []
    for threads in (1, 2, 5):
        kernels.threads(threads)
        results.append(((a @ b).numpy(), (b.t() @ a.t()).numpy()))
    kernels.threads(before)
    for other in results[1:]:
        for one, another in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, another)
