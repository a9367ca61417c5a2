"""Small programs with sparse tensors: models, parameters, hooks, optimisers, comparison."""
from __future__ import annotations

import copy
import io
import warnings

import numpy as np
import pytest
import torch

import flowtorch as ft

warnings.filterwarnings("ignore", message=".*Sparse.*")


def adjacency(t):
    i = t.tensor([[0, 1, 2, 3, 0], [1, 0, 3, 2, 0]])
    return t.sparse_coo_tensor(i, t.tensor([1.0, 1, 1, 1, 0.5]), (4, 4)).coalesce()


def model(t):
    class Graph(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = t.nn.Linear(3, 2)
            t.nn.init.constant_(self.lin.weight, 0.5)
            t.nn.init.zeros_(self.lin.bias)
            self.register_buffer("adj", adjacency(t))

        def forward(self, x):
            return t.sparse.mm(self.adj, self.lin(x))
    return Graph()


def embedding(t):
    e = t.nn.Embedding(6, 2, sparse=True)
    t.nn.init.ones_(e.weight)
    return e


def a_buffer(t):
    m = model(t)
    out = m(t.ones(4, 3))
    out.sum().backward()
    other = model(t)
    other.load_state_dict(m.state_dict())
    double = copy.deepcopy(m).double()
    buffer = io.BytesIO()
    t.save(m.state_dict(), buffer)
    buffer.seek(0)
    return out, m.lin.weight.grad, other.adj, double.adj, double(t.ones(4, 3, dtype=t.float64)), t.load(buffer)["adj"]


def a_parameter(t):
    p = t.nn.Parameter(adjacency(t))
    t.sparse.mm(p, t.ones(4, 2)).sum().backward()
    return p, p.grad, isinstance(p, t.nn.Parameter)


def a_hook(t):
    e, seen = embedding(t), []
    e.weight.register_hook(lambda g: seen.append(g.is_sparse) or g * 2)
    e(t.tensor([1, 2])).sum().backward()
    return seen, e.weight.grad


def zeroed_in_place(t):
    e = embedding(t)
    e(t.tensor([1, 2])).sum().backward()
    e.zero_grad(set_to_none=False)
    return e.weight.grad


def autograd_grad(t):
    w = t.ones(5, 3, requires_grad=True)
    return t.autograd.grad(t.nn.functional.embedding(t.tensor([1, 1]), w, sparse=True).sum(), w)


def without_recording(t):
    with t.no_grad():
        a = adjacency(t) * 2
    with t.inference_mode():
        b = adjacency(t) + adjacency(t)
        c = b @ t.ones(4, 1)
    return a, b, c


def a_function(t):
    class Product(t.autograd.Function):
        @staticmethod
        def forward(ctx, s, d):
            ctx.save_for_backward(s, d)
            return t.sparse.mm(s, d)

        @staticmethod
        def backward(ctx, g):
            s, _ = ctx.saved_tensors
            return None, t.sparse.mm(s.t(), g)
    d = t.ones(4, 2, requires_grad=True)
    Product.apply(adjacency(t), d).sum().backward()
    return d.grad


def propagation(t):
    x = t.ones(4, 2, requires_grad=True)
    y = x
    for _ in range(3):
        y = t.relu(adjacency(t) @ y)
    y.sum().backward()
    return x.grad


def normalised(t):
    a = adjacency(t)
    scale = t.sparse.sum(a, dim=1).to_dense().pow(-0.5)
    i = a.indices()
    return t.sparse_coo_tensor(i, a.values() * scale[i[0]] * scale[i[1]], a.shape)


def shared_values(t):
    a = adjacency(t)
    b = a.clone()
    b.values().mul_(3)
    a.values()[0] = 9.0
    return a.to_dense(), b.to_dense()


def scheduled(t):
    e = embedding(t)
    optimizer = t.optim.SparseAdam(e.parameters(), lr=0.1)
    scheduler = t.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    for k in range(3):
        optimizer.zero_grad()
        e(t.tensor([k, k + 1])).pow(2).sum().backward()
        optimizer.step()
        scheduler.step()
    return e.weight, [list(v) for v in optimizer.state_dict()["state"].values()]


def weighted_bags(t):
    e = t.nn.EmbeddingBag(5, 3, sparse=True, mode="sum")
    t.nn.init.ones_(e.weight)
    e(t.tensor([1, 2, 4]), t.tensor([0, 2]), per_sample_weights=t.tensor([1.0, 2, 3])).sum().backward()
    return e.weight.grad


def assigned_gradient(t):
    g = t.sparse_coo_tensor([[0, 1]], [[1.0, 1], [2, 2]], (4, 2))
    w = t.zeros(4, 2)
    w.grad = g
    return w.grad, w.add(g), w.add_(g, alpha=-1)


def about(t):
    a = adjacency(t)
    return (a.is_leaf, a.grad, a.grad_fn, a.device, a.ndim, a.nelement(), a.T.shape, a.type(t.float64).dtype,
            a.cpu() is a, a.is_cuda, a.data.shape, a.get_device(), isinstance(a, t.Tensor), a.__class__.__name__)


PROGRAMS = [a_buffer, a_parameter, a_hook, zeroed_in_place, autograd_grad, without_recording, a_function, propagation,
            normalised, shared_values, scheduled, weighted_bags, assigned_gradient, about]


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program):
    expected, got = (repr(program(t)).replace("flowtorch.", "torch.") for t in (torch, ft))
    assert got == expected


@pytest.mark.parametrize("change", [
    lambda s: s * 2, lambda s: s.to_dense().sub(1).to_sparse(), lambda s: s.t(), lambda s: s.to_dense(), lambda s: s,
    lambda s: s.to_sparse_csr(), lambda s: s.double(),
])
@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr"])
def test_assert_close(change, layout):
    messages = []
    for t in (torch, ft):
        a = t.tensor([[0, 1.0, 0], [2, 0, 0], [0, 0, 3]]).to_sparse()
        try:
            t.testing.assert_close(getattr(a, layout)(), getattr(change(a), layout)())
            messages.append("close")
        except AssertionError as error:
            messages.append(str(error).replace("flowtorch.", "torch."))
    assert messages[0] == messages[1]


def test_gradients_are_clipped():
    e = embedding(ft)
    (e(ft.tensor([1, 2, 1])) * 2).sum().backward()
    dense = e.weight.grad.to_dense().numpy()
    norm = ft.nn.utils.clip_grad_norm_(e.parameters(), 1.0)
    np.testing.assert_allclose(norm.item(), np.linalg.norm(dense), rtol=1e-6)
    np.testing.assert_allclose(e.weight.grad.to_dense().numpy(), dense / np.linalg.norm(dense), rtol=1e-5)
