"""The backward pass on arrays: its derivatives are those of the ops' records, and it leaves nothing to be seen."""
from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
import pytest

import flowtorch as torch
from flowtorch import overrides
from flowtorch.autograd import array_pass, engine
from flowtorch.native import calls
from flowtorch.ops import array_gradients

pytestmark = pytest.mark.skipif(bool(overrides.active), reason="without the fast path only the engine's own loop runs")
F = torch.nn.functional

# op -> calls whose last node is one of that op
CALLS: dict[str, list] = {
    "mul": [lambda x, y: x * y, lambda x, y: x * 2.5, lambda x, y: x.t() * y.t().contiguous(), lambda x, y: x * x],
    "add": [lambda x, y: x + y, lambda x, y: x + y[0], lambda x, y: torch.add(x, y, alpha=3), lambda x, y: x + 1.0],
    "sub": [lambda x, y: x - y, lambda x, y: 2.0 - x, lambda x, y: torch.sub(x, y, alpha=0.5), lambda x, y: x - y[:1]],
    "neg": [lambda x, y: -x, lambda x, y: -x.t()],
    "exp": [lambda x, y: x.exp()],
    "relu": [lambda x, y: x.relu(), lambda x, y: x.t().relu()],
    "tanh": [lambda x, y: x.tanh()],
    "sigmoid": [lambda x, y: x.sigmoid()],
    "view": [lambda x, y: (x + y).view(-1), lambda x, y: (x + y).view(3, 2, 2)],
    "reshape": [lambda x, y: x.t().reshape(2, 6), lambda x, y: x.reshape(12)],
    "t": [lambda x, y: x.t()],
    "transpose": [lambda x, y: x.transpose(0, -1)],
    "sum": [lambda x, y: x.sum(), lambda x, y: x.sum(1), lambda x, y: x.sum(0, keepdim=True)],
    "mean": [lambda x, y: x.mean(), lambda x, y: x.mean(1)],
    "matmul": [lambda x, y: x @ y.t(), lambda x, y: x.t() @ y, lambda x, y: x.expand(2, 4, 3) @ y.t(),
               lambda x, y: x[0] @ y.t(), lambda x, y: x @ y[1]],
    "linear": [lambda x, y: F.linear(x, y), lambda x, y: F.linear(x, y, y[:, 0]),
               lambda x, y: F.linear(x.view(2, 2, 3), y, x[:, 1]), lambda x, y: F.linear(x[0], y, x[:, 0])],
    "_mse_loss": [lambda x, y: F.mse_loss(x, y), lambda x, y: F.mse_loss(x, y, reduction="sum"),
                  lambda x, y: F.mse_loss(x, y, reduction="none"), lambda x, y: F.mse_loss(x, y.detach())],
}  # fmt: skip


def leaves(dtype: Any = torch.float32, seed: int = 0) -> tuple:
    torch.manual_seed(seed)
    return tuple(torch.randn(4, 3, dtype=dtype, requires_grad=True) for _ in range(2))


def through(loop: Any, f: Any, x: Any, y: Any, monkeypatch: Any) -> tuple:
    """The leaves' gradients of ``f`` by one kind of pass, for a gradient that is not the same everywhere."""
    monkeypatch.setattr(engine, "_common_pass", loop)
    x.grad = y.grad = None
    out = f(x, y)
    out.backward(torch.linspace(-1, 2, out.numel(), dtype=out.dtype).reshape(out.shape))
    return x.grad, y.grad


@pytest.fixture
def loop() -> Any:
    return array_pass.backward_pass(engine._Helper, engine.current, threading.Lock())


def python(*args: Any) -> bool:
    """Leave the pass to ``run_backward``."""
    return False


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize("name", CALLS)
def test_gradients_are_those_of_the_records(name: str, dtype: Any, loop: Any, monkeypatch: Any) -> None:
    x, y = leaves(dtype)
    for f in CALLS[name]:
        if dtype.is_complex and name in ("relu", "_mse_loss"):
            continue
        want = through(python, f, x, y, monkeypatch)
        for got, expected in zip(through(loop, f, x, y, monkeypatch), want, strict=True):
            assert (got is None) == (expected is None)
            if got is not None:
                assert got.stride() == expected.stride() and got.dtype is dtype
                torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


def test_every_derivative_is_tried() -> None:
    assert set(array_gradients._FORMULAS) <= set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_derivatives_on_arrays_take_the_ordinary_calls(name: str, loop: Any) -> None:
    """Not all of them decline: the first call of each is one that they know."""
    array_gradients.register()
    x, y = leaves()
    node = CALLS[name][0](x, y).grad_fn
    assert node.on_arrays(np.ones(node.shape, np.float32)) is not None


def test_leaves_own_their_gradients(loop: Any, monkeypatch: Any) -> None:
    x, y = leaves()
    gradient = torch.ones(4, 3)
    monkeypatch.setattr(engine, "_common_pass", loop)
    (x + y).backward(gradient)
    x.grad.add_(1)
    assert (y.grad == 1).all() and (gradient == 1).all()
    before = x.grad
    (x * 1.0 + x.t().t()).backward(gradient)
    assert x.grad is before and (before == 4).all()


def test_sums_of_several_users_touch_no_other_gradient(loop: Any, monkeypatch: Any) -> None:
    x, y = leaves(torch.float64)
    for way in (python, loop):
        grads = through(way, lambda x, y: (h := x * y, h + h.exp() + h.t().t() + h * h)[1], x, y, monkeypatch)
        if way is python:
            want = grads
    for got, expected in zip(grads, want, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-14, atol=0)


def test_hooks_see_what_they_see_elsewhere(loop: Any, monkeypatch: Any) -> None:
    x, y = leaves()
    for way in (python, loop):
        seen: list = []
        monkeypatch.setattr(engine, "_common_pass", way)
        x.grad = y.grad = None
        h = x * y
        h.retain_grad()
        h.register_hook(lambda g, seen=seen: seen.append(("inner", g.clone())) or g * 2)
        handle = x.register_hook(lambda g, seen=seen: seen.append(("leaf", g.clone())))
        post = y.register_post_accumulate_grad_hook(lambda t, seen=seen: seen.append(("after", t.grad.clone())))
        (h.relu() + h).sum().backward()
        handle.remove()
        post.remove()
        found = [*seen, ("kept", h.grad), ("x", x.grad)]
        if way is python:
            want = found
    assert [name for name, _ in found] == [name for name, _ in want]
    for (_, got), (_, expected) in zip(found, want, strict=True):
        assert torch.equal(got, expected)


def test_refusals_are_the_records(loop: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(engine, "_common_pass", loop)
    x, y = leaves()
    h = x.exp()
    out = (h * y).sum()
    h.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()
    out = (x * y).sum()
    out.backward()
    with pytest.raises(RuntimeError, match="second time"):
        out.backward()
    assert torch.is_grad_enabled()


def test_user_functions_run_in_between(loop: Any, monkeypatch: Any) -> None:
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            assert not torch.is_grad_enabled()
            kept.append(g * 2)
            return kept[-1]

    kept: list = []
    x, _ = leaves()
    monkeypatch.setattr(engine, "_common_pass", loop)
    Twice.apply(x).sum().backward()
    x.grad.zero_()
    assert (kept[0] == 2).all() and x.grad.shape == x.shape     # the leaf did not take over what somebody else holds


@pytest.mark.skipif(calls.module is not None, reason="the extension has a pass of its own")
def test_it_is_in_use_without_the_extension() -> None:
    x, y = leaves()
    (x * y).sum().backward()
    assert (x * y).grad_fn.on_arrays is not None


def test_a_leaf_takes_over_what_nobody_else_sees(loop: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(engine, "_common_pass", loop)
    x, y = leaves()
    cls = type(F.linear(x, y)._node)
    engine.backward((x @ y.t()).sum())          # now the derivatives are there
    x.grad = y.grad = None
    derive, made = cls.on_arrays, []

    def spy(node: Any, g: np.ndarray) -> Any:
        grads = derive(node, g)
        made.extend(weakref.ref(array) for array in grads[:2])
        return grads

    monkeypatch.setattr(cls, "on_arrays", spy)
    engine.backward(F.linear(x, y).sum())
    assert made[0]() is x.grad._array and made[1]() is y.grad._array
    monkeypatch.setattr(cls, "on_arrays", lambda node, g: (shared := np.ones((4, 3), np.float32), shared))
    x.grad = y.grad = None
    engine.backward(F.linear(x, y).sum())
    assert not np.shares_memory(x.grad._array, y.grad._array)
