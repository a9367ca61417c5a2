"""How the tape behaves: depth, memory, in-place history, hooks, threads, versions, modes."""

import gc
import threading
import weakref

import numpy as np
import pytest
import torch as real

import flowtorch as torch


def test_a_long_chain_needs_no_recursion():
    x = torch.ones((), requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y + 1
    y.backward()
    assert x.grad.item() == 1.0
    del y  # and is freed without recursion


def test_nothing_of_the_graph_outlives_backward():
    gc.collect()
    gc.disable()
    try:
        x = torch.ones(3, requires_grad=True)
        middle = (x * 2).exp()
        y = middle.sum()
        nodes = [weakref.ref(middle), weakref.ref(y)]
        arrays = weakref.ref(middle._array)
        y.backward()
        del middle, y
        assert [n() for n in nodes] == [None, None]
        assert arrays() is None
    finally:
        gc.enable()


def test_saved_tensors_are_freed_by_backward_while_the_result_lives():
    x = torch.ones(3, requires_grad=True)
    middle = x.exp()
    kept = weakref.ref(middle._array)
    y = (middle * middle).sum()
    del middle
    assert kept() is not None
    y.backward()
    gc.collect()
    assert kept() is None
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_retain_graph_gives_the_sum_of_both():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4.0, 8.0]


# Each program takes the library and gives numbers; both libraries must give the same.
def through_a_view(torch):
    x = torch.arange(6.0, requires_grad=True)
    base = x * 2
    view = base.view(2, 3)[1]
    view.mul_(3)
    (base * base).sum().backward()
    return x.grad


def view_of_a_changed_base(torch):
    x = torch.arange(6.0, requires_grad=True)
    base = x * 1
    view = base[2:5]
    base.mul_(2)
    (view * torch.arange(3.0)).sum().backward()
    return x.grad


def view_of_a_view(torch):
    x = torch.arange(12.0, requires_grad=True)
    base = x * 1
    inner = base.view(3, 4).t()[1:3]
    inner.add_(torch.ones(2, 3)).exp_()
    base.sum().backward()
    return x.grad


def setting_items(torch):
    x = torch.arange(6.0, requires_grad=True)
    z = torch.ones(2, requires_grad=True)
    y = x * 1
    y[1:3] = z * 3
    y[torch.tensor([4, 5])] = 7.0
    (y * y).sum().backward()
    return torch.cat([x.grad, z.grad])


def copying_into_a_view(torch):
    x = torch.arange(4.0, requires_grad=True)
    out = torch.zeros(2, 4)
    out[0].copy_(x)
    out[1] = x * 2
    out.pow(2).sum().backward()
    return x.grad


def detached_views_share_memory(torch):
    x = torch.arange(3.0, requires_grad=True)
    y = x * 2
    y.detach().zero_()
    y.sum().backward()
    return torch.cat([x.grad, y.detach()])


def in_place_on_a_result(torch):
    x = torch.arange(1.0, 4.0, requires_grad=True)
    y = x * 2
    y += x
    y *= y.detach().clone()
    y.sum().backward()
    return x.grad


def hooks_change_gradients(torch):
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)
    y.retain_grad()
    y.sum().backward()
    return torch.cat([x.grad, y.grad])


def hooks_can_be_removed(torch):
    x = torch.ones(3, requires_grad=True)
    handle = x.register_hook(lambda g: g * 100)
    handle.remove()
    x.sum().backward()
    return x.grad


def node_hooks(torch):
    x = torch.ones(2, requires_grad=True)
    y = x * 3
    seen = []
    y.grad_fn.register_prehook(lambda g: (g[0] * 2,))
    y.grad_fn.register_hook(lambda i, o: seen.append((i[0].tolist(), o[0].tolist())))
    y.sum().backward()
    return torch.tensor([*x.grad.tolist(), *seen[0][0], *seen[0][1]])


def post_accumulate_hooks(torch):
    x = torch.ones(2, requires_grad=True)
    seen = []
    x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.sum().item()))
    (x * 2).sum().backward()
    (x * 3).sum().backward()
    return torch.tensor([*seen, *x.grad.tolist()])


def modes(torch):
    x = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        a = x * 2
        with torch.enable_grad():
            b = x * 2
    with torch.set_grad_enabled(False):
        c = x * 2
    with torch.inference_mode():
        d = x * 2
    return torch.tensor([t.requires_grad for t in (a, b, c, d)] + [d.is_inference(), torch.is_grad_enabled()])


def custom_function(torch):
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor):
            ctx.save_for_backward(x)
            ctx.factor = factor
            return factor * x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 3 * ctx.factor * x * x, None

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (g,) = torch.autograd.grad(Cube.apply(x, 2.0).sum(), x, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), x)
    return torch.cat([g, h]).detach()


def unused_and_materialized(torch):
    x, z = torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)
    a = torch.autograd.grad((x * 2).sum(), (x, z), allow_unused=True)
    b = torch.autograd.grad((x * 2).sum(), (x, z), materialize_grads=True)
    assert a[1] is None
    return torch.cat([a[0], *b])


def grad_of_inputs_only(torch):
    x, z = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    (x * z * 2).sum().backward(inputs=[x])
    assert z.grad is None
    return x.grad


PROGRAMS = [through_a_view, view_of_a_changed_base, view_of_a_view, setting_items, copying_into_a_view,
            detached_views_share_memory, in_place_on_a_result, hooks_change_gradients, hooks_can_be_removed,
            node_hooks, post_accumulate_hooks, modes, custom_function, unused_and_materialized,
            grad_of_inputs_only]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_program(program):
    np.testing.assert_allclose(program(torch).numpy(), program(real).numpy(), rtol=1e-6)


def stale_input(torch):
    x = torch.ones(3, requires_grad=True)
    a = x * 2
    b = a * a
    a.add_(1)
    b.sum().backward()


def stale_output(torch):
    x = torch.ones(3, requires_grad=True)
    y = x.exp()
    y.add_(1)
    y.sum().backward()


def stale_through_a_view(torch):
    x = torch.ones(3, requires_grad=True)
    a = x * 2
    b = a * a
    a[0].zero_()
    b.sum().backward()


def leaf_in_place(torch):
    torch.ones(3, requires_grad=True).add_(1)


def view_of_leaf_in_place(torch):
    torch.ones(3, requires_grad=True)[0].zero_()


def one_of_several_views(torch):
    x = torch.ones(4, requires_grad=True) * 1
    x.split(2)[0].add_(1)


def not_a_scalar(torch):
    (torch.ones(3, requires_grad=True) * 2).backward()


def no_graph(torch):
    torch.ones(()).backward()


def wrong_shape(torch):
    (torch.ones(3, requires_grad=True) * 2).backward(torch.ones(2))


def unused_refused(torch):
    x, z = torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)
    torch.autograd.grad(x.sum(), z)


def integer_leaf(torch):
    torch.ones(3, dtype=torch.int64).requires_grad_()


def numpy_of_a_result(torch):
    torch.ones(3, requires_grad=True).numpy()


REFUSED = [stale_input, stale_output, stale_through_a_view, leaf_in_place, view_of_leaf_in_place, one_of_several_views,
           not_a_scalar, no_graph, wrong_shape, unused_refused, integer_leaf, numpy_of_a_result]  # fmt: skip


@pytest.mark.parametrize("program", REFUSED, ids=lambda p: p.__name__)
def test_refused(program):
    with pytest.raises(Exception) as expected:
        program(real)
    with pytest.raises(type(expected.value)) as got:
        program(torch)
    advice = str(expected.value).split(". ")[-1][:30]
    assert advice in str(got.value), (str(expected.value), str(got.value))


def in_threads(*functions):
    failures = []

    def guarded(f):
        try:
            f()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(f,)) for f in functions]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not failures, failures


def test_threads_with_graphs_of_their_own():
    results = {}

    def work(k):
        x = torch.full((50,), float(k), requires_grad=True)
        for _ in range(40):
            x.grad = None
            y = x
            for _ in range(20):
                y = y * 1.0 + x
            y.sum().backward()
        results[k] = x.grad[0].item()

    in_threads(*(lambda k=k: work(k) for k in range(2)))
    assert results == {0: 21.0, 1: 21.0}


def test_threads_share_a_leaf():
    x = torch.zeros(64, requires_grad=True)
    in_threads(*(lambda k=k: [(x * k).sum().backward() for _ in range(200)] for k in (1.0, 2.0)))
    assert x.grad.tolist() == [600.0] * 64


def test_grad_mode_belongs_to_the_thread():
    seen = []
    with torch.no_grad():
        in_threads(lambda: seen.append(torch.is_grad_enabled()))
        assert not torch.is_grad_enabled()
    assert seen == [True]


def test_a_function_may_run_backward_inside_backward():
    class Inner(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            with torch.enable_grad():
                y = x.detach().requires_grad_()
                (d,) = torch.autograd.grad((y * y).sum(), y)
            return g * d

    x = torch.tensor([3.0], requires_grad=True)
    Inner.apply(x).backward()
    assert x.grad.item() == 6.0


VIEWS_AND_CHANGES = {
    "a view made under no_grad": lambda t, x: _under_no_grad(t, lambda: x[0]),
    "a transposed leaf made under no_grad": lambda t, x: _under_no_grad(t, lambda: x.t()),
    "a change of such a view": lambda t, x: _under_no_grad(t, lambda: x[0]).add_(1),
    "a change of one of several views": lambda t, x: (x * 1).unbind(0)[1].mul_(2),
    "a change of a view of a leaf": lambda t, x: x.view(-1).mul_(2),
    "a change of a leaf that is a view": lambda t, x: t.arange(4.0).reshape(2, 2).requires_grad_().add_(1),
    "a view in place of a leaf that is a view": lambda t, x: t.arange(4.0).reshape(2, 2).requires_grad_().t_(),
    "detach_ of a leaf that is a view": lambda t, x: t.arange(4.0).reshape(2, 2).requires_grad_().detach_(),
}


def _under_no_grad(t, f):
    with t.no_grad():
        return f()


@pytest.mark.parametrize("name", VIEWS_AND_CHANGES)
def test_state_of_views_and_errors_as_pytorch(name):
    def outcome(t):
        try:
            v = VIEWS_AND_CHANGES[name](t, t.ones(2, 2, requires_grad=True))
        except RuntimeError as error:
            return str(error)[:80]
        return v.requires_grad, v.is_leaf, v.grad_fn is None, str(v)

    assert outcome(torch) == outcome(real)
