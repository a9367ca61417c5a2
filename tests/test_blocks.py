"""Elementwise kernels that go block by block: every layout, the last block, and their errors in last places."""

import math

import numpy as np
import pytest
import torch

import flowtorch
from flowtorch.array import blocks, vectors
from flowtorch.array.blocks import BLOCK, fill, in_double
from flowtorch.ops import erf
from flowtorch.ops.op import REGISTRY

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


@pytest.fixture(params=[1, 1 << 20], ids=["short", "long"])
def cache(request, monkeypatch):
    """Blocks as short as they get, and as they are."""
    monkeypatch.setattr(blocks, "CACHE", request.param)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("name", _layouts())
def test_every_element_is_written_once(name):
    x = _layouts()[name]
    got = fill(lambda part, out: np.add(part, 1, out), x)
    assert np.array_equal(got, x + 1) and not np.shares_memory(got, x)
    exact = np.exp(x.astype(np.float64)).astype(np.float32)
    assert np.array_equal(in_double(np.exp)(x), exact)


@pytest.mark.usefixtures("cache")
def test_inputs_are_broadcast_and_rooms_have_their_rows():
    def kernel(a, b, out, room):
        room[0], room[1] = a, b
        np.sum(room, axis=0, out=out)

    a, b = np.arange(BLOCK, dtype=np.float32), np.full((3, 1), 2, np.float32)
    assert np.array_equal(fill(kernel, a, b, rooms=((2, np.float32),)), a + b)
    assert np.array_equal(fill(kernel, a[:5], a[5:10], rooms=((2, np.float32),)), a[:5] + a[5:10])


def test_slope_of_gelu_keeps_its_digits_in_single_precision():
    x = np.concatenate([np.linspace(-12.5, 12.5, 40_001), -np.logspace(-30, 0, 5000)]).astype(np.float32)
    slope, got_slope = erf.gelu_slope(x.astype(np.float64)), erf.gelu_slope(x)
    assert np.abs(got_slope - slope).max() <= 3e-7
    far = x < -2
    assert np.allclose(got_slope[far], slope[far], rtol=1e-6, atol=0)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("shape", [(9, 2011), (2, 9011)])
def test_functions_of_many_numbers_in_every_layout(shape):
    x = np.random.default_rng(0).normal(0, 2, shape)
    functions = {erf.gelu: lambda v: v * erf.ndtr(v), vectors.log: np.log}
    for ours, exact in functions.items():
        values = np.abs(x) if exact is np.log else x
        single = values.astype(np.float32)
        for array in (single, single.T, np.repeat(single, 2, axis=1)[:, ::2]):
            expected = exact(array.astype(np.float64))
            assert np.allclose(ours(array), expected, rtol=0, atol=1e-6) and ours(array).shape == array.shape


@pytest.mark.parametrize("has_vectors", [True, False])
def test_sigmoid_and_silu_with_each_kind_of_loops(has_vectors, monkeypatch):
    monkeypatch.setattr(vectors, "_has_vectors", lambda name: has_vectors)
    x = np.concatenate([np.linspace(-80, 80, 40_001), [0, -0.0, math.inf, -math.inf, math.nan]]).astype(np.float32)
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        sigmoid = 1 / (1 + np.exp(-wide))
        got = REGISTRY["sigmoid"].body(x), REGISTRY["silu"].body(x)
        for values, exact in zip(got, (sigmoid, wide * sigmoid), strict=True):
            units = np.abs(values - exact) / np.spacing(np.abs(exact).astype(np.float32))
            assert np.nanmax(units[np.abs(wide) < 90]) < 4
    assert got[0][-3:-1].tolist() == [1, 0] and np.isnan(got[0][-1])
    assert got[1][-3] == math.inf and np.signbit(got[1][-4]) and got[1][-4] == 0


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "float16"])
@pytest.mark.parametrize("bounds", [(10, 50), (50, 10), (0.5, 20), (0, 60), (math.nan, 3)])
def test_many_numbers_are_clamped_as_pytorch_does(dtype, bounds):
    x = np.random.default_rng(0).integers(0, 100, (90, 101)).astype(dtype)
    if x.dtype.kind == "f":
        x[0, :4] = math.nan, math.inf, -math.inf, -0.0
    for array in (x, x.T, x[:, ::2]):
        expected = torch.from_numpy(array).clamp(*bounds).numpy()
        got = flowtorch.from_numpy(array).clamp(*bounds).numpy()
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == expected.dtype


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
@pytest.mark.parametrize("shape", [(400, 1000), (7, 40, 500), (1, 8192), (3, 9000), (500, 1, 40)])
def test_running_sums_of_many_rows_are_rounded_once(name, shape):
    x = np.random.default_rng(0).uniform(0.9, 1.1, shape).astype(np.float32)
    exact = getattr(np, name)(x.astype(np.float64), axis=-1).astype(np.float32)
    assert np.array_equal(getattr(flowtorch, name)(flowtorch.from_numpy(x), -1).numpy(), exact)


def test_logarithms_of_the_edges():
    x = np.repeat(np.float32([0, -0.0, 1, math.inf, -1, math.nan, 1e-45]), 2000)
    with np.errstate(all="ignore"):
        got = vectors.log(x)[::2000]
        few = vectors.log(x[::2000])
    for values in (got, few):
        assert values[:4].tolist() == [-math.inf, -math.inf, 0, math.inf] and np.isnan(values[4:6]).all()
        assert values[6] == pytest.approx(-103.27893, rel=1e-6)


def test_special_values_of_gelu_in_a_long_tensor():
    x = flowtorch.zeros(1000)
    x[:5] = flowtorch.tensor([math.inf, -0.0, 1e-40, 3e38, -3e38])
    x.requires_grad_()
    got = F.gelu(x)
    assert got[:5].tolist() == [math.inf, 0, pytest.approx(5e-41, rel=1e-3), pytest.approx(3e38), 0]
    assert np.signbit(got.detach().numpy()[[1, 4, 5]]).tolist() == [True, True, False]
    (slope,) = flowtorch.autograd.grad(got.sum(), x)
    assert slope[1:6].tolist() == [0.5, 0.5, 1, 0, 0.5]


@pytest.mark.parametrize("n", [16, 300, 1000, 9000])
def test_rows_see_short_buffers_and_leave_numpys_as_they_were(n):
    seen = []

    def kernel(rows, out):
        seen.append(np.getbufsize())
        np.subtract(rows, rows[:, :1], out)

    x = np.random.default_rng(0).standard_normal((2 * blocks.CACHE // 8 // n + 3, n), dtype=np.float32)
    before = np.getbufsize()
    assert np.array_equal(blocks.by_rows(kernel, x), x - x[:, :1])
    assert len(seen) > 1 and max(seen) < max(2 * n, 1025) and np.getbufsize() == before
    with pytest.raises(ZeroDivisionError):
        blocks.by_rows(lambda rows, out: 1 // 0, x)
    assert np.getbufsize() == before
