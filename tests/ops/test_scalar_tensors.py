"""Tensors of one number are taken wherever PyTorch takes them for a number."""

import pytest
import torch

import flowtorch

CALLS = """
F.softplus(x, T(2.), T(3.))
F.threshold(x, T(.1), T(.2))
F.threshold_(x, T(.1), T(.2))
F.leaky_relu(x, T(.1))
F.elu(x, T(.5))
F.celu(x, T(.7))
F.hardtanh(x, T(-1.), T(1.))
F.softshrink(x, T(.3))
F.hardshrink(x, T(.3))
F.smooth_l1_loss(x, 2 * x, beta=T(.5))
F.huber_loss(x, 2 * x, delta=T(.5))
F.normalize(x, T(2.))
F.layer_norm(x, (3,), eps=T(1e-5))
F.pad(x, (1, 1), value=T(2.))
F.one_hot(m.tensor([1]), T(3))
x.clamp(T(-.1), T(.5))
x.clamp_(T(-.1))
x.add(x, alpha=T(2.))
x.sub_(x, alpha=T(2.))
m.rsub(x, x, alpha=T(2.))
m.addmm(x, x, x, beta=T(.5), alpha=T(2.))
m.addcmul(x, x, x, value=T(2.))
m.lerp(x, 2 * x, T(.5))
m.logit(x.sigmoid(), T(.1))
m.polygamma(T(1), x.abs() + 1)
m.full((2,), T(3.))
m.arange(T(0.), T(1.), T(.25))
m.linspace(T(0.), T(1.), 4)
x.norm(T(2))
x.renorm(T(2.), 0, T(1.))
m.std(x, correction=T(0))
m.topk(x, T(2))[0]
x.roll(T(1))
m.zeros(T(2), T(3))
x.expand(T(3), T(3))
""".strip().splitlines()


@pytest.mark.parametrize("call", CALLS)
def test_in_place_of_numbers(call):
    both = []
    for m in (torch, flowtorch):
        x = m.tensor([[0.5, -1.5, 2.0], [0.25, 1.0, -0.125], [3.0, -0.75, 0.0]])
        both.append(eval(call, {"m": m, "F": m.nn.functional, "T": m.tensor, "x": x}))
    assert str(both[0].dtype) == str(both[1].dtype)
    assert both[1].numpy() == pytest.approx(both[0].numpy(), rel=1e-6)


def test_gradients_through_what_they_bound():
    both = []
    for m in (torch, flowtorch):
        x = m.tensor([-1.0, 0.3, 2.0], requires_grad=True)
        m.nn.functional.softplus(x, m.tensor(2.0), m.tensor(3.0)).sum().backward()
        both.append(x.grad.tolist())
    assert both[1] == pytest.approx(both[0], rel=1e-6)
