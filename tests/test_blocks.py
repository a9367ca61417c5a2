"""Elementwise kernels that go block by block: every layout, the last block, and their errors in last places."""

import math

import numpy as np
import pytest

import flowtorch
from flowtorch.array.blocks import BLOCK, fill, in_double
from flowtorch.ops import erf

F = flowtorch.nn.functional


def _layouts():
    x = np.random.default_rng(0).normal(0, 2, (3, 50, 2 * BLOCK // 50 + 7)).astype(np.float32)
    return {
        "rows": x,
        "turned": x.transpose(2, 0, 1),
        "gaps": x[:, ::2],
        "expanded": np.broadcast_to(x[:1], x.shape),
        "last": x.reshape(-1)[: 2 * BLOCK + 1],
        "nothing": x[:0],
        "number": x[0, 0, 0].reshape(()),
    }


@pytest.mark.parametrize("name", _layouts())
def test_every_element_is_written_once(name):
    x = _layouts()[name]
    got = fill(lambda part, out: np.add(part, 1, out), x)
    assert np.array_equal(got, x + 1) and not np.shares_memory(got, x)
    exact = np.exp(x.astype(np.float64)).astype(np.float32)
    assert np.array_equal(in_double(np.exp)(x), exact)


def test_inputs_are_broadcast_and_rooms_have_their_rows():
    def kernel(a, b, out, room):
        room[0], room[1] = a, b
        np.sum(room, axis=0, out=out)

    a, b = np.arange(BLOCK, dtype=np.float32), np.full((3, 1), 2, np.float32)
    assert np.array_equal(fill(kernel, a, b, rooms=((2, np.float32),)), a + b)
    assert np.array_equal(fill(kernel, a[:5], a[5:10], rooms=((2, np.float32),)), a[:5] + a[5:10])


def test_gelu_and_its_slope_keep_their_digits_in_single_precision():
    x = np.concatenate([np.linspace(-12.5, 12.5, 40_001), -np.logspace(-30, 0, 5000)]).astype(np.float32)
    wide = x.astype(np.float64)
    exact, slope = erf.gelu(wide), erf.gelu_slope(wide)
    got, got_slope = erf.gelu(x), erf.gelu_slope(x)
    assert (np.abs(got - exact) / np.spacing(np.abs(exact).astype(np.float32))).max() <= 6
    assert np.abs(got_slope - slope).max() <= 3e-7
    far = x < -2
    assert np.allclose(got_slope[far], slope[far], rtol=1e-6, atol=0)


def test_special_values_of_gelu_in_a_long_tensor():
    x = flowtorch.zeros(1000)
    x[:5] = flowtorch.tensor([math.inf, -0.0, 1e-40, 3e38, -3e38])
    x.requires_grad_()
    got = F.gelu(x)
    assert got[:5].tolist() == [math.inf, 0, pytest.approx(5e-41, rel=1e-3), pytest.approx(3e38), 0]
    assert np.signbit(got.detach().numpy()[[1, 4, 5]]).tolist() == [True, True, False]
    (slope,) = flowtorch.autograd.grad(got.sum(), x)
    assert slope[1:6].tolist() == [0.5, 0.5, 1, 0, 0.5]
