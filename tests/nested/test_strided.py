"""Nested tensors of the strided layout against PyTorch."""
from __future__ import annotations

import copy
import io
import warnings

import numpy as np
import pytest
import torch

import flowtorch as ft

LIBRARIES = (torch, ft)
warnings.filterwarnings("ignore", message=".*nested.*")


def samples(t):
    a, b = t.arange(6.0).reshape(2, 3), t.arange(12.0).reshape(4, 3) + 10
    nested = t.nested.nested_tensor
    return {
        "torch": t,
        "F": t.nn.functional,
        "a": a,
        "b": b,
        "n": nested([a, b]),
        "r": nested([a, b], requires_grad=True),
        "m": nested([a, t.ones(3, 2)]),
        "d": nested([t.ones(3, 4), t.ones(3, 4)]),
        "L": t.nn.Linear(3, 2),
        "x": nested([t.ones(2), t.ones(3)]),
    }


def expressions(text):
    """Expressions without blanks, separated by blanks."""
    return text.split()


@pytest.mark.parametrize("expression", expressions("""
n m x r r*2 n.layout n.is_nested n.size(0) n.size(1) n.size(2) n.size() n.shape n.dim() n.numel() len(n)
n.dtype n.unbind() list(n) n[0] n[1] n[0,0] n.to_padded_tensor(0.) m.to_padded_tensor(-1.)
n.to_padded_tensor(0.,(2,5,3)) torch.nested.to_padded_tensor(x,0.) n+n n*2 2*n n+1 n-n n/n n*n -n n.relu()
n.sin() n.abs() n.tanh() F.relu(n) n+m n+a F.linear(n,torch.ones(2,3)) L(n).unbind()[0].shape F.softmax(n,-1)
F.softmax(n,1) F.dropout(n,0.,True) torch.matmul(n,d) n@d n.transpose(1,2) n.sum() n.sum(-1) n.mean()
n.clone() n.detach() n.to(torch.float64) n.double().dtype n.is_contiguous() n.requires_grad r.is_leaf
n.view(2,-1,3) n.reshape(2,-1,3) n.contiguous() n.is_same_size(n) n.item() n.numpy() n.values()
n._nested_tensor_size() torch.nested.as_nested_tensor([a,b])
torch.nested.nested_tensor([a,b],dtype=torch.float64) torch.nested.nested_tensor([[1,2],[3]])
torch.nested.nested_tensor([]) torch.zeros_like(n) torch.ones_like(n) n.fill_(2.) n.copy_(n*2) n.add_(n)
n.mul_(2) torch.cat([n,n]) n.stride() n.max() n.unsqueeze(-1) n.chunk(3,-1) n.cos() n.half() n.sqrt() n.device
n.nelement() F.silu(n) n.logical_not() n.sgn() n.neg() n.requires_grad_()
"""))
def test_what_is_shown(expression):
    found = []
    for t in LIBRARIES:
        try:
            found.append(repr(eval(expression, samples(t))).replace("flowtorch.", "torch."))
        except Exception as error:
            found.append(type(error))
    assert found[0] == found[1]


@pytest.mark.parametrize("expression", expressions("""
r*2 r.to_padded_tensor(0.) F.linear(r,torch.ones(2,3)) F.softmax(r,-1) r.relu() r*r r[1] r.transpose(1,2) r.clone() r@d
"""))
def test_gradient(expression):
    found = []
    for t in LIBRARIES:
        names = samples(t)
        out = eval(expression, names)
        parts = out.unbind() if out.is_nested else [out]
        sum((p * t.arange(1.0, p.numel() + 1).reshape(p.shape)).sum() for p in parts).backward()
        found.append([p.tolist() for p in names["r"].grad.unbind()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)


def test_gradients_reach_the_pieces():
    for t in LIBRARIES:
        a = t.ones(2, 3, requires_grad=True)
        t.nested.as_nested_tensor([a, a * 2]).to_padded_tensor(0.0).sum().backward()
        assert a.grad.tolist() == [[3.0] * 3] * 2


@pytest.mark.parametrize("expression", expressions("""
n+m n+a n.sum() n.mean() n.max() n.shape n.stride() len(n) n.numpy() n.sort() n.cumsum(1) n[:,0] n.add_(m)
n.transpose(0,1) n.sum(-1)
"""))
def test_refused(expression):
    with pytest.raises((RuntimeError, NotImplementedError)):
        eval(expression, samples(ft))


def test_copying_and_saving():
    n = samples(ft)["n"]
    buffer = io.BytesIO()
    ft.save(n, buffer)
    buffer.seek(0)
    for again in (copy.deepcopy(n), ft.load(buffer, weights_only=False)):
        assert [p.tolist() for p in again.unbind()] == [p.tolist() for p in n.unbind()]
