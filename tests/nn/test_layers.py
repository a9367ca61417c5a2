"""Every layer against torch: initial weights, output, gradients, buffers, state dict and repr."""

import warnings
import zlib

import numpy as np
import pytest
import torch
from layer_cases import CASES, Weight

import flowtorch


def build(library, case):
    """The case's layer in ``library``, drawn with a fixed seed."""

    def own(value):
        return library.from_numpy(value.array.copy()) if isinstance(value, Weight) else value

    library.manual_seed(3)
    return getattr(library.nn, case.name)(*map(own, case.args), **{k: own(v) for k, v in case.kwargs.items()})


def tensors(value):
    """The tensors in nested results, in order."""
    if value is None:
        return []
    if isinstance(value, (tuple, list)):
        return [t for item in value for t in tensors(item)]
    return [value]


def run(library, case, training, arrays):
    """All that the layer does, as plain data."""
    layer = build(library, case).train(training)
    found = {"repr": repr(layer)}
    inputs = [library.from_numpy(a.copy()) for a in arrays]
    leaves = [t.requires_grad_() for t in inputs if t.is_floating_point()]
    if case.kwargs.get("inplace"):
        inputs = [t.clone() for t in inputs]
    library.manual_seed(5)
    result = layer(*inputs)
    outputs = tensors(result)
    found["structure"] = [type(result).__name__, [(list(t.shape), str(t.dtype)) for t in outputs]]
    floats = [t for t in outputs if t.is_floating_point()]
    slopes = [library.from_numpy(np.linspace(0.3, 1.7, t.numel(), dtype=np.float32)).reshape(t.shape) for t in floats]
    loss = sum((t * s).sum() for t, s in zip(floats, slopes, strict=True))
    wanted = leaves + list(layer.parameters())
    grads = []
    if floats and loss.requires_grad:
        grads = library.autograd.grad(loss, wanted, allow_unused=True)
    found["outputs"] = [t.detach().numpy() for t in outputs]
    found["grads"] = [None if g is None else g.numpy() for g in grads]
    state = layer.state_dict()
    found["state"] = [(name, t.numpy()) for name, t in state.items()]
    found["metadata"] = dict(state._metadata)
    found["repr after"] = repr(layer)
    return found


def same(expected, got, what):
    assert len(expected) == len(got), what
    for place, (e, g) in enumerate(zip(expected, got, strict=True)):
        if isinstance(e, tuple):
            assert e[0] == g[0], what
            e, g = e[1], g[1]
        if e is None or g is None:
            # A gradient that is nowhere needed may be zero on one side and missing on the other.
            assert not np.any(e if g is None else g), f"{what} {place}"
            continue
        scale = max(5.0, np.abs(e).max(initial=0.0))
        np.testing.assert_allclose(g, e, rtol=2e-4, atol=2e-6 * scale, err_msg=f"{what} {place}")


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_layer_is_torchs(case, training):
    rng = np.random.default_rng(zlib.crc32(str(case).encode()))
    arrays = [np.asarray(make(rng)) for make in case.inputs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = run(torch, case, training, arrays)
        got = run(flowtorch, case, training, arrays)
    for exact in ("repr", "repr after", "structure", "metadata"):
        assert got[exact] == expected[exact]
    for numbers in ("outputs", "state", "grads"):
        same(expected[numbers], got[numbers], numbers)


# Lazy layers have no weights before their first call.
@pytest.mark.parametrize("case", [c for c in CASES if not c.name.startswith("Lazy")], ids=str)
def test_initial_weights_are_torchs(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, got = build(torch, case).state_dict(), build(flowtorch, case).state_dict()
    assert list(got) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name].numpy(), value.numpy(), rtol=1e-6, atol=2e-7, err_msg=name)
