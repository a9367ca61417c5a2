"""Rows in blocks: formulas rewritten for fewer passes, the passes of BLAS, and their errors beside PyTorch's."""

import numpy as np
import pytest
import torch

import flowtorch as ft
from flowtorch.array import scaled
from flowtorch.optim import blocked
from flowtorch.optim.adam import _adam
from flowtorch.optim.formula import addcdiv, formula
from flowtorch.optim.passes import LONG

LENGTH = scaled.FEW + 1
KINDS = ["float32", "float64"]


def _numbers(dtype, count=2, length=LENGTH):
    return np.random.default_rng(0).standard_normal((count, length)).astype(dtype)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("b", [None, 1.0, 0.9])
def test_multiples_are_added_in_place(dtype, b):
    y, x = _numbers(dtype)
    expected = (1 if b is None else b) * y.astype(np.longdouble) - 0.3 * x.astype(np.longdouble)
    assert scaled.add(y, x, -0.3, b) == (scaled._routine("axpby", "f") is not None)
    if scaled._routine("axpby", "f") is not None:
        assert np.abs(y - expected).max() <= 2 * np.finfo(dtype).eps * 4


def test_what_blas_would_not_do_right_is_left_to_numpy():
    y, x = _numbers("float32")
    before = y.copy()
    frozen = x.copy()
    frozen.flags.writeable = False
    many = np.zeros(2 * LENGTH, np.float32)
    for other, a, b in ((x, 0.0, None), (x, 1.0, 0.0), (frozen, 1.0, None), (many[::2], 1.0, None), (many, 1.0, None),
                        (x.astype(np.float64), 1.0, None)):
        assert not scaled.add(y, other, a, b)
    assert not scaled.add(y[:100], x[:100], 1.0)
    assert not scaled.add(y.astype(np.int32), x.astype(np.int32), 1)
    assert np.array_equal(y, before)


@pytest.mark.parametrize("has_blas", [True, False])
@pytest.mark.parametrize("where", ["first", "second", "work array"])
def test_sums_of_multiples_wherever_the_result_goes(has_blas, where, monkeypatch):
    if not has_blas:
        monkeypatch.setattr(scaled, "add", lambda *args: False)
    a, b = np.full((), 0.7), np.full((), 0.25)
    expected = {"add_scaled": lambda x, y: (x, y, b), "scale_add": lambda x, y: (x, a, y),
                "scale_add_scaled": lambda x, y: (x, a, y, b), "lerp": lambda x, y: (x, y, b)}
    values = {"add_scaled": lambda x, y: x + b * y, "scale_add": lambda x, y: a * x + y,
              "scale_add_scaled": lambda x, y: a * x + b * y, "lerp": lambda x, y: x + b * (y - x)}
    assert values.keys() == LONG.keys()
    for name, function in LONG.items():
        x, y = _numbers("float64")
        want = values[name](x, y)
        out = {"first": x, "second": y, "work array": np.empty_like(x)}[where]
        function(*expected[name](x, y), np.empty_like(x), out)
        np.testing.assert_allclose(out, want, rtol=1e-14, atol=1e-15)


def test_numbers_move_out_of_what_is_added():
    @formula
    def rule(param, grad, mean, /, *, lr, decay):
        mean = mean.mul(decay).addcmul(grad, grad, 1 - decay)
        return addcdiv(param, grad, mean.sqrt(), -lr), mean

    kernel = rule.kernel((True, True, True), {"lr": 0.1, "decay": 0.9})
    calls = []
    spies = [lambda *args, name=name: calls.append(name) or LONG[name](*args) for name in LONG]
    kernel.run_blocks.__globals__.update(zip(LONG, spies, strict=True))
    p, g, m = _numbers("float64", 3)
    m = np.abs(m)
    mean = 0.9 * m + 0.1 * g * g
    param = p - 0.1 * g / np.sqrt(mean)
    work = [[np.empty_like(p)] for _ in range(kernel.floats)]
    kernel.run_blocks([p], [g], [m], *work, *[np.full((), v) for v in kernel.numbers(lr=0.1, decay=0.9)])
    assert calls == ["scale_add_scaled", "add_scaled"]
    np.testing.assert_allclose(m, mean, rtol=1e-14)
    np.testing.assert_allclose(p, param, rtol=1e-13, atol=1e-15)


def test_what_is_read_twice_is_computed_once():
    @formula
    def rule(param, grad, mean, /, *, lr):
        step = grad.mul(lr)
        return param.add(step), mean.add(step)

    kernel = rule.kernel((True, True, True), {"lr": 0.1})
    p, g, m = _numbers("float64", 3)
    want = p + 0.1 * g, m + 0.1 * g
    kernel.run_blocks([p], [g], [m], *[[np.empty_like(p)] for _ in range(kernel.floats)], np.full((), 0.1))
    np.testing.assert_allclose((p, m), want, rtol=1e-14)


def _run(library, start, gradients, **options):
    param = library.from_numpy(start.copy()).requires_grad_()
    optimizer = library.optim.Adam([param], lr=0.01, **options)
    for g in gradients:
        param.grad = library.from_numpy(g)
        optimizer.step()
    state = optimizer.state[param]
    return [v.detach().numpy() for v in (param, state["exp_avg"], state["exp_avg_sq"])]


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1, "decoupled_weight_decay": True}, {"amsgrad": True}],
                         ids=["plain", "decay", "amsgrad"])
def test_a_long_row_errs_no_more_than_pytorchs_fused_step(options, monkeypatch):
    monkeypatch.setenv("FLOWTORCH_NATIVE", "0")
    monkeypatch.setattr(_adam, "_kernels", {})      # none of machine code that other tests may have made
    rng = np.random.default_rng(0)
    start = rng.standard_normal(blocked.BLOCK + 5000).astype(np.float32)
    gradients = [rng.standard_normal(start.shape, dtype=np.float32) + 1 for _ in range(20)]
    exact = _run(torch, start.astype(np.float64), [g.astype(np.float64) for g in gradients], **options)
    ours = _run(ft, start, gradients, **options)
    fused = _run(torch, start, gradients, fused=True, **options)
    for mine, reference, true in zip(ours, fused, exact, strict=True):
        mine, reference = (np.abs(v - true).mean() for v in (mine, reference))
        assert mine <= 1.1 * reference
