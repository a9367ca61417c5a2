"""Softmax and normalisations of many rows, which go block by block: against PyTorch, whole blocks and a rest."""

import math

import pytest
from both import program


@pytest.mark.parametrize("shape", [(700, 64), (33, 1000), (3, 5, 1025), (9, 4000), (2051, 9)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows(shape, dtype):
    @program
    def compare(torch):
        F = torch.nn.functional
        count = math.prod(shape)
        x = (torch.arange(count, dtype=torch.float64) * 0.7).sin().mul(3).reshape(shape).to(getattr(torch, dtype))
        g = (torch.arange(count, dtype=torch.float64) * 0.3).cos().reshape(shape).to(x.dtype)
        w, b = x.flatten()[: shape[-1]].clone(), g.flatten()[: shape[-1]].clone()
        for f in (
            lambda x: F.softmax(x, -1),
            lambda x: F.log_softmax(x, -1),
            lambda x: F.softmax(x * 40, -1),  # rows far apart
            lambda x: F.log_softmax(x + 500, -1),
            lambda x: F.layer_norm(x, shape[-1:]),
        ):
            leaf = x.clone().requires_grad_()
            out = f(leaf)
            out.backward(g)
            yield out.detach(), leaf.grad
        leaves = [t.clone().requires_grad_() for t in (x, w, b)]
        out = F.layer_norm(leaves[0], shape[-1:], *leaves[1:])
        out.backward(g)
        yield out.detach(), *[t.grad for t in leaves]

    compare()


def test_rows_with_infinities_and_nan():
    @program
    def compare(torch):
        x = torch.zeros(400, 50)
        x[3, 4], x[5] = -math.inf, -math.inf
        for special in (x, x.clone().index_fill_(0, torch.tensor([7]), math.nan)):
            yield special.softmax(-1), special.log_softmax(-1)
        x[9, 0] = math.inf
        yield x.softmax(-1), x.log_softmax(-1)

    compare()


@pytest.mark.parametrize("shape", [(5, 8, 31, 31), (3, 64, 300), (40, 6, 4, 4, 4), (2, 3, 9, 999)], ids=str)
def test_channels(shape):
    @program
    def compare(torch):
        count = math.prod(shape)
        x = ((torch.arange(count, dtype=torch.float64) * 0.7).sin() * 3 + 5).float().reshape(shape)
        g = (torch.arange(count, dtype=torch.float64) * 0.3).cos().float().reshape(shape)
        channels = shape[1]
        running = torch.zeros(channels), torch.ones(channels)
        leaves = [t.requires_grad_() for t in (x, torch.linspace(1, 2, channels), torch.linspace(-1, 1, channels))]
        out = torch.nn.functional.batch_norm(leaves[0], *running, *leaves[1:], training=True)
        out.backward(g)
        yield out.detach(), *[t.grad for t in leaves], *running

    compare()
