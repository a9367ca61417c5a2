"""Compressed layouts against PyTorch: what is printed, what is refused, gradients, saving."""
from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
import torch

import flowtorch as ft

warnings.filterwarnings("ignore", message=".*Sparse.*")
LIBRARIES = (torch, ft)
ROWS = [[0, 2, 0, 1.0], [3, 0, 0, 0], [0, 0, 0, 5]]


def samples(t):
    d = t.tensor(ROWS, dtype=t.float64)
    return {
        "torch": t,
        "d": d,
        "c": d.to_sparse_csr(),
        "k": d.to_sparse_csc(),
        "w": t.arange(8, dtype=t.float64).reshape(4, 2),
        "s": d.to_sparse(),
        "b": d[:2].to_sparse_bsr((2, 2)),
        "q": d[:2].to_sparse_bsc((1, 2)),
        "z": t.sparse_csr_tensor([0, 0, 0], t.zeros(0, dtype=t.long), t.zeros(0, dtype=t.float64), (2, 3)),
        "bc": t.stack([d, d]).to_sparse_csr(),
        "m": t.ones(3, 2, dtype=t.float64),
        "h": t.stack([d, d * 2], -1).to_sparse_csr(dense_dim=1),
    }


def expressions(text):
    """Expressions without blanks, separated by blanks."""
    return text.split()


SHOWN = expressions("""
c k b q z bc h c.crow_indices() c.col_indices() c.values() k.ccol_indices() k.row_indices() c.ccol_indices()
c.indices() d.crow_indices() c._nnz() bc._nnz() c.layout c.is_sparse c.is_sparse_csr k.is_sparse_csr c.sparse_dim()
c.dense_dim() h.dense_dim() c.to_dense() q.to_dense() bc.to_dense() h.to_dense()
c.to_sparse() c.to_sparse_coo() c.to_sparse_csc() k.to_sparse_csr() c.to_sparse_csr() c.to_sparse_bsr((1,2))
b.to_sparse_csr() s.to_sparse_csr() s.to_sparse_csc() s.to_sparse(layout=torch.sparse_csr) c@w c@w[:,0] k@w b@w
torch.mm(c,w) torch.sparse.mm(c,w) c.matmul(w) d.t()@c torch.addmm(m,c,w) torch.addmm(m,c,w,beta=2,alpha=3)
torch.sparse.addmm(m,c,w) c@c.t() c.t() c.transpose(0,1) k.t() b.t() c+c d+c c+d c*2 2*c c*c c*d d*c
c*torch.tensor(2.) -c c.neg() c.abs() c.sin() c.sqrt() c.relu() c.sum() c.sum(0) c.sum(1) c.sum(1,keepdim=True)
torch.sparse.sum(c) c[0] c[0,1] c.select(0,0) c.select(1,1) c.clone() c.detach() c.to(torch.float32) c.float()
c.int() c.zero_() c.clone().mul_(2) torch.zeros_like(c) torch.ones_like(c) c.numpy() c.stride() c.is_contiguous()
c.data_ptr() c.untyped_storage() c.type() c.requires_grad_() c.requires_grad_()*2 c.requires_grad_()@w
c.requires_grad_().to_dense() c.requires_grad_().values() c.coalesce() c.is_coalesced() d.sparse_mask(c)
c.sparse_mask(c) torch.sparse.sampled_addmm(c,torch.ones(3,2,dtype=d.dtype),torch.ones(2,4,dtype=d.dtype))
torch.sparse_csr_tensor([0,1,2],[0,1],[1.,2.]) torch.sparse_csr_tensor([0,1,2],[0,1],[1.,2.],(2,3))
torch.sparse_csr_tensor([0,1,2],[0,1],[1.,2.],(2,3),dtype=torch.float64)
torch.sparse_csr_tensor([0,1,2],[0,1],[1,2],(2,3))
torch.sparse_csr_tensor([0,1,2],[0,5],[1.,2.],(2,3),check_invariants=True)
torch.sparse_csr_tensor([0,1,3],[0,1],[1.,2.],(2,3),check_invariants=True)
torch.sparse_csr_tensor([1,1,2],[0,1],[1.,2.],(2,3),check_invariants=True)
torch.sparse_csr_tensor([0,2,1],[0,1],[1.,2.],(2,3),check_invariants=True)
torch.sparse_csr_tensor([0,1],[0,1],[1.,2.],(2,3),check_invariants=True)
torch.sparse_csr_tensor([0,2,2],[1,0],[1.,2.],(2,3),check_invariants=True)
torch.sparse_csc_tensor([0,1,2],[0,1],[1.,2.],(3,2))
torch.sparse_bsr_tensor([0,1,2],[0,1],[[[1.,2.],[3,4]],[[5,6],[7,8]]])
torch.sparse_bsc_tensor([0,1,2],[0,1],[[[1.,2.],[3,4]],[[5,6],[7,8]]])
torch.sparse_compressed_tensor([0,1,2],[0,1],[1.,2.],(2,3),layout=torch.sparse_csr)
torch.sparse_compressed_tensor([0,1,2],[0,1],[1.,2.],layout=torch.sparse_csc)
torch.sparse_compressed_tensor([0,1,2],[0,1],[1.,2.])
torch.sparse_compressed_tensor([0,1,2],[0,1],[1.,2.],layout=torch.sparse_coo)
torch.sparse_csr_tensor([0,1,2],[0,1],[1.,2.],(2,3),requires_grad=True)
torch.nn.functional.linear(torch.ones(2,4,dtype=d.dtype),c) torch.zeros(2,3,layout=torch.sparse_csr)
d.to_sparse_bsr((2,2)) c.isnan() c.new_zeros(2,2) c.copy_(c) c.fill_(1) c.size() c.numel() len(c) c.dtype c.nbytes
c.item()
""")


@pytest.mark.parametrize("expression", SHOWN)
def test_what_is_shown(expression):
    found = []
    for t in LIBRARIES:
        try:
            found.append(repr(eval(expression, samples(t))).replace("flowtorch.", "torch."))
        except Exception as error:
            found.append(type(error))
    assert found[0] == found[1]


@pytest.mark.parametrize("expression", expressions("""
c.cos() c**2 c[0:1] bc@w c==c c.norm() c.unsqueeze(0) c.reshape(12) c.view(12) torch.cat([c,c]) c.any() c.max() s+c
s@c c@s c+k torch.ones(3).to_sparse_csr()
"""))
def test_refused(expression):
    for t in LIBRARIES:
        with pytest.raises((RuntimeError, IndexError, TypeError)):
            eval(expression, samples(t))


GRADIENTS = expressions("""
c.to_dense() c@w c@w[:,0] torch.sparse.mm(c,w) torch.addmm(m,c,w) torch.sparse.addmm(m,c,w) c.values() c*2 c+c
c.sum() d.to_sparse_csr() -c c.t() c.to_sparse() k@w s.to_sparse_csr() c+d c*c
d.to_sparse_csc() h.to_dense() torch.nn.functional.linear(w.t(),c) c.clone() c.to(torch.float32)
d.t()@c
""")


def weighted(t, out):
    """A sum in which every element counts for another weight."""
    out = out.to_dense() if out.layout is not t.strided else out
    return (out * t.arange(1, out.numel() + 1, dtype=out.dtype).reshape(out.shape)).sum()


@pytest.mark.parametrize("expression", ["k.to_dense()", "b.to_dense()", "bc.to_dense()", "c*d"])
def test_gradient_that_the_reference_lacks(expression):
    """That of the dense tensors, at the elements which are stored."""
    t = ft
    sparse = {k: v.requires_grad_() for k, v in samples(t).items() if k in ("k", "b", "bc", "c", "d")}
    dense = {k: v.detach().to_dense().requires_grad_() for k, v in sparse.items()}
    weighted(t, eval(expression, dict(sparse))).backward()
    weighted(t, eval(expression, dict(dense))).backward()
    for name, x in dense.items():
        if x.grad is None:
            assert sparse[name].grad is None
        else:
            want = x.grad
            if sparse[name].layout is not t.strided:
                stored = sparse[name].detach().clone()
                stored.values().fill_(1)
                want = want * stored.to_dense()
            assert want.any()
            np.testing.assert_array_equal(sparse[name].grad.to_dense().numpy(), want.numpy())


@pytest.mark.parametrize("expression", GRADIENTS)
def test_gradient(expression):
    found = []
    for t in LIBRARIES:
        names = samples(t)
        leaves = [names[k].requires_grad_() for k in ("c", "k", "b", "bc", "d", "w", "m", "s", "h")]
        weighted(t, eval(expression, names)).backward()
        grads = [x.grad for x in leaves]
        found.append([None if g is None else (str(g.layout)[-3:], g.to_dense().tolist()) for g in grads])
    for a, b in zip(*found, strict=True):
        assert (a is None) == (b is None) and (a is None or a[0] == b[0] or expression in ("c*d", "c+d")), (a, b)
        if a is not None:
            np.testing.assert_allclose(b[1], a[1])


def test_values_keep_their_history():
    for t in LIBRARIES:
        v = t.tensor([1.0, 2.0], requires_grad=True)
        x = t.sparse_csr_tensor(t.tensor([0, 1, 2]), t.tensor([0, 1]), v, (2, 3))
        assert x.grad_fn.name() == "SparseCompressedTensorBackward0"
        (x.to_dense() * 3).sum().backward()
        assert v.grad.tolist() == [3.0, 3.0]


@pytest.mark.parametrize("name", ["c", "k", "b", "q", "z", "bc", "h"])
def test_saving(name):
    x = samples(ft)[name]
    buffer = io.BytesIO()
    ft.save(x, buffer)
    buffer.seek(0)
    assert repr(ft.load(buffer)) == repr(x)
    buffer.seek(0)
    assert repr(torch.load(buffer)) == repr(x).replace("flowtorch.", "torch.")


def test_conversions_of_random_matrices():
    generator = np.random.default_rng(0)
    for shape in [(4, 6), (6, 4), (1, 8), (8, 2)]:
        a = generator.standard_normal(shape) * (generator.random(shape) < 0.4)
        x = ft.tensor(a)
        for make in ("to_sparse", "to_sparse_csr", "to_sparse_csc"):
            for again in ("to_sparse", "to_sparse_csr", "to_sparse_csc"):
                assert getattr(getattr(x, make)(), again)().to_dense().tolist() == a.tolist()
        for size in [(1, 2), (1, 1)]:
            assert x.to_sparse_bsr(size).to_dense().tolist() == a.tolist()
            assert x.to_sparse_bsc(size).to_dense().tolist() == a.tolist()
        y = ft.tensor(generator.standard_normal((shape[1], 3)))
        for make in ("to_sparse", "to_sparse_csr", "to_sparse_csc"):
            np.testing.assert_allclose((getattr(x, make)() @ y).numpy(), a @ y.numpy(), atol=1e-12)
