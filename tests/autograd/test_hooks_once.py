"""Hooks of a leaf run once in a pass, on its whole gradient, as in torch."""

import pytest
import torch

import flowtorch


def both(program):
    ours, theirs = (program(library) for library in (flowtorch, torch))
    assert ours == theirs
    return ours


def used_twice(t, x):
    return (x * 2).sum() + (x.exp() * x).sum() + x.detach().sum()


@pytest.mark.parametrize("way", ["backward", "grad", "inputs"])
def test_a_hook_sees_the_sum(way):
    def program(t):
        x = t.tensor([0.0, 1.0], requires_grad=True)
        seen = []
        x.register_hook(lambda g: seen.append([round(v, 4) for v in g.tolist()]) or g.clamp(max=3))
        out = used_twice(t, x)
        if way == "grad":
            (g,) = t.autograd.grad(out, x)
        else:
            out.backward(inputs=[x] if way == "inputs" else None)
            g = x.grad
        return seen, [round(v, 4) for v in g.tolist()]

    assert len(both(program)[0]) == 1


def test_a_post_accumulate_hook_runs_once_with_the_whole_gradient():
    def program(t):
        x, y = (t.tensor([v], requires_grad=True) for v in (1.0, 2.0))
        order = []
        for name, leaf in (("x", x), ("y", y)):
            leaf.register_post_accumulate_grad_hook(lambda p, name=name: order.append((name, round(p.grad.item(), 4))))
        (x * y + x * x).sum().backward()
        return sorted(order)

    both(program)


def test_a_use_that_sends_nothing_does_not_keep_the_hook_waiting():
    class Nothing(flowtorch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return None

    x = flowtorch.ones(2, requires_grad=True)
    seen = []
    x.register_hook(lambda g: seen.append(g.tolist()))
    (Nothing.apply(x) * 3 + x * 2).sum().backward()
    assert seen == [[2.0, 2.0]] and x.grad.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("shape", [(5, 3), (2, 5, 3), (3,)])
@pytest.mark.parametrize("bias", [True, False])
def test_hooks_of_linear_layers_see_the_bias_first(shape, bias):
    def program(t):
        net = t.nn.Sequential(t.nn.Linear(3, 4, bias=bias), t.nn.ReLU(), t.nn.Linear(4, 2))
        order = []
        for name, p in net.named_parameters():
            p.register_hook(lambda g, name=name: order.append(name))
        x = t.ones(shape, requires_grad=True)
        x.register_hook(lambda g: order.append("x"))
        net(x).sum().backward()
        return order

    assert both(program)[:2] == ["2.bias", "2.weight"]


def test_a_linear_layers_node_names_the_bias_before_the_input():
    def program(t):
        with_bias, without = (t.nn.Linear(3, 4, bias=b)(t.ones(5, 3)).grad_fn.next_functions for b in (True, False))
        return [edge[0] is not None for edge in with_bias], [edge[0] is not None for edge in without]

    assert both(program) == ([True, False, True], [False, True])
