"""Calls that random ones found to differ from torch: orders of dimensions, zeros, edges of dtypes."""

import math

import numpy as np
import pytest
import torch

import flowtorch

CALLS = {
    "no views of unlike orders": lambda t: (t.ones(3, 2).t() + 1) + t.ones(2, 3),
    "an expanded tensor": lambda t: t.rand(3, 1).expand(3, 4).exp(),
    "slices of unique": lambda t: t.unique(t.arange(6.0).reshape(2, 3), dim=1),
    "a transposition of expanded memory": lambda t: t.ones(2, 1).expand(2, 3).transpose_(0, 1),
    "einsum of three": lambda t: t.einsum("i,j,k->kji", t.ones(2), t.ones(3), t.ones(4)),
}


@pytest.mark.parametrize("name", CALLS)
def test_strides(name):
    ours, theirs = (CALLS[name](t) for t in (flowtorch, torch))
    assert (tuple(ours.shape), ours.stride()) == (tuple(theirs.shape), theirs.stride())


def test_remainders_of_zero_have_the_sign_of_the_dividend():
    a, b = np.meshgrid([-2.0, -0.0, 0.0, 2.0], [-1.0, 1.0, 0.5, math.inf])
    got = flowtorch.remainder(flowtorch.from_numpy(a), flowtorch.from_numpy(b)).numpy()
    want = torch.remainder(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(want))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_ldexp_reaches_where_its_power_does_not(dtype):
    def call(t):
        x = t.tensor([1e-4, 3.0, 0.0], dtype=getattr(t, dtype)).expand(3, 3)
        return t.ldexp(x, t.tensor([[30], [-30], [2000]]).expand(3, 3)).double().tolist()

    assert call(flowtorch) == call(torch)


def test_float8_stops_at_its_largest_number():
    x = [1e30, -500.0, math.inf, 3.0]
    got, want = (t.tensor(x).to(t.float8_e4m3fn).float().tolist() for t in (flowtorch, torch))
    assert got == want == [448.0, -448.0, 448.0, 3.0]


def test_nan_stays_within_its_window():
    x = flowtorch.arange(6.0)
    x[0] = math.nan
    pooled = flowtorch.nn.functional.adaptive_avg_pool1d(x.view(1, 1, 6), 3).flatten().tolist()
    assert math.isnan(pooled[0]) and pooled[1:] == [2.5, 4.5]


def test_gelu_keeps_its_digits_far_below_zero():
    for dtype, at, exact in (("float32", -10.0, -7.619853024160525e-23), ("float64", -30.0, -1.4720150198103e-196)):
        got = flowtorch.nn.functional.gelu(flowtorch.full((300,), at, dtype=getattr(flowtorch, dtype)))
        assert got[7].item() == pytest.approx(exact, rel=1e-6)
