"""Function transforms over layers whose kernels have a backward pass written by hand."""

import warnings

import numpy as np
import pytest
import torch as real
from both import program

import flowtorch


def numbers(torch, *shape):
    return (torch.arange(int(np.prod(shape)), dtype=torch.float64) * 0.7).sin().reshape(shape)


def total(result):
    """Twice differentiable in everything that the layer returns."""
    if isinstance(result, (tuple, list)):
        return sum(total(r) for r in result)
    return (result * result).sum()


LAYERS = {
    "LSTM": (lambda nn, f64: nn.LSTM(3, 4, bidirectional=True, dtype=f64), (5, 2, 3)),
    "LSTM projected": (lambda nn, f64: nn.LSTM(3, 4, proj_size=2, dtype=f64), (5, 2, 3)),
    "GRU": (lambda nn, f64: nn.GRU(3, 4, num_layers=2, dtype=f64), (3, 2, 3)),
    "RNN": (lambda nn, f64: nn.RNN(3, 4, nonlinearity="tanh", dtype=f64), (5, 2, 3)),
    "LSTMCell": (lambda nn, f64: nn.LSTMCell(3, 4, dtype=f64), (2, 3)),
    "encoder": (lambda nn, f64: nn.TransformerEncoderLayer(4, 2, 8, 0.0, dtype=f64), (3, 2, 4)),
    "LayerNorm": (lambda nn, f64: nn.LayerNorm(4, dtype=f64), (3, 4)),
    "GroupNorm": (lambda nn, f64: nn.GroupNorm(2, 4, dtype=f64), (2, 4, 3)),
    "BatchNorm1d": (lambda nn, f64: nn.BatchNorm1d(3, track_running_stats=False, dtype=f64), (4, 3)),
    "cross entropy": (lambda nn, f64: lambda x: nn.functional.cross_entropy(x, flowtorch.tensor([0, 2])), (2, 3)),
    "GELU": (lambda nn, f64: nn.GELU(), (4,)),
    "CrossMapLRN2d": (lambda nn, f64: nn.CrossMapLRN2d(2), (2, 3, 2, 2)),
    "Upsample": (lambda nn, f64: nn.Upsample(scale_factor=2, mode="bilinear"), (1, 2, 3, 3)),
}


def built(torch, name):
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    layer, x = make(torch.nn, torch.float64), numbers(torch, *shape)
    return layer, lambda t: total(layer(t)), x


@pytest.mark.parametrize("name", ["LSTM", "LSTM projected", "GRU", "RNN", "GELU", "Upsample"])
def test_forward_over_reverse(name):
    with warnings.catch_warnings(action="ignore"):
        real.func.hessian(lambda t: (t**3).sum())(real.ones(2))  # torch warns of its own use of torch.jit, once

    @program
    def compare(torch):
        _, value, x = built(torch, name)
        yield torch.func.hessian(value)(x)
        yield torch.func.jvp(lambda t: torch.func.grad(value)(t), (x,), (x * 0.3,))

    compare()


@pytest.mark.parametrize("name", LAYERS)
def test_orders_of_differentiation(name):
    _, value, x = built(flowtorch, name)
    expected = flowtorch.autograd.functional.hessian(value, x)
    func = flowtorch.func
    orders = [func.jacrev(func.jacrev(value))]
    if name != "CrossMapLRN2d":  # a Function without jvp
        orders.append(func.jacfwd(func.jacrev(value)))
    for order in orders:
        with flowtorch.no_grad():  # no obstacle to a transform inside
            found = order(x)
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-12)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_each_example(name):
    layer, value, x = built(flowtorch, name)
    batch = flowtorch.stack([x, x * 0.5, x + 0.1])
    func = flowtorch.func
    for grad_enabled in (True, False):
        with flowtorch.set_grad_enabled(grad_enabled):
            found = func.vmap(func.grad(value))(batch)
        for got, example in zip(found, batch, strict=True):
            np.testing.assert_allclose(got.detach().numpy(), func.grad(value)(example).detach().numpy(), atol=1e-12)
    named = layer.named_parameters() if isinstance(layer, flowtorch.nn.Module) else ()
    parameters = {name: p.detach() for name, p in named}
    if not parameters:
        return

    def of_parameters(given, t):
        return total(func.functional_call(layer, given, (t,)))

    found = func.vmap(func.grad(of_parameters), in_dims=(None, 0))(parameters, batch)
    for i, example in enumerate(batch):
        expected = func.grad(of_parameters)(parameters, example)
        for key, got in found.items():
            np.testing.assert_allclose(got[i].detach().numpy(), expected[key].detach().numpy(), atol=1e-12)
