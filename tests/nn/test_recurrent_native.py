"""Machine code for the gates of recurrent steps gives what numpy gives."""

import numpy as np
import pytest

import flowtorch as torch
from flowtorch.ops import recurrent, recurrent_native


@pytest.fixture
def numpy_then_native(monkeypatch):
    """Run a function with numpy and with machine code."""

    def both(function):
        monkeypatch.setitem(recurrent_native._state, "library", None)
        monkeypatch.setitem(recurrent_native._state, "started", True)
        expected = function()
        if not recurrent_native.build():
            pytest.skip("no C compiler")
        return expected, function()

    return both


def run(mode, sizes, reverse):
    rng = np.random.default_rng(1)
    batch, total, hidden = sizes[0], sum(sizes), 7
    rows = {"lstm": 4, "gru": 3}[mode] * hidden

    def tensor(*shape):
        return torch.from_numpy(rng.standard_normal(shape).astype(np.float32)).requires_grad_()

    gates, h, c, w, b = (tensor(*s) for s in ((total, rows), (batch, hidden), (batch, hidden), (rows, hidden), (rows,)))
    if mode == "lstm":
        inputs = [gates, h, c, w]
        outputs = recurrent.lstm_layer(*inputs, None, batch_sizes=sizes, reverse=reverse)[:3]
    else:
        inputs = [gates, h, w, b]
        outputs = recurrent.gru_layer(*inputs, batch_sizes=sizes, reverse=reverse)[:2]
    grads = torch.autograd.grad(sum((x**3).sum() for x in outputs), inputs)
    return [t.detach().numpy() for t in (*outputs, *grads)]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", [[3] * 5, [5, 4, 4, 2, 1]], ids=str)
@pytest.mark.parametrize("mode", ["lstm", "gru"])
def test_machine_code_and_numpy_agree(mode, sizes, reverse, numpy_then_native):
    expected, got = numpy_then_native(lambda: run(mode, sizes, reverse))
    for e, g in zip(expected, got, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-4, atol=2e-5 * np.abs(e).max())


def test_building_waits_for_work(monkeypatch):
    state = {"work": 0, "started": False, "library": None}
    monkeypatch.setattr(recurrent_native, "_state", state)
    monkeypatch.setenv("FLOWTORCH_NATIVE", "0")
    single = np.dtype(np.float32)
    assert recurrent_native.library(single, recurrent_native.ENOUGH - 1) is None
    assert not state["started"]
    assert recurrent_native.library(np.dtype(np.float64), recurrent_native.ENOUGH) is None
    assert not state["started"]
    assert recurrent_native.library(single, 1) is None
    assert state["started"]
