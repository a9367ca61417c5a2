"""Recurrent layers as machine code give what numpy gives: all kinds, packed or dense, in both directions."""

import numpy as np
import pytest

import flowtorch as torch
from flowtorch.native import places
from flowtorch.ops import recurrent, recurrent_steps

KERNELS = [name for name, (where, _) in places.FUNCTIONS.items() if where == recurrent_steps.__name__]
SIZES = [[3] * 5, [5, 4, 4, 2, 1], [1], [19] * 2]


@pytest.fixture
def numpy_then_native(monkeypatch, kernels):
    """Run a function with numpy and with machine code, which must take every call."""

    def declined(*args):
        raise AssertionError("the kernel left its call to numpy")

    def both(function):
        for code in ("numpy", "native"):
            for name in KERNELS:
                plain = getattr(recurrent_steps, name)
                plain = getattr(plain, "__wrapped__", plain)
                monkeypatch.setattr(recurrent, name, plain if code == "numpy" else kernels.kernel(name, declined))
            yield function()

    return both


def numbers(rng, *shape, scale=1.0):
    return torch.from_numpy((scale * rng.standard_normal(shape)).astype(np.float32)).requires_grad_()


def run(kind, hidden, sizes, reverse, used):
    """The results of a layer, and the gradients of the results that are used in everything that it reads."""
    rng = np.random.default_rng(1)
    batch, rows = sizes[0], {"lstm": 4, "gru": 3}.get(kind, 1) * hidden
    gates, h, c = numbers(rng, sum(sizes), rows), numbers(rng, batch, hidden), numbers(rng, batch, hidden)
    w, b = numbers(rng, rows, hidden, scale=hidden**-0.5), numbers(rng, rows)  # larger weights would make it chaotic
    options = {"batch_sizes": sizes, "reverse": reverse}
    if kind == "lstm":
        inputs = [gates, h, c, w]
        outputs = recurrent.lstm_layer(*inputs, None, **options)[:3]
    elif kind == "gru":
        inputs = [gates, h, w, b]
        outputs = recurrent.gru_layer(*inputs, **options)[:2]
    else:
        inputs = [gates, h, w]
        outputs = recurrent.rnn_layer(*inputs, **options, relu=kind == "relu")
    grads = torch.autograd.grad(sum((outputs[k] ** 3).sum() for k in used), inputs)
    return [t.detach().numpy() for t in (*outputs, *grads)]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("hidden", [7, 16, 70])
@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh", "relu"])
def test_machine_code_and_numpy_agree(kind, hidden, sizes, reverse, numpy_then_native):
    expected, got = numpy_then_native(lambda: run(kind, hidden, sizes, reverse, [0, 1]))
    for e, g in zip(expected, got, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-4, atol=2e-5 * np.abs(e).max())


@pytest.mark.parametrize("used", [0, 1])
@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh"])
def test_one_result_is_used(kind, used, numpy_then_native):
    expected, got = numpy_then_native(lambda: run(kind, 20, [4, 3, 3, 1], False, [used]))
    for e, g in zip(expected, got, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-4, atol=2e-5 * np.abs(e).max())


@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh"])
def test_threads_share_the_batch(kind, kernels, numpy_then_native):
    before = kernels.threads()
    kernels.threads(3)
    try:
        expected, got = numpy_then_native(lambda: run(kind, 64, [40] * 7, False, [0, 1]))
    finally:
        kernels.threads(before)
    for e, g in zip(expected, got, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-4, atol=2e-5 * np.abs(e).max())


def test_odd_calls_are_left_to_numpy(kernels):
    def declined(*args):
        return "numpy"

    gates, h, w = np.zeros((6, 8), np.float32), np.zeros((3, 8), np.float32), np.zeros((8, 8), np.float32)
    forward = kernels.kernel("rnn_forward", declined)
    assert isinstance(forward(gates, h, w, False, [3, 3], False), tuple)
    assert isinstance(forward(gates[:, ::-1].copy()[:, ::-1], h, w, False, [3, 3], False), tuple)
    doubles = [a.astype(np.float64) for a in (gates, h, w)]
    assert forward(*doubles, False, [3, 3], False) == "numpy"
    assert forward(gates, h, w, False, [3, 2], False) == "numpy"  # five rows, six are there
    assert forward(gates, h[:2], w, False, [3, 3], False) == "numpy"
    assert forward(gates, h, w, False, [], False) == "numpy"
    assert forward(gates, h, w, 1, [3, 3], False) == "numpy"
