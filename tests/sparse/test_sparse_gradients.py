"""Sparse gradients of dense parameters, and what the engine and the optimisers do with them."""
from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import flowtorch as ft

warnings.filterwarnings("ignore", message=".*Sparse invariant checks.*")
LIBRARIES = (torch, ft)
WEIGHT = np.arange(15, dtype=np.float32).reshape(5, 3) / 7


def text(x):
    return repr(x).replace("flowtorch.", "torch.")


def embedding(t, **options):
    e = t.nn.Embedding(5, 3, sparse=True, **options)
    with t.no_grad():
        e.weight.copy_(t.tensor(WEIGHT.tolist()))
    return e


@pytest.mark.parametrize("options", [{}, {"padding_idx": 2}])
def test_embedding(options):
    found = []
    for t in LIBRARIES:
        e = embedding(t, **options)
        out = e(t.tensor([[1, 2], [2, 4]]))
        (out * t.arange(12.0).reshape(2, 2, 3)).sum().backward()
        first = text(e.weight.grad)
        e(t.tensor([1])).sum().backward()
        second = text(e.weight.grad.coalesce())
        e.weight.sum().backward()
        found.append((first, second, text(e.weight.grad)))
    assert found[0] == found[1]


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_embedding_bag(mode):
    found = []
    for t in LIBRARIES:
        e = t.nn.EmbeddingBag(5, 3, sparse=True, mode=mode)
        e(t.tensor([1, 2, 2, 4, 0]), t.tensor([0, 2])).pow(1).sum().backward()
        assert e.weight.grad.layout is t.sparse_coo
        found.append(e.weight.grad.to_dense().tolist())
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_scale_by_frequency_is_refused():
    for t in LIBRARIES:
        e = embedding(t, scale_grad_by_freq=True)
        with pytest.raises(RuntimeError, match="scale_grad_by_freq not supported with sparse gradients"):
            e(t.tensor([1, 1])).sum().backward()


def test_gather():
    found = []
    for t in LIBRARIES:
        x = t.arange(12.0).reshape(3, 4).requires_grad_()
        t.gather(x, 1, t.tensor([[0, 1], [2, 2]]), sparse_grad=True).pow(2).sum().backward()
        found.append(text(x.grad))
    assert found[0] == found[1]


def test_dense_gradient_keeps_its_identity():
    for t in LIBRARIES:
        e = embedding(t)
        e.weight.sum().backward()
        grad = e.weight.grad
        e(t.tensor([1, 1])).sum().backward()
        assert e.weight.grad is grad and grad[1].tolist() == [3.0, 3.0, 3.0]


def test_sparse_and_dense_meet_inside_the_graph():
    found = []
    for t in LIBRARIES:
        w = t.tensor(WEIGHT.tolist(), requires_grad=True)
        v = w * 2
        (t.nn.functional.embedding(t.tensor([1, 3, 1]), v, sparse=True).sum() + (v * v).sum()).backward()
        found.append(w.grad.to_dense().tolist())
        w.grad = None
        v = w * 2
        t.nn.functional.embedding(t.tensor([1, 3, 1]), v, sparse=True).sum().backward()
        found[-1].append(w.grad.to_dense().tolist())
    np.testing.assert_allclose(np.array(found[0][:5]), np.array(found[1][:5]), rtol=1e-6)
    np.testing.assert_allclose(np.array(found[0][5]), np.array(found[1][5]), rtol=1e-6)


OPTIMIZERS = {
    "SGD": {"lr": 0.1}, "SGD momentum": {"lr": 0.1, "momentum": 0.9}, "Adagrad": {"lr": 0.1, "lr_decay": 0.01},
    "SparseAdam": {"lr": 0.1}, "SparseAdam maximize": {"lr": 0.1, "maximize": True},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(name):
    found = []
    for t in LIBRARIES:
        e = embedding(t)
        opt = getattr(t.optim, name.split()[0])(e.parameters(), **OPTIMIZERS[name])
        for step in range(4):
            opt.zero_grad()
            e(t.tensor([[1, 2, step], [2, 4, 0]])).pow(2).sum().backward()
            opt.step()
        found.append(e.weight.tolist())
    np.testing.assert_allclose(*found, rtol=1e-5)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "RMSprop"])
def test_optimizer_without_sparse_steps(name):
    for t in LIBRARIES:
        e = embedding(t)
        opt = getattr(t.optim, name)(e.parameters(), lr=0.1)
        e(t.tensor([1])).sum().backward()
        with pytest.raises(RuntimeError, match="sparse"):
            opt.step()


@pytest.mark.parametrize("through", ["to_dense", "itself"])
def test_gradient_of_sampled_addmm_has_the_layout_of_what_comes_in(through):
    found = []
    for t in LIBRARIES:
        mask = t.eye(3, dtype=t.float64).to_sparse_csr().requires_grad_()
        a = t.arange(6.0, dtype=t.float64).reshape(3, 2).requires_grad_()
        out = t.sparse.sampled_addmm(mask, a, a.detach().t() + 1, beta=0.2, alpha=0.6)
        weight = t.arange(9.0, dtype=t.float64).reshape(3, 3)
        grads = t.autograd.grad(out.to_dense() if through == "to_dense" else out, (mask, a), weight)
        found.append((text(grads), type(out.grad_fn).__name__))
    assert found[0] == found[1]
