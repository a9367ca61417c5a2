"""Backward in C gives what the loop in Python gives: values, hooks, errors, and nothing that stays behind."""

import gc
import sys
import threading

import numpy as np
import pytest

import flowtorch
import flowtorch.nn.functional as F
from flowtorch import nn
from flowtorch.autograd import engine
from flowtorch.native import calls

pytestmark = pytest.mark.skipif(calls.module is None, reason="the extension was not built before this process")


def both_ways(program, monkeypatch):
    """What a program gives with backward in C, and with the loop in Python."""
    flowtorch.manual_seed(0)
    native = program(as_call=True)
    flowtorch.manual_seed(0)
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_common_pass", lambda *asked: False)
        return native, program(as_call=False)


def run(loss, as_call):
    if as_call:
        loss.backward()
    else:
        engine.backward(loss)  # Tensor.backward has an entry of its own


def gradients(leaves):
    return [x.grad.to(flowtorch.complex64 if x.is_complex() else flowtorch.float64).numpy().copy() for x in leaves]


def leaf(*shape, dtype=None):
    return flowtorch.randn(shape, dtype=dtype).requires_grad_()


def mlp(loss):
    def program(as_call):
        model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6), nn.GELU(), nn.Linear(6, 3), nn.Tanh())
        leaves = list(model.parameters())
        run(loss(model(flowtorch.randn(4, 5))), as_call)
        return gradients(leaves)

    return program


def of(function, *shapes, dtype=None):
    def program(as_call):
        leaves = [leaf(*shape, dtype=dtype) for shape in shapes]
        for _ in range(2):  # the second time the gradients are added
            run(function(*leaves), as_call)
        return [*gradients(leaves), [x.grad._version for x in leaves]]

    return program


TARGET = flowtorch.tensor([0, 2, 1, 2])
PROGRAMS = {
    "mlp, squared error": mlp(lambda y: F.mse_loss(y, flowtorch.ones(4, 3))),
    "mlp, summed": mlp(lambda y: F.mse_loss(y, flowtorch.ones(4, 3), reduction="sum")),
    "mlp, cross entropy": mlp(lambda y: F.cross_entropy(y, TARGET)),
    "weighted": mlp(lambda y: F.cross_entropy(y, TARGET, flowtorch.tensor([1.0, 2.0, 0.5]))),
    "none left out": mlp(lambda y: F.cross_entropy(y, TARGET, reduction="none").mean()),
    "mul": of(lambda a, b: (a * b).sum(), (3, 4), (3, 4)),
    "broadcast": of(lambda a, b, c: ((a * b) + c - b).mean(), (3, 4), (4,), (3, 1)),
    "numbers": of(lambda a: (2.0 * a + 1 - a * 3 - (4 - a) / 5).sum(), (3, 4)),
    "div": of(lambda a, b: (a / b).sum(), (3, 4), (3, 4)),
    "double": of(lambda a, b: (a * b - b).sum(), (3, 4), (3, 4), dtype=flowtorch.float64),
    "half": of(lambda a, b: (a * b - b).sum(), (3, 4), (3, 4), dtype=flowtorch.bfloat16),
    "complex": of(lambda a, b: (a * b).abs().sum(), (3, 4), (3, 4), dtype=flowtorch.complex64),
    "products": of(lambda a, b, c: (a @ b @ c).sum(), (3, 4), (4, 5), (5, 2)),
    "batches": of(lambda a, w, b: F.linear(a, w, b).sum(), (2, 3, 4), (5, 4), (5,)),
    "batches without bias": of(lambda a, w: F.linear(a, w).exp().mean(), (2, 3, 4), (5, 4)),
    "views": of(lambda a: (a.view(12).reshape(2, 6).t() * 2).transpose(0, 1)[1:].sum(), (3, 4)),
    "softmax": of(lambda a, b: (a.softmax(1) * b).sum() + (a.log_softmax(0) * b).sum(), (3, 4), (3, 4)),
    "log": of(lambda a: (a * a + 1).log().sigmoid().sum(), (3, 4)),
    "used again": of(lambda a: sum((a * k for k in range(5)), a).sum(), (3, 4)),
    "itself": of(lambda a: a, ()),
    "several outputs": of(lambda a: (a.unbind(0)[1] * a.topk(2).values[0, 0]).sum(), (3, 4)),
    "in place": of(lambda a: (a * 2).mul_(3).add_(a).relu_().sum(), (3, 4)),
    "written view": of(lambda a: ((b := a * 2), b[0].mul_(3), b.sum())[-1], (3, 4)),
    "empty": of(lambda a: a.sum() + (a * 2).sum(), (0, 4)),
    "transposed leaf": of(lambda a: (a.t() * 2).sum(), (3, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_gradients(name, monkeypatch):
    for a, b in zip(*both_ways(PROGRAMS[name], monkeypatch), strict=True):
        np.testing.assert_array_equal(a, b)


def test_hooks_see_the_same(monkeypatch):
    def program(as_call):
        seen = []
        x, w = leaf(3, 4), leaf(3, 4)
        y = x * w
        y.retain_grad()
        x.register_hook(lambda g: seen.append(("leaf", g.sum().item())) or g * 2)
        y.register_hook(lambda g: seen.append(("tensor", g.sum().item())) or g * 3)
        w.register_post_accumulate_grad_hook(lambda t: seen.append(("accumulated", t.grad.sum().item())))
        z = (y + x).exp()
        z.grad_fn.register_prehook(lambda g: seen.append(("before", len(g))))
        z.grad_fn.register_hook(lambda given, g: seen.append(("after", len(given), len(g))) or (given[0] * 5,))
        run(z.sum(), as_call)
        return [*gradients([x, w, y]), seen]

    native, other = both_ways(program, monkeypatch)
    for a, b in zip(native[:3], other[:3], strict=True):
        np.testing.assert_array_equal(a, b)
    assert native[3] == other[3] and len(native[3]) == 5


def test_a_freed_graph_is_an_error_and_a_kept_one_is_not():
    x = leaf(3)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), 4 * x.detach().numpy(), rtol=1e-6)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()
    assert flowtorch.is_grad_enabled() and not flowtorch.overrides.active


@pytest.mark.parametrize("write", [lambda y: y.add_(1), lambda y: y[1:].mul_(2)])
def test_what_was_written_since_is_an_error(write):
    x = leaf(3)
    y = x.exp()
    z = y.tanh() * y
    write(y.detach())
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()
    assert x.grad is None and flowtorch.is_grad_enabled()


def test_gradients_are_not_shared():
    """What two leaves get from one gradient, or what the caller gave, is copied."""
    a, b = leaf(3), leaf(3)
    g = flowtorch.ones(3)
    (a + b).backward(g)
    assert len({a.grad.data_ptr(), b.grad.data_ptr(), g.data_ptr()}) == 3
    c = leaf()
    one = flowtorch.ones(())
    c.backward(one)
    assert c.grad is not one


def test_a_failing_derivative_leaves_nothing_on():
    class Failing(flowtorch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            assert not flowtorch.is_grad_enabled()
            raise ValueError("here")

    outer = engine.current.pass_id, engine.current.roots, engine.current.node
    with pytest.raises(ValueError, match="here"):
        (Failing.apply(leaf(3)) * 2).sum().backward()
    assert flowtorch.is_grad_enabled()
    assert outer == (engine.current.pass_id, engine.current.roots, engine.current.node)
    with pytest.raises(RuntimeError, match="incorrect number of gradients"):
        class Many(Failing):
            backward = staticmethod(lambda ctx, g: (g, g))

        (Many.apply(leaf(3)) * 2).sum().backward()


def test_a_pass_inside_a_hook():
    x, w = leaf(3), leaf(3)
    y = x * 2

    def hook(g):
        with flowtorch.enable_grad():
            (w * w).sum().backward()

    y.register_hook(hook)
    (y * x).sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), 2 * w.detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), 4 * x.detach().numpy(), rtol=1e-6)


def test_threads_add_to_one_leaf():
    x = flowtorch.ones(20_000, requires_grad=True)

    def work():
        for _ in range(50):
            (x * 2).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert (x.grad == 400).all()


def test_nothing_is_kept():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))
    x, y = flowtorch.randn(4, 4), TARGET

    def step():
        model.zero_grad()
        out = model(x)
        (F.cross_entropy(out, y) + (out / 3 - out.exp() * out).mean()).backward()

    for _ in range(8):
        step()
    gc.collect()
    weight = model[0].weight
    before = sys.getrefcount(weight), sys.getrefcount(weight._type), sys.getrefcount(engine.RELEASED)
    objects = len(gc.get_objects())
    for _ in range(200):
        step()
    gc.collect()
    assert before == (sys.getrefcount(weight), sys.getrefcount(weight._type), sys.getrefcount(engine.RELEASED))
    assert len(gc.get_objects()) - objects < 50             # others' objects may have gone meanwhile


def test_many_nodes_wait_at_once():
    x = leaf(2)
    branches = [x * k for k in range(1000)]
    run(flowtorch.stack(branches).sum(), True)
    np.testing.assert_allclose(x.grad.numpy(), 499_500.0)
