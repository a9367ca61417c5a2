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


def run(kind, hidden, sizes, reverse, used, inputs=None):
    """The results of a layer, and the gradients of the results that are used in everything that it reads.

    The layer has ``inputs`` features, or gets the input's share of the gates.
    """
    rng = np.random.default_rng(1)
    batch, rows = sizes[0], {"lstm": 4, "gru": 3}.get(kind, 1) * hidden
    x, h, c = numbers(rng, sum(sizes), inputs or rows), numbers(rng, batch, hidden), numbers(rng, batch, hidden)
    w, b = numbers(rng, rows, hidden, scale=hidden**-0.5), numbers(rng, rows)  # larger weights would make it chaotic
    weights = [w, numbers(rng, rows, inputs), numbers(rng, rows)] if inputs else [w, None, None]
    options = {"batch_sizes": sizes, "reverse": reverse}
    if kind == "lstm":
        given = [x, h, c, *weights]
        outputs = recurrent.lstm_layer(*given, None, **options)[:3]
    elif kind == "gru":
        given = [x, h, *weights, b]
        outputs = recurrent.gru_layer(*given, **options)[:2]
    else:
        given = [x, h, *weights]
        outputs = recurrent.rnn_layer(*given, **options, relu=kind == "relu")
    grads = torch.autograd.grad(sum((outputs[k] ** 3).sum() for k in used), [t for t in given if t is not None])
    return [t.detach().numpy() for t in (*outputs, *grads)]


def assert_close(found):
    expected, got = found
    assert len(expected) == len(got)
    for e, g in zip(expected, got, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-4, atol=2e-5 * np.abs(e).max())


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("hidden", [7, 16, 70])
@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh", "relu"])
def test_machine_code_and_numpy_agree(kind, hidden, sizes, reverse, numpy_then_native):
    assert_close(numpy_then_native(lambda: run(kind, hidden, sizes, reverse, [0, 1])))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("inputs", [1, 16, 51, 64])
@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh", "relu"])
def test_with_the_product_of_the_input(kind, inputs, sizes, numpy_then_native):
    assert_close(numpy_then_native(lambda: run(kind, 20, sizes, False, [0, 1], inputs)))


@pytest.mark.parametrize("used", [0, 1])
@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh"])
def test_one_result_is_used(kind, used, numpy_then_native):
    assert_close(numpy_then_native(lambda: run(kind, 20, [4, 3, 3, 1], False, [used])))


@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh"])
def test_threads_share_the_batch(kind, kernels, numpy_then_native):
    before = kernels.threads()
    kernels.threads(3)
    try:
        assert_close(numpy_then_native(lambda: run(kind, 64, [40] * 7, False, [0, 1], 33)))
    finally:
        kernels.threads(before)


def test_odd_calls_are_left_to_numpy(kernels):
    def declined(*args):
        return "numpy"

    x, h, w, w_ih = (np.zeros(shape, np.float32) for shape in ((6, 8), (3, 8), (8, 8), (8, 5)))
    forward = kernels.kernel("rnn_forward", declined)

    def call(x=x, h=h, w=w, w_ih=None, bias=None, relu=False, sizes=(3, 3)):
        return forward(x, h, w, w_ih, bias, relu, list(sizes), False)

    assert isinstance(call(), tuple)
    assert isinstance(call(np.zeros((6, 16), np.float32)[:, ::2]), tuple)
    assert isinstance(call(x[:, :5], w_ih=w_ih, bias=w[0]), tuple)
    assert call(*(a.astype(np.float64) for a in (x, h, w))) == "numpy"
    assert call(sizes=(3, 2)) == "numpy"  # five rows, six are there
    assert call(h=h[:2]) == call(sizes=()) == call(relu=1) == "numpy"
    assert call(w_ih=w_ih) == call(x[:, :5], w_ih=w_ih, bias=w[0, :7]) == "numpy"
