"""Attention by heads in numpy: blocks of rows, scores of any size, the same on any number of threads."""

import numpy as np
import pytest

import flowtorch
from flowtorch.ops import attention

# leading dimensions, length, steps, width of keys, width of values
SHAPES = [((2, 3), 130, 130, 16, 16), ((5,), 70, 300, 5, 1), ((3,), 300, 70, 33, 20), ((2, 2, 2), 128, 128, 8, 8),
          ((2,), 90, 200, 4, 4), ((2,), 200, 90, 4, 4), ((2,), 1, 200, 4, 4), ((2,), 200, 1, 4, 4)]


def _operands(lead, length, steps, width, value_width, size):
    rng = np.random.default_rng(0)
    q, k, v, g = (rng.normal(size=shape) for shape in (
        (*lead, length, width), (steps, *lead, width), (*lead, steps, value_width), (*lead, length, value_width)))
    return q * size, np.moveaxis(k, 0, -2), v, g  # keys of a head side by side, as projections leave them


def _by_heads(operands, dtype, causal):
    q, k, v, g = (a.astype(dtype, order="A") for a in operands)
    weights, out = np.full((*q.shape[:-1], k.shape[-2]), np.nan, dtype), np.full(g.shape, np.nan, dtype)
    gradients = [np.full(a.shape, np.nan, dtype) for a in (q, k, v)]
    fill_heads, fill_gradients = (getattr(f, "__wrapped__", f) for f in (
        attention.fill_heads, attention.fill_gradients))
    fill_heads(q, k, v, weights, out, causal, 0.3)
    fill_gradients(g, weights, q, k, v, *gradients, causal, 0.3)
    return weights, out, *gradients


def _exact(operands, causal):
    q, k, v, g = operands
    scores = 0.3 * q @ k.swapaxes(-1, -2)
    if causal:
        scores[..., ~np.tri(*scores.shape[-2:], dtype=bool)] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    d = g @ v.swapaxes(-1, -2)
    d = 0.3 * weights * (d - (d * weights).sum(-1, keepdims=True))
    return weights, weights @ v, d @ k, d.swapaxes(-1, -2) @ q, weights.swapaxes(-1, -2) @ g


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("size", [1e-3, 1, 30, 3000])
def test_values_and_gradients(shape, causal, size):
    operands = _operands(*shape, size)
    expected = _exact(operands, causal)
    for got, exact in zip(_by_heads(operands, np.float64, causal), expected, strict=True):
        assert np.abs(got - exact).max() <= 1e-12 * np.abs(exact).max()
    scores = 0.3 * size * shape[3] ** 0.5  # the larger these are, the more their rounding changes the weights
    for got, exact in zip(_by_heads(operands, np.float32, causal), expected, strict=True):
        assert np.abs(got - exact).max() <= (2e-6 + 2e-7 * scores * 8) * np.abs(exact).max()


@pytest.mark.parametrize("shape", SHAPES)
def test_threads_change_nothing(shape, monkeypatch):
    operands = _operands(*shape, 1)
    monkeypatch.setattr(attention, "_WORTH", 1)
    before, results = flowtorch.get_num_threads(), []
    for threads in (1, 3):
        flowtorch.set_num_threads(threads)
        results.append(_by_heads(operands, np.float32, True))
    flowtorch.set_num_threads(before)
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_reaches_the_rows_that_see_it(value):
    q, k, v, g = _operands(*SHAPES[0], 1)
    k[0, 1, 100] = value
    with np.errstate(all="ignore"):
        weights, out, *_ = _by_heads((q, k, v, g), np.float32, True)
    finite = np.ones(out.shape, bool)
    finite[0, 1, 100:] = False
    assert np.array_equal(np.isfinite(out), finite) and np.isfinite(weights[0, 1, :100]).all()
