"""The error function: small and large arrays, every shape, and its error in units in the last place."""

import math

import numpy as np
import pytest

import flowtorch
from flowtorch.ops import erf


@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 100, 100), (8193,), (2, 8192)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_and_shape(shape, dtype):
    x = np.random.default_rng(0).normal(0, 2, shape).astype(dtype)
    got = flowtorch.erf(flowtorch.from_numpy(x))
    assert tuple(got.shape) == shape
    exact = np.array([math.erf(v) for v in x.astype(np.float64).reshape(-1).tolist()]).reshape(shape)
    error = np.abs(got.numpy() - exact) / np.spacing(np.abs(exact).astype(dtype))
    assert error.max(initial=0) <= (1.0 if dtype == "float32" else 4.0)  # scipy's, where there is no compiler


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


@pytest.mark.parametrize("low", [-14.2, -10.0, -6.0, -3.0, -1.0, 0.0])
def test_gelu_of_many_numbers_errs_by_less_than_a_unit(low):
    x = np.linspace(low, low + 4, 30000, dtype=np.float32)
    wide = x.astype(np.float64)
    exact = wide * erf.ndtr(wide)
    unit = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    assert np.max(np.abs(erf.gelu(x) - exact) / unit) < 1
    slope = erf.ndtr(wide) + wide * np.exp(-wide * wide / 2) / np.sqrt(2 * np.pi)
    assert np.max(np.abs(erf.gelu_slope(x) - slope)) < 1.3e-7          # a unit of one, or just above


def test_slope_of_gelu_from_its_result():
    x = np.concatenate([np.linspace(-14, 14, 20001), [0, -0.0, 1e-42, -3e-31, 30, -30]]).astype(np.float32)
    grad = np.random.default_rng(0).standard_normal(x.shape, dtype=np.float32)
    wide = x.astype(np.float64)
    exact = (erf.ndtr(wide) + wide * np.exp(-wide * wide / 2) / np.sqrt(2 * np.pi)) * grad
    got = erf.gelu_slope_from(x, erf.gelu(x), grad)
    # Two terms of unlike signs are added: units of the larger one, down to where results are subnormal.
    assert np.max(np.abs(got - exact) / np.maximum(np.abs(exact), np.abs(wide * erf.ndtr(wide) * grad) + 1e-36)) < 4e-7
    with np.errstate(invalid="ignore"):
        odd = np.full(300, np.inf, np.float32) * np.repeat(np.float32([1, -1, np.nan]), 100)
        assert np.isnan(erf.gelu_slope_from(odd, erf.gelu(odd), np.ones_like(odd))).all()


def test_gradient_of_gelu_in_large_and_derived():
    x = flowtorch.randn(40, 50).requires_grad_()
    y = flowtorch.nn.functional.gelu(x)
    (plain,) = flowtorch.autograd.grad(y.sum(), x, retain_graph=True)
    (recorded,) = flowtorch.autograd.grad(y.sum(), x, create_graph=True)
    flowtorch.testing.assert_close(plain, recorded.detach(), rtol=1e-6, atol=1e-6)
    (second,) = flowtorch.autograd.grad(recorded.sum(), x)
    density = (-0.5 * x.detach() ** 2).exp() / math.sqrt(2 * math.pi)
    flowtorch.testing.assert_close(second, density * (2 - x.detach() ** 2), rtol=1e-4, atol=1e-5)
