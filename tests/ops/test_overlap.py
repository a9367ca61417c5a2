"""Calls that write over a part of their inputs: refused where PyTorch refuses, the same elsewhere."""

import pytest
import torch

import flowtorch

CALLS = {
    "add_ of a shifted self": lambda t, y: y[1:].add_(y[:-1]),
    "add_ of the same": lambda t, y: y.add_(y),
    "add_ of apart halves": lambda t, y: y[::2].add_(y[1::2]),
    "add_ of an element of self": lambda t, y: y.sub_(y[0]),
    "iadd of a transposed self": lambda t, y: y[:4].view(2, 2).__iadd__(y[:4].view(2, 2).t()),
    "mul_ of a row": lambda t, y: y.view(2, 3).mul_(y.view(2, 3)[:1]),
    "addcmul_ of a shifted self": lambda t, y: y[1:].addcmul_(y[:-1], y[:-1]),
    "clamp_ by a shifted self": lambda t, y: y[1:].clamp_(min=y[:-1]),
    "copy_ of a shifted self": lambda t, y: y[1:].copy_(y[:-1]),
    "copy_ of an element": lambda t, y: y.copy_(y[0]),
    "setitem of a shifted self": lambda t, y: y.__setitem__(slice(1, None), y[:-1]),
    "setitem of own elements by index": lambda t, y: y.__setitem__(t.tensor([0, 1]), y[1:3]),
    "fill_ with an element": lambda t, y: y[1:].fill_(y[0]),
    "index_add_ of own elements": lambda t, y: y.index_add_(0, t.tensor([0, 1]), y[1:3]),
    "scatter_ of own elements": lambda t, y: y.scatter_(0, t.tensor([0, 1]), y[1:3]),
    "exp into a shifted self": lambda t, y: t.exp(y[:-1], out=y[1:]),
    "neg into self": lambda t, y: t.neg(y, out=y),
    "exp into the transposed self": lambda t, y: t.exp(y[:4].view(2, 2), out=y[:4].view(2, 2).t()),
    "where into a part": lambda t, y: t.where(y[1:] > 1, y[1:], y[:-1], out=y[1:]),
    "gather into a part": lambda t, y: t.gather(y, 0, t.tensor([1, 0]), out=y[:2]),
    "take into a part": lambda t, y: t.take(y, t.tensor([1, 0]), out=y[:2]),
    "masked_select into a part": lambda t, y: t.masked_select(y, y > 2, out=y[:3]),
    "cat into a part": lambda t, y: t.cat([y[:2], y[2:4]], out=y[1:5]),
    "stack into a part": lambda t, y: t.stack([y[:2], y[2:4]], out=y[:4].view(2, 2)),
    "kthvalue into an element": lambda t, y: t.kthvalue(y, 2, out=(y[0], t.empty((), dtype=t.int64))),
    "scatter into self": lambda t, y: t.scatter(y, 0, t.tensor([0, 1]), t.ones(2), out=y),
    "cumsum into self": lambda t, y: t.cumsum(y, 0, out=y),
    "bitwise_and into a shifted self": lambda t, y: t.bitwise_and(y.long(), 1, out=y.long()),
}


def outcome(t, call):
    y = t.arange(6.0)
    try:
        call(t, y)
    except RuntimeError as error:
        return str(error)[:60]
    return y.tolist()


@pytest.mark.filterwarnings("ignore:An output with one or more elements")
@pytest.mark.parametrize("name", CALLS)
def test_as_pytorch(name):
    assert outcome(flowtorch, CALLS[name]) == outcome(torch, CALLS[name])


def test_recorded_calls_are_refused_too():
    leaf = flowtorch.arange(6.0, requires_grad=True)
    y = leaf * 1
    with pytest.raises(RuntimeError, match="refer to a single memory location"):
        y[1:].mul_(y[:-1])
