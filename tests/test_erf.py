"""The error function: small and large arrays, every shape, and its error in units in the last place."""

import math

import numpy as np
import pytest
import torch

import flowtorch
from flowtorch.ops import erf, erf_blocks


@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 100, 100), (8193,), (2, 8192)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_and_shape(shape, dtype):
    x = np.random.default_rng(0).normal(0, 2, shape).astype(dtype)
    got = flowtorch.erf(flowtorch.from_numpy(x))
    assert tuple(got.shape) == shape
    exact = np.array([math.erf(v) for v in x.astype(np.float64).reshape(-1).tolist()]).reshape(shape)
    error = np.abs(got.numpy() - exact) / np.spacing(np.abs(exact).astype(dtype))
    limit = 4.0 if dtype == "float64" else 1.0 if x.size < erf.FEW else 3.0  # scipy's, and that of numpy's tanh
    assert error.max(initial=0) <= limit


def test_erf_of_many_numbers_errs_by_less_than_three_units():
    x = np.concatenate([np.logspace(-37, 0.7, 100_001), np.linspace(0, 4, 200_001)]).astype(np.float32)
    exact = np.array([math.erf(v) for v in x.astype(np.float64).tolist()])
    unit = np.spacing(np.maximum(exact, np.finfo(np.float32).tiny).astype(np.float32))
    error = np.abs(erf_blocks.erf(x) - exact) / unit
    assert error.max() < 3 and np.quantile(error, 0.99) < 1.8
    assert np.array_equal(erf_blocks.erf(-x), -erf_blocks.erf(x))


def test_special_values_in_a_large_array():
    x = np.zeros(1000, np.float32)
    x[:5] = np.inf, -np.inf, np.nan, -0.0, 1e-40
    got = flowtorch.erf(flowtorch.from_numpy(x)).numpy()
    assert got[0] == 1 and got[1] == -1 and np.isnan(got[2])
    assert np.signbit(got[3]) and got[4] == pytest.approx(1.128e-40, rel=1e-3)


def test_gelu_keeps_its_shape():
    x = flowtorch.randn(8, 32, 128, requires_grad=True)
    y = flowtorch.nn.functional.gelu(x)
    y.sum().backward()
    assert y.shape == x.shape == x.grad.shape


def _exact_gelu(x):
    """gelu and its derivative in double precision."""
    wide = x.astype(np.float64)
    below = erf.ndtr(wide)
    return wide * below, below + wide * np.exp(-wide * wide / 2) / np.sqrt(2 * np.pi)


def _errors_of_gelu(x):
    """The errors of the result and the derivative: our kernels for large arrays, and PyTorch."""
    theirs = torch.from_numpy(x).requires_grad_()
    result = torch.nn.functional.gelu(theirs)
    result.sum().backward()
    exact = _exact_gelu(x)
    y = erf.gelu(x)
    ours = y, erf_blocks.gelu_slope(x, y, np.ones_like(x))
    return [np.abs(got - e) for got, e in zip(ours, exact, strict=True)], [
        np.abs(got.numpy() - e) for got, e in zip((result.detach(), theirs.grad), exact, strict=True)]


def test_gelu_of_many_numbers_errs_no_more_than_pytorch():
    ours, theirs = _errors_of_gelu(np.linspace(-10, 10, 400_001, dtype=np.float32))
    for mine, reference in zip(ours, theirs, strict=True):
        assert mine.max() <= reference.max()


@pytest.mark.parametrize("low", range(-10, 10))
def test_gelu_nowhere_errs_much_more_than_pytorch(low):
    ours, theirs = _errors_of_gelu(np.linspace(low, low + 1, 50_001, dtype=np.float32))
    for mine, reference in zip(ours, theirs, strict=True):
        assert mine.max() <= 2.5 * reference.max()


def test_gelu_of_many_numbers_keeps_digits_where_pytorch_has_none():
    x = np.linspace(-9, -0.5, 100_001, dtype=np.float32)
    exact, _ = _exact_gelu(x)
    error = np.abs(erf.gelu(x) / exact - 1)
    assert error.max() < 1.2e-4 and error[x > -3.5].max() < 1.2e-5 and error[x > -2].max() < 1.2e-6


def test_gelu_of_many_small_numbers_errs_by_three_units():
    x = np.concatenate([sign * np.logspace(-37, 0, 50_001) for sign in (1, -1)]).astype(np.float32)
    exact, _ = _exact_gelu(x)
    assert np.max(np.abs(erf.gelu(x) - exact) / np.spacing(np.abs(exact).astype(np.float32))) < 4


@pytest.mark.parametrize("low", [-14.2, -10.0, -6.0, -3.0, -1.0, 0.0])
def test_slope_of_gelu_errs_by_a_unit_of_one(low):
    x = np.linspace(low, low + 4, 30000, dtype=np.float32)
    assert np.max(np.abs(erf.gelu_slope(x) - _exact_gelu(x)[1])) < 1.3e-7


def test_slope_of_gelu_from_its_result_at_special_arguments():
    x = np.repeat(np.float32([0, -0.0, 1e-42, -3e-31, 30, -30]), 100)
    slopes = erf_blocks.gelu_slope(x, erf.gelu(x), np.full_like(x, 3))
    assert slopes[::100].tolist() == [1.5, 1.5, 1.5, 1.5, 3, 0]
    with np.errstate(invalid="ignore"):
        odd = np.full(300, np.inf, np.float32) * np.repeat(np.float32([1, -1, np.nan]), 100)
        assert np.isnan(erf_blocks.gelu_slope(odd, erf.gelu(odd), np.ones_like(odd))).all()


def test_gradient_of_gelu_in_large_and_derived():
    x = flowtorch.randn(40, 50).requires_grad_()
    y = flowtorch.nn.functional.gelu(x)
    (plain,) = flowtorch.autograd.grad(y.sum(), x, retain_graph=True)
    (recorded,) = flowtorch.autograd.grad(y.sum(), x, create_graph=True)
    flowtorch.testing.assert_close(plain, recorded.detach(), rtol=1e-6, atol=1e-6)
    (second,) = flowtorch.autograd.grad(recorded.sum(), x)
    density = (-0.5 * x.detach() ** 2).exp() / math.sqrt(2 * math.pi)
    flowtorch.testing.assert_close(second, density * (2 - x.detach() ** 2), rtol=1e-4, atol=1e-5)
