"""Jagged tensors against PyTorch, and against the same computation piece by piece."""
from __future__ import annotations

import copy
import io
import re
import warnings

import numpy as np
import pytest
import torch

import flowtorch as ft

LIBRARIES = (torch, ft)
warnings.filterwarnings("ignore", message=".*nested.*")


def samples(t):
    a, b = t.arange(6.0).reshape(2, 3), t.arange(9.0).reshape(3, 3) + 10
    nt = t.nested.nested_tensor([a, b], layout=t.jagged)
    linear = t.nn.Linear(3, 4)
    with t.no_grad():
        linear.weight.copy_(t.arange(12.0).reshape(4, 3) / 10)
        linear.bias.zero_()
    return {
        "torch": t,
        "F": t.nn.functional,
        "a": a,
        "b": b,
        "nt": nt,
        "n2": nt * 2,
        "L": linear,
        "m": t.nested.nested_tensor_from_jagged(t.arange(40.0).reshape(5, 8) / 7, t.tensor([0, 2, 5])),
        "w": t.ones(3, 4),
        "r": t.nested.nested_tensor([a, b], layout=t.jagged, requires_grad=True),
        "o": t.nested.nested_tensor([b, a], layout=t.jagged),
        "i": t.nested.nested_tensor([t.tensor([1, 2]), t.tensor([0, 3, 1])], layout=t.jagged),
        "e": t.arange(20.0).reshape(5, 4),
    }


def expressions(text):
    """Expressions without blanks, separated by blanks."""
    return text.split()


def text(x):
    """What is printed, with ragged sizes and addresses made alike and the last digits of numbers left out."""
    shown = re.sub(r"\bj\d+", "j", re.sub(r"0x[0-9a-f]+", "0x", repr(x).replace("flowtorch.", "torch.")))
    shown = re.sub(r"(Nested|Sum|Select|Unbind)\w*Backward\w*", "Backward", shown)
    return re.sub(r"(\d\.\d{3})\d", r"\1", shown)


SHOWN = expressions("""
nt nt.shape nt.size() nt.size(0) nt.size(1) nt.size(2) nt.dim() nt.numel() nt.layout nt.dtype nt.device
nt.is_nested a.is_nested nt.offsets() nt.values() nt.lengths() nt._lengths nt._ragged_idx nt.unbind() list(nt)
len(nt) nt[0] nt[-1] nt[0,1] nt[:,0] nt[0:1] nt[...,0] nt.to_padded_tensor(0.)
nt.to_padded_tensor(-1.,(2,4,3)) torch.nested.to_padded_tensor(nt,0.) nt+nt (nt+nt).values() (nt+n2).shape
nt+1 1-nt nt*2 nt*torch.ones(3) (nt*torch.arange(3.)).values() (nt*torch.arange(6.).reshape(2,1,3)).values()
(nt+torch.ones(1,1,3)).values() (nt+torch.ones(2,1,1)).values() nt+torch.ones(2,3,3) nt.sin().values()
nt.relu().values() F.silu(nt).shape -nt nt.exp().shape nt>3 (nt>3).values() torch.where(nt>3,nt,-nt).values()
nt.clamp(0,3).values() nt.sum() nt.sum(1) nt.sum(-1).values() nt.sum(2).shape nt.sum(2,keepdim=True).shape
nt.sum((1,2)) nt.sum(1,keepdim=True) nt.sum(0) nt.mean() nt.mean(1) nt.mean(-1).values() nt.amax(1) nt.amin(1)
nt.max(1) nt.max() nt.prod(1) nt.argmax(1) nt.any() nt.all() F.softmax(nt,-1).values()
F.softmax(nt,1).values() F.log_softmax(nt,-1).values() torch.softmax(nt,dim=1).sum(1)
F.layer_norm(nt,(3,)).values() F.layer_norm(nt,(3,),torch.ones(3),torch.zeros(3)).values()
F.rms_norm(nt,(3,)).values() L(nt) L(nt).values() F.linear(nt,torch.ones(4,3)).shape (nt@w).values()
torch.matmul(nt,w).shape nt@torch.ones(2,3,4) (nt@torch.ones(2,3,4)).values() nt.transpose(1,2)
nt.transpose(1,2).shape nt.transpose(1,2)._ragged_idx nt.transpose(0,1) nt.transpose(-1,-2).values()
m.unflatten(-1,[2,4]).shape m.unflatten(-1,[2,4]).transpose(1,2).shape m.view(2,-1,2,4).shape
m.reshape(2,-1,2,4).shape m.view(2,m.size(1),2,4).shape
m.unflatten(-1,[2,4]).transpose(1,2).transpose(1,2).flatten(-2).shape m.chunk(2,-1) m.split(4,-1)
m.unsqueeze(-1).shape m.unsqueeze(1).shape
F.scaled_dot_product_attention(*[m.unflatten(-1,[2,4]).transpose(1,2)]*3)
F.scaled_dot_product_attention(*[m.unflatten(-1,[2,4]).transpose(1,2)]*3).transpose(1,2).flatten(-2).values()
torch.cat([nt,nt],-1).shape torch.cat([nt,nt],0) torch.stack([nt,nt]) F.embedding(i,e)
F.embedding(i,e).values() torch.nn.Embedding(5,4)(i).shape nt.clone() nt.detach() nt.to(torch.float64)
nt.double().dtype nt.half().values() nt.contiguous() nt.is_contiguous() torch.zeros_like(nt)
torch.ones_like(nt).values() torch.full_like(nt,2.).values() torch.randn_like(nt).shape r r*2 r.is_leaf
r.requires_grad nt.requires_grad_() F.dropout(nt,0.5,training=False).shape F.dropout(nt,0.5).shape nt.numpy()
nt.tolist() nt.item() nt.storage_offset() nt.view(6) nt.reshape(-1) nt.permute(0,2,1)
nt.masked_fill(nt>3,0.).values() nt==nt nt.size(1)==n2.size(1) nt.size(1)==o.size(1) nt.shape==n2.shape
nt.shape==o.shape nt.size(1)==3 str(nt.size(1)) isinstance(nt,torch.Tensor)
torch.nested.nested_tensor([[1,2],[3]],layout=torch.jagged)
torch.nested.nested_tensor([a,torch.ones(2)],layout=torch.jagged)
torch.nested.nested_tensor([],layout=torch.jagged) torch.nested.nested_tensor(a,layout=torch.jagged)
torch.nested.as_nested_tensor([a,b],layout=torch.jagged)
torch.nested.as_nested_tensor(torch.ones(2,3,4),layout=torch.jagged).shape
torch.nested.nested_tensor_from_jagged(torch.ones(5,2),torch.tensor([0,2,5]))
torch.nested.nested_tensor_from_jagged(torch.ones(5,2),lengths=torch.tensor([2,3]))
torch.nested.nested_tensor_from_jagged(torch.ones(5,2),torch.tensor([0,2,5]),torch.tensor([1,2]))
torch.nested.nested_tensor_from_jagged(torch.ones(5,2),torch.tensor([0,2,5]),torch.tensor([1,2])).unbind()
torch.nested.nested_tensor_from_jagged(torch.ones(5,2))
torch.nested.nested_tensor_from_jagged(torch.ones(2,5),torch.tensor([0,2,5]),jagged_dim=2).shape
torch.nested.narrow(torch.arange(12.).reshape(2,6),1,torch.tensor([0,1]),torch.tensor([2,3]),layout=torch.jagged)
torch.nested.narrow(torch.arange(12.).reshape(2,6),1,torch.tensor([0,1]),torch.tensor([2,3]),layout=torch.jagged).unbind()
torch.nested.masked_select(a,a>2) torch.nested.masked_select(a,a>2).values() nt.is_leaf nt._min_seqlen
nt._max_seqlen nt._get_max_seqlen() nt.ndim nt.squeeze(-1) nt.expand(2,-1,3) nt.is_floating_point()
nt.copy_(nt*2).values() nt.add_(1).values() nt.zero_().values() nt.fill_(2.).values() nt.mul_(n2).values()
nt.select(0,1) nt.select(2,1).values() nt.select(1,0) nt.narrow(2,0,1) nt[:,:,0] nt[:,:,0:2].values()
nt.is_same_size(nt)
""")


@pytest.mark.parametrize("expression", SHOWN)
def test_what_is_shown(expression):
    found = []
    for t in LIBRARIES:
        t.manual_seed(0)
        try:
            found.append(text(eval(expression, samples(t))))
        except Exception as error:
            found.append(type(error))
    assert found[0] == found[1]


@pytest.mark.parametrize("expression", expressions("""
nt+o nt.var(1) nt.norm() nt.t() nt.sort() nt.cumsum(1) nt.flatten() nt.new_zeros(2)
F.conv1d(nt,torch.ones(1,1,1)) nt.fft torch.stack([nt,o],1)
torch.cat([nt,o],-1)
"""))
def test_refused(expression):
    with pytest.raises((RuntimeError, NotImplementedError, ValueError, AttributeError)):
        eval(expression, samples(ft))


# Each function of a batch, and the same of one piece.
PIECEWISE = {
    "sum": (lambda x: x.sum(1), lambda p: p.sum(0)),
    "mean": (lambda x: x.mean(1), lambda p: p.mean(0)),
    "amax": (lambda x: x.amax(1), lambda p: p.amax(0)),
    "prod": (lambda x: x.prod(1), lambda p: p.prod(0)),
    "softmax": (lambda x: ft.softmax(x, 1), lambda p: ft.softmax(p, 0)),
    "log_softmax": (lambda x: ft.log_softmax(x, 1), lambda p: ft.log_softmax(p, 0)),
    "softmax of the last": (lambda x: ft.softmax(x, -1), lambda p: ft.softmax(p, -1)),
    "layer_norm": (lambda x: ft.nn.functional.layer_norm(x, (4,)), lambda p: ft.nn.functional.layer_norm(p, (4,))),
    "pointwise": (lambda x: (x * x).sin() + x.exp() / 2, lambda p: (p * p).sin() + p.exp() / 2),
    "transpose": (lambda x: x.transpose(1, 2), lambda p: p.transpose(0, 1)),
    "heads": (lambda x: x.unflatten(-1, [2, 2]).transpose(1, 2), lambda p: p.unflatten(-1, [2, 2]).transpose(0, 1)),
    "select": (lambda x: x.select(2, 1), lambda p: p.select(1, 1)),
    "matmul": (lambda x: x @ ft.arange(8, dtype=ft.float64).reshape(4, 2),
               lambda p: p @ ft.arange(8, dtype=ft.float64).reshape(4, 2)),
    "padded": (lambda x: x.to_padded_tensor(0.0).sum(1), lambda p: p.sum(0)),
}


def pieces():
    generator = np.random.default_rng(0)
    return [ft.tensor(generator.standard_normal((n, 4)), requires_grad=True) for n in (3, 1, 5)]


@pytest.mark.parametrize("name", PIECEWISE)
def test_piece_by_piece(name):
    batched, single = PIECEWISE[name]
    a, b = pieces(), pieces()
    out = batched(ft.nested.as_nested_tensor(a, layout=ft.jagged))
    results = out.unbind()
    expected = [single(p) for p in b]
    for x, y in zip(results, expected, strict=True):
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), atol=1e-12)
    ((out.values() if out.is_nested else out) ** 3).sum().backward()
    sum((y ** 3).sum() for y in expected).backward()
    for p, q in zip(a, b, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_attention(causal):
    def split(x, d):
        return x.unflatten(-1, [2, 2]).transpose(d, d + 1)
    a, b = pieces(), pieces()
    x = split(ft.nested.as_nested_tensor(a, layout=ft.jagged), 1)
    attend = ft.nn.functional.scaled_dot_product_attention
    out = attend(x, x * 2, x, is_causal=causal).transpose(1, 2).flatten(-2)
    assert out.shape[0] == 3 and out.shape[2] == 4
    expected = [attend(y := split(p, 0), y * 2, y, is_causal=causal).transpose(0, 1).flatten(-2) for p in b]
    (out.values() ** 2).sum().backward()
    sum((y ** 2).sum() for y in expected).backward()
    for o, y, p, q in zip(out.unbind(), expected, a, b, strict=True):
        np.testing.assert_allclose(o.detach().numpy(), y.detach().numpy(), atol=1e-12)
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), atol=1e-12)


def test_gradient_of_a_leaf_is_jagged():
    for t in LIBRARIES:
        r = samples(t)["r"]
        (r * 3).values().sum().backward()
        assert r.grad.is_nested and r.grad.values().tolist() == [[3.0] * 3] * 5
    (r * 2).values().sum().backward()
    assert r.grad.values().tolist() == [[5.0] * 3] * 5


def test_training_a_small_model():
    losses = []
    for t in LIBRARIES:
        t.manual_seed(0)
        model = t.nn.Sequential(t.nn.Linear(3, 8), t.nn.ReLU(), t.nn.LayerNorm(8), t.nn.Linear(8, 2))
        optimizer = t.optim.SGD(model.parameters(), lr=0.01)
        x = samples(t)["nt"]
        for _ in range(3):
            optimizer.zero_grad()
            out = t.stack([p.sum(0) for p in model(x).unbind()])
            loss = (out ** 2).mean()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


def test_copying_and_saving():
    nt = samples(ft)["nt"]
    buffer = io.BytesIO()
    ft.save(nt, buffer)
    buffer.seek(0)
    for again in (copy.deepcopy(nt), ft.load(buffer, weights_only=False)):
        assert again.is_nested and [p.tolist() for p in again] == [p.tolist() for p in nt]


def test_random_factories_fill_the_values():
    nt = samples(ft)["nt"]
    ft.manual_seed(0)
    drawn = ft.randn_like(nt)
    ft.manual_seed(0)
    assert drawn.values().tolist() == ft.randn(5, 3).tolist()
