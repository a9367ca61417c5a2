"""COO tensors against PyTorch: construction, printing, arithmetic, products, shapes, gradients."""
from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
import torch

import flowtorch as ft

warnings.filterwarnings("ignore", message=".*Sparse invariant checks.*")
warnings.filterwarnings("ignore", message=".*Sparse CSR tensor support.*")
LIBRARIES = (torch, ft)


def expressions(text):
    """Expressions without blanks, separated by blanks."""
    return text.split()


def samples(t, dtype="float64"):
    """Tensors of one library: coalesced and not, hybrid, empty, dense ones that fit."""
    d = getattr(t, dtype)
    i = t.tensor([[0, 1, 1, 0], [2, 0, 2, 2]])
    v = t.tensor([3.0, -4.0, 5.5, 6.25], dtype=d)
    s = t.sparse_coo_tensor(i, v, (2, 3))
    return {
        "t": t,
        "i": i,
        "v": v,
        "s": s,
        "c": s.coalesce(),
        "o": t.sparse_coo_tensor([[0, 0, 1], [0, 2, 1]], t.tensor([1.0, 2.0, 7.0], dtype=d), (2, 3)).coalesce(),
        "h": t.sparse_coo_tensor(t.tensor([[0, 2, 0]]), t.arange(6, dtype=d).reshape(3, 2) + 1, (3, 2)),
        "e": t.sparse_coo_tensor((2, 3), dtype=d),
        "b": t.sparse_coo_tensor([[0, 1, 1], [0, 0, 1], [2, 1, 0]], t.tensor([1.0, 2.0, 3.0], dtype=d), (2, 2, 3)),
        "d": t.arange(6, dtype=d).reshape(2, 3) + 1,
        "w": t.arange(12, dtype=d).reshape(3, 4) - 5,
    }


def canonical(x):
    """A result as plain values: layout, shape, dtype and elements."""
    if isinstance(x, (tuple, list)):
        return [canonical(y) for y in x]
    if not hasattr(x, "layout"):
        return x if isinstance(x, (int, float, bool, str)) else repr(x)
    layout, dtype = str(x.layout).rpartition(".")[2], str(x.dtype).rpartition(".")[2]
    dense = x.detach().to_dense()
    if dense.dtype in (torch.bfloat16, ft.bfloat16, torch.float16, ft.float16):
        dense = dense.float()
    return layout, dtype, tuple(x.shape), dense.tolist()


def close(a, b):
    if isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            close(x, y)
    elif isinstance(a, (float, complex)):
        np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-9)
    else:
        assert a == b


def both(expression, dtype="float64"):
    """Evaluate for both libraries; their results, or both kinds of exceptions."""
    found = []
    for t in LIBRARIES:
        try:
            found.append(eval(expression, {"torch": t}, samples(t, dtype)))
        except Exception as error:
            found.append(error)
    expected, got = found
    if isinstance(expected, Exception):
        assert isinstance(got, Exception), f"{expression}: expected {expected!r}"
        assert type(got) is type(expected), f"{expression}: {got!r} for {expected!r}"
        return None
    if isinstance(got, Exception):
        raise got
    return found


VALUES = expressions("""
s+s c+c c+o s+o s-o d+s d-c s+e e+e h+h d.add(s,alpha=2) s.add(c,alpha=3) s.sub(o,alpha=2) s*2 2*s s*0 s/2 s*s c*o
s*c c*s s*d d*s s*torch.tensor(3.) torch.tensor(2.)*s s/torch.tensor(4.) s.div(2,rounding_mode='floor')
s.div(2,rounding_mode='trunc') s//2 -s h*2 h*h s*e s**2 c**3 s.pow(2) c.pow(0.5) s.neg() s.abs() s.sin() s.sinh()
s.asinh() s.tan() s.tanh() s.atan() s.ceil() s.floor() s.round() s.trunc() s.frac() s.sign() s.sgn() s.sqrt()
s.square() s.expm1() c.log1p() s.erf() s.relu() s.nan_to_num() s.deg2rad() s.rad2deg() s.isnan() s.isinf()
s.signbit() s.conj() s.isposinf() s.isneginf() s.positive() torch.nn.functional.relu(s) h.sin() e.sin() s.sum()
s.sum(0) s.sum(1) s.sum(-1) s.sum((0,1)) s.sum(0,keepdim=True) h.sum() h.sum(0) h.sum(1) h.sum((0,1)) b.sum((0,2))
b.sum(1) s.sum(dtype=torch.float32) torch.sparse.sum(s) torch.sparse.sum(s,0) torch.sparse.sum(h,0)
torch.sparse.sum(h,1) torch.sparse.sum(b,(0,1)) torch.sparse.sum(b,[2]) torch.sparse.sum(s,0,dtype=torch.float32)
s.norm() torch.norm(s) h.norm() s.any() s.sum().item() s@w s.mm(w) torch.mm(s,w) torch.sparse.mm(s,w)
torch.sparse.mm(s,s.t()) s@s.t() w.t()@s.t() torch.mm(w.t(),s.t()) s@w[:,0] torch.mv(s,w[:,0])
torch.addmm(d[:,:1].expand(2,4),s,w) torch.addmm(torch.ones(2,4,dtype=d.dtype),s,w,beta=2,alpha=3)
torch.sparse.addmm(torch.ones(2,4,dtype=d.dtype),s,w,beta=2) torch.smm(s,w) torch.hspmm(s,w)
torch.nn.functional.linear(s,w.t()) torch.nn.functional.linear(d,c) torch.bmm(torch.stack([s,c]),torch.stack([w,w]))
e@w torch.matmul(s,w) s.matmul(w) s.to_dense() h.to_dense() e.to_dense() b.to_dense() d.to_sparse() d.to_sparse(1)
d.to_sparse(2) s.to_sparse() torch.tensor(3.).to_sparse() torch.zeros(0).to_sparse() torch.zeros(2,3).to_sparse()
d.sparse_mask(s) d.sparse_mask(c) s.sparse_mask(o) c.sparse_mask(e) e.sparse_mask(c) s.t() s.T s.transpose(0,1)
s.permute(1,0) b.permute(2,0,1) b.transpose(0,2) s.unsqueeze(0) s.unsqueeze(-1) s.unsqueeze(1) h.unsqueeze(0)
h.unsqueeze(2) s[0] s[1] s[-1] s[0,2] s[:,0] h[0] h[0,1] h[:,1] b[0] b[:,1] b[0,1,2] s[None] s[...,0] s.select(1,2)
list(s) s.unbind(1) s.index_select(1,torch.tensor([0,2])) s.index_select(0,torch.tensor([1,1,0]))
h.index_select(1,torch.tensor([1])) s.narrow_copy(0,0,1) h.narrow_copy(0,1,2) torch.cat([s,o]) torch.cat([s,c],1)
torch.cat([h,h],1) torch.stack([s,o]) torch.stack([s,o],1) torch.stack([h,h]) s.clone() s.detach()
s.to(torch.float32) s.float() s.double() s.half() s.bfloat16() s.int() s.bool() torch.zeros_like(s)
torch.empty_like(s) torch.zeros_like(h) s.new_zeros(2,4) s.cpu() torch.zeros(2,3,layout=torch.sparse_coo)
torch.empty(2,3,layout=torch.sparse_coo) s.clone().zero_() s.clone().mul_(2) s.clone().add_(c) s.clone().div_(2)
d.clone().add_(s) d.clone().sub_(s) d.clone().mul_(s) d.clone().add_(s,alpha=0.5) s.clone().neg_() c.clone().sin_()
s.clone().copy_(o) c.coalesce() s.is_coalesced() c.is_coalesced() s.size() s.shape s.dim() s.numel() s._nnz()
s.sparse_dim() h.sparse_dim() h.dense_dim() s.layout s.is_sparse d.is_sparse s.is_sparse_csr len(s) s.stride()
s.is_contiguous() s.dtype s.element_size() s.is_floating_point() s.requires_grad s.is_leaf s.type()
torch.typename(s) s._indices() s._values() c.indices() c.values() s.is_same_size(c) torch.is_tensor(s)
s.coalesce()._nnz() (c+o).is_coalesced() s.t().is_coalesced() (c*2).is_coalesced() torch.sparse.softmax(s,1)
torch.sparse.softmax(s,0) torch.sparse.log_softmax(s,1) torch.sparse.log_softmax(s,0) torch.sparse.softmax(b,2)
torch.sparse.softmax(b,0) torch.sparse.softmax(h,0) torch.sparse.softmax(h,1)
torch.sparse.softmax(s,1,dtype=torch.float32) torch.sparse.spdiags(torch.ones(2,3),torch.tensor([0,1]),(3,3))
torch.sparse.spdiags(w,torch.tensor([-1,0,2]),(3,5)) torch.sparse_coo_tensor(i,v)
torch.sparse_coo_tensor(i,v,(2,3),dtype=torch.float32) torch.sparse_coo_tensor([[0,1],[2,0]],[3,4],(2,3))
torch.sparse_coo_tensor([[0,1],[2,0]],[3.,4]) torch.sparse_coo_tensor(size=(2,3))
torch.sparse_coo_tensor(torch.zeros(2,0,dtype=torch.long),torch.zeros(0,3))
torch.sparse_coo_tensor(torch.zeros(2,0,dtype=torch.long),torch.zeros(0,3),(2,2,3))
torch.sparse_coo_tensor(i,v,(2,3),is_coalesced=True).is_coalesced()
torch.sparse_coo_tensor(torch.zeros(0,1,dtype=torch.long),torch.tensor([1.]),())
torch.sparse_coo_tensor(i,v,(2,3),requires_grad=True).requires_grad
""")


@pytest.mark.parametrize("expression", VALUES)
def test_value(expression):
    found = both(expression)
    if found is not None:
        close(canonical(found[0]), canonical(found[1]))


PRINTED = expressions("""
s c h e b s.t() h[0] s.int() s.bool() s.half() s*2 d.to_sparse() s.requires_grad_() (s.requires_grad_()*2)
(s.requires_grad_()@w) s.requires_grad_().to_dense() s.requires_grad_().coalesce() s.requires_grad_().sin()
torch.zeros(0).to_sparse() torch.tensor(3.).to_sparse() torch.sparse_coo_tensor(i,v.requires_grad_(),(2,3))
torch.sparse.mm(s.requires_grad_(),w) s.requires_grad_().neg() d.requires_grad_().to_sparse()
torch.sparse.softmax(s.requires_grad_(),1) s.requires_grad_().t() s+s c+c s+s.clone() d.sparse_mask(s)
s.index_select(0,torch.tensor([1]))
""")


@pytest.mark.parametrize("expression", PRINTED)
def test_printing(expression):
    expected, got = both(expression, "float32")
    assert repr(got).replace("flowtorch.", "torch.") == repr(expected)


ERRORS = expressions("""
s.indices() s.values() s+d s-d s+1 s/d s/s s**0 s.cos() s.exp() s==s s.max() s.argmax() s>0 s.mean() s.view(6)
s.reshape(6) s.expand(2,3) s.item() s.numpy() s.data_ptr() s.tolist() s[0:1] s[torch.tensor([0])] s.nbytes
s.untyped_storage() bool(s) h.transpose(0,1) h.t() s.squeeze() s.sort() s.topk(1) s.prod() s.amax() s.var()
s.cumsum(0) s.nonzero() s.split(1) s.flip(0) s.roll(1) s.reciprocal() s.rsqrt() s.logical_not() s&s
torch.maximum(s,s) torch.lerp(s,s,0.5) s.clamp(0,1) s.sigmoid() torch.softmax(s,1) torch.equal(s,s)
torch.allclose(s,s) s.fill_(1) torch.ones_like(s) torch.ones(2,3,layout=torch.sparse_coo) d.copy_(s) s.to_sparse(1)
torch.sparse_coo_tensor(i,v[:2],(2,3)) torch.sparse_coo_tensor(i[0],v,(2,3)) torch.sparse_coo_tensor(i,v,(2,))
torch.sparse_coo_tensor(i,v,(2,3,4)) torch.sparse_coo_tensor(i,v,(2,3),is_coalesced=True,check_invariants=True)
s.bmm(s) torch.matmul(torch.stack([s,s]),torch.stack([w,w])) s.clone().add_(d) d+h s@s s.requires_grad_().mul_(2)
torch.sparse_coo_tensor(i,v,(2,2),check_invariants=True) torch.sparse_coo_tensor(-i,v,(2,3),check_invariants=True)
d.coalesce() d.indices() s[5] s[0,0,0] s.select(3,0) s.index_select(1,torch.tensor([7]))
""")


@pytest.mark.parametrize("expression", ERRORS)
def test_error(expression):
    for t in LIBRARIES:
        with pytest.raises((RuntimeError, TypeError, IndexError, ValueError)):
            eval(expression, {"torch": t}, samples(t))
    both(expression)


def test_an_unsupported_op_is_named():
    with pytest.raises(NotImplementedError, match=r"Could not run 'aten::cos' with arguments from the 'SparseCPU'"):
        samples(ft)["s"].cos()


GRADIENTS = expressions("""
s.to_dense() c.to_dense() torch.mm(s,w) torch.sparse.mm(s,w) torch.sparse.mm(c,w) s@w[:,0] torch.sparse.mm(c,c.t())
torch.addmm(torch.ones(2,4,dtype=d.dtype),s,w) torch.sparse.addmm(torch.ones(2,4,dtype=d.dtype),s,w) torch.mul(s,d)
torch.mul(d,s) s*c c*c s*2 -s c+c s+o d+s d-s s.sum() torch.sparse.sum(s) torch.sparse.sum(s,0)
torch.sparse.sum(h,1) torch.sparse.sum(b,(0,1)) torch.sparse.softmax(s,1) torch.sparse.log_softmax(c,0) s.t() c.t()
s.coalesce() s.coalesce().values() c.values() s.sparse_mask(o) d.sparse_mask(s) d.sparse_mask(c) s**2 s/2
s.to(torch.float32) s.clone() d.to_sparse() torch.sparse_coo_tensor(i,v,(2,3)) w.t()@s.t()
torch.nn.functional.linear(d,c) h.to_dense() h*2
""")


@pytest.mark.parametrize("expression", GRADIENTS)
def test_gradient(expression):
    results = []
    for t in LIBRARIES:
        names = samples(t)
        leaves = [names[k].requires_grad_() for k in ("s", "c", "o", "h", "b", "d", "w", "v")]
        if "v,(2,3)" not in expression:
            names["v"] = names["v"].detach()
        out = eval(expression, {"torch": t}, names)
        out = out.to_dense() if out.layout is not t.strided else out
        weights = t.arange(1, out.numel() + 1, dtype=out.dtype).reshape(out.shape)
        (out * weights).sum().backward()
        results.append([None if x.grad is None else canonical(x.grad)[1:] for x in leaves])
    close(*results)


def test_second_order():
    """Twice through sparse products and powers, against finite differences of the values."""
    i = ft.tensor([[0, 1, 1], [2, 0, 2]])
    w = ft.arange(12, dtype=ft.float64).reshape(3, 4).requires_grad_()

    def f(v, w):
        s = ft.sparse_coo_tensor(i, v, (2, 3))
        return (ft.sparse.mm(s, w) ** 2).sum() + (s * s).sin().to_dense().sum()
    v = ft.tensor([0.3, -0.4, 0.5], dtype=ft.float64, requires_grad=True)
    assert ft.autograd.gradcheck(f, (v, w))
    assert ft.autograd.gradgradcheck(f, (v, w))


def test_gradcheck_of_sparse_functions():
    check = ft.sparse.as_sparse_gradcheck(ft.autograd.gradcheck)
    s = samples(ft)["c"].requires_grad_()
    assert check(lambda x: ft.sparse.mm(x, samples(ft)["w"]), (s,), masked=True)


def test_saving():
    for s in (samples(ft)[k] for k in "schb"):
        buffer = io.BytesIO()
        ft.save({"s": s}, buffer)
        buffer.seek(0)
        again = ft.load(buffer)["s"]
        assert repr(again) == repr(s)
        buffer.seek(0)
        assert repr(torch.load(buffer)["s"]) == repr(s).replace("flowtorch.", "torch.")
        import copy

        assert repr(copy.deepcopy(s)) == repr(s)


def test_loading_what_torch_saved():
    buffer = io.BytesIO()
    torch.save(samples(torch)["c"], buffer)
    buffer.seek(0)
    assert repr(ft.load(buffer)).replace("flowtorch.", "torch.") == repr(samples(torch)["c"])


def test_large_spaces_have_no_dense_memory():
    i = ft.tensor([[5, 2 ** 20], [2 ** 19, 7]])
    s = ft.sparse_coo_tensor(i, ft.tensor([1.0, 2.0]), (2 ** 21, 2 ** 21))
    assert (s + s).coalesce()._nnz() == 2
    assert (s.t() * 2).sum().item() == 6.0
    assert (s @ ft.ones(2 ** 21)).sum().item() == 3.0
