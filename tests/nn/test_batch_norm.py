"""Derivatives of batch norm's one kernel: over batches of gradients, of second order, forward, mapped."""

import numpy as np
import pytest
import torch as reference

import flowtorch

WAYS = {
    "a batch of gradients": lambda t, f, x, w, b, g: t.autograd.grad(f(x, w, b), (x, w, b), g, is_grads_batched=True),
    "a batch of gradients, no scale": lambda t, f, x, w, b, g: t.autograd.grad(
        f(x, None, b), (x, b), g, is_grads_batched=True
    ),
    "pushed forward": lambda t, f, x, w, b, g: [t.func.jvp(lambda v: f(v, w, b), (x.detach(),), (g[1],))[1]],
    "mapped": lambda t, f, x, w, b, g: [t.func.vmap(lambda v: f(v, w, b))(g)],
    "hessian": lambda t, f, x, w, b, g: [t.func.hessian(lambda v: (f(v, w, b) ** 3).sum())(g[2][:2])],
}


def second_order(t, f, x, w, b, g):
    """Gradients of gradients."""
    first = t.autograd.grad(f(x, w, b), (x, w), g[0], create_graph=True)
    return t.autograd.grad((first[0] ** 2).sum() + (first[1] ** 2).sum(), (x, w))


@pytest.mark.parametrize("way", [*WAYS.values(), second_order], ids=[*WAYS, "second order"])
def test_derivatives(way):
    results = []
    for t in (reference, flowtorch):
        rng = np.random.default_rng(0)
        x, w, b = (t.from_numpy(rng.standard_normal(s)).requires_grad_() for s in ((4, 3, 5), 3, 3))
        g = t.from_numpy(rng.standard_normal((6, 4, 3, 5)))

        def normalised(x, w, b, t=t):
            return t.nn.functional.batch_norm(x, None, None, w, b, True)

        results.append([r.detach().numpy() for r in way(t, normalised, x, w, b, g)])
    for theirs, ours in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_one_node_stands_for_the_whole():
    layer, x = flowtorch.nn.BatchNorm1d(3), flowtorch.randn(4, 3, 5, requires_grad=True)
    node = layer(x).grad_fn
    assert node.name() == "NativeBatchNormBackward0"
    leaves = [edge.variable for edge, _ in node.next_functions]
    assert all(a is b for a, b in zip(leaves, (x, layer.weight, layer.bias), strict=True))
