"""torch.masked against PyTorch: the functions over dims, masks and dtypes with gradients, and MaskedTensor."""
from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch

import flowtorch as ft

warnings.filterwarnings("ignore", message=".*MaskedTensor.*")
warnings.filterwarnings("ignore", message=".*Sparse.*")
LIBRARIES = (torch, ft)
DATA = np.random.default_rng(0).standard_normal((3, 4, 2)) * 3
MASK = np.random.default_rng(1).random((3, 4, 2)) < 0.6
MASK[1, :, 0] = False
REDUCTIONS = ("sum", "mean", "prod", "amax", "amin", "argmax", "argmin", "var", "std", "logsumexp", "median", "norm")
ALONG = ("softmax", "log_softmax", "softmin", "cumsum", "cumprod", "normalize")
DTYPES = ("float64", "float32", "int64", "int32", "uint8", "bfloat16", "complex128")


def outcome(f):
    """(dtype, values) of a result, or the kind of its exception."""
    try:
        r = f()
    except Exception as error:
        return type(error)
    dtype = str(r.dtype).rpartition(".")[2]
    r = r.detach()
    return dtype, (r.float() if dtype in ("bfloat16", "float16") else r).numpy()


def same(a, b, where):
    if isinstance(a, type) or isinstance(b, type):
        assert a is b or (isinstance(a, type) and isinstance(b, type) and "complex128" in where), (where, a, b)
        return
    assert a[0] == b[0], (where, a[0], b[0])
    low = a[0] in ("bfloat16", "float16")
    np.testing.assert_allclose(b[1], a[1], rtol=2e-2 if low else 1e-5, atol=1e-2 if low else 1e-6, err_msg=str(where))


def arguments(name, dim):
    return (2.0, dim) if name in ("norm", "normalize") else (dim,)


@pytest.mark.parametrize(("name", "dtype"), [(n, d) for n in REDUCTIONS + ALONG for d in DTYPES
                                             if (n, d) != ("median", "complex128")])     # they have no order
def test_function(name, dtype):
    dims = (0, 1, -1) if name in ALONG else (None, 0, -1, (0, 2), ())
    for dim, mask, keepdim in itertools.product(dims, (None, MASK, MASK[0], MASK[:, :1]), (False, True)):
        if keepdim and name in ALONG:
            continue
        found = []
        for t in LIBRARIES:
            x = t.tensor(DATA).abs().to(getattr(t, dtype)) if dtype == "uint8" else t.tensor(DATA).to(getattr(t, dtype))
            options = {"mask": None if mask is None else t.tensor(mask)}
            if name in REDUCTIONS:
                options["keepdim"] = keepdim
            found.append(outcome(lambda t=t, x=x, o=options: getattr(t.masked, name)(x, *arguments(name, dim), **o)))
        same(*found, (name, dtype, dim, keepdim))


@pytest.mark.parametrize("name", [n for n in REDUCTIONS + ALONG if n not in ("argmax", "argmin")])
def test_gradient(name):
    for dim in (0, -1):
        found = []
        for t in LIBRARIES:
            x = t.tensor(DATA, requires_grad=True)
            out = getattr(t.masked, name)(x, *arguments(name, dim), mask=t.tensor(MASK))
            out = t.where(out.isfinite(), out, t.zeros((), dtype=out.dtype))
            (out * t.arange(out.numel(), dtype=out.dtype).reshape(out.shape)).sum().backward()
            found.append(x.grad.numpy())
        np.testing.assert_allclose(found[1], found[0], rtol=1e-6, atol=1e-9, err_msg=str(dim))


def test_second_order():
    mask = ft.tensor(MASK)
    x = ft.tensor(DATA, requires_grad=True)
    for f in (lambda x: ft.masked.var(x, 1, mask=mask[:1]), lambda x: ft.masked.mean(x, (0, 1), mask=mask)):
        assert ft.autograd.gradgradcheck(lambda x, f=f: f(x).nan_to_num(), (x,))


@pytest.mark.parametrize("ord", [0, 1, 2, 3, float("inf"), float("-inf")])
def test_norms(ord):
    found = [outcome(lambda t=t: t.masked.norm(t.tensor(DATA), ord, 1, mask=t.tensor(MASK))) for t in LIBRARIES]
    same(*found, ord)


def test_logaddexp():
    found = []
    for t in LIBRARIES:
        x, m = t.tensor(DATA), t.tensor(MASK)
        found.append(outcome(lambda t=t, x=x, m=m: t.masked.logaddexp(x, x + 1, input_mask=m, other_mask=~m)))
    same(*found, "logaddexp")


def test_correction_and_dtype():
    for options in ({"unbiased": False}, {"correction": 0}, {"correction": 2}, {"dtype": "float64"}):
        for name in ("var", "std"):
            found = []
            for t in LIBRARIES:
                given = {k: getattr(t, v) if k == "dtype" else v for k, v in options.items()}
                x, m = t.tensor(DATA).float(), t.tensor(MASK)
                found.append(outcome(lambda t=t, x=x, m=m, g=given, n=name: getattr(t.masked, n)(x, 1, mask=m, **g)))
            same(*found, options)


@pytest.mark.parametrize("source", [
    "M.sum(x, 1, mask=torch.ones(2, 2, dtype=torch.bool))", "M.sum(x, 5)", "M.softmax(x)", "M.sum(x, (1, 1))",
    "M.sum(x, 1, mask=torch.ones(1, 3, 3, dtype=torch.bool))", "M.mean(x.to_sparse(), 1)", "M.mean(x.long(), 1)",
    "M.amax(x.to_sparse(), 1)", "M.prod(x.to_sparse(), 1)", "M.argmax(x, (0, 1))",
])
def test_refused(source):
    kinds = []
    for t in LIBRARIES:
        with pytest.raises((RuntimeError, TypeError, IndexError, ValueError)) as caught:
            eval(source, {"torch": t, "M": t.masked, "x": t.arange(9.0).reshape(3, 3)})
        kinds.append(caught.type)
    assert kinds[0] is kinds[1]


def test_sparse_sums():
    for source in ("x.to_sparse(), 1", "x.to_sparse(), 0, keepdim=True", "x.to_sparse_csr(), 1, keepdim=True"):
        found = []
        for t in LIBRARIES:
            x = t.tensor([[0.0, 2, 0], [3, 0, 4]])
            found.append(repr(eval(f"t.masked.sum({source})", {"t": t, "x": x})).replace("flowtorch.", "torch."))
        assert found[0] == found[1]


# ---------------------------------------------------------------- MaskedTensor

def samples(t):
    d = t.arange(6.0).reshape(2, 3) - 1
    k = t.tensor([[True, False, True], [False, False, True]])
    make = t.masked.masked_tensor
    return {
        "torch": t,
        "M": t.masked,
        "d": d,
        "k": k,
        "a": make(d, k),
        "b": make(d * 2, k),
        "o": make(d, ~k),
        "r": make(d.clone(), k, requires_grad=True),
        "e": make(d, t.zeros_like(k)),
        "i": make(d.long(), k),
    }


def expressions(text):
    """Expressions without blanks, separated by blanks."""
    return text.split()


@pytest.mark.parametrize("expression", expressions("""
a i r e a.get_data() a.get_mask() a.shape a.dtype a.layout a.dim() a.size() a.numel() len(a) a.device a+b a-b
a*b a/b a+o a+1 2*a a*d a+d -a a.neg() a.abs() a.sqrt() a.sin() a.log() a.sigmoid() torch.sin(a)
torch.add(a,b) a.add(b) a==b a>0 a.ge(b) a**2 a.pow(2) torch.atan2(a,b) torch.maximum(a,b) a.sum() a.sum(0)
a.sum(1) a.sum(dim=1,keepdim=True) a.mean() a.mean(0) a.prod() a.prod(1) a.amax() a.amax(0) a.amin(1)
a.argmax() a.argmax(1) a.argmin(0) a.std(1) a.var(1) a.all() a.any() e.sum() e.mean() e.amax() torch.sum(a,1)
torch.mean(a) a[0] a[0,1] a[:,0] a.t() a.transpose(0,1) a.reshape(3,2) a.view(6) a.flatten() a.unsqueeze(0)
a.expand(2,2,3) a.contiguous() a.clone() a.detach() a.to(torch.float64) a.to_tensor(0.) a.to_tensor(-9.)
a.to_dense() a.numpy() a.tolist() a.item() a.requires_grad r.requires_grad r*2 r.sum() a.softmax(1)
torch.softmax(a,1) torch.nn.functional.softmax(a,1) torch.where(k,a,b) torch.cat([a,b]) torch.stack([a,b])
a@b.t() torch.matmul(a,b.t()) M.is_masked_tensor(a) M.is_masked_tensor(d) M.as_masked_tensor(d,k)
M.masked_tensor(d,k[:,:2]) M.masked_tensor(d,d) M.masked_tensor([1.],k) M.masked_tensor(d,[True])
M.masked_tensor(a,k) isinstance(a,torch.Tensor) type(a).__name__ a.add_(1) a.masked_fill(k,0.) a.clamp(0,1)
a.cumsum(0) a.sort() a.median() a.norm() a.is_contiguous() a.bool() a.is_masked_tensor a.ndim bool(a)
a.nan_to_num() torch.ones_like(a) a.stride() a.view_as(d) a.add(1) a.sub(b) torch.isnan(a) a.log_softmax(1)
a.mul_(2) a.copy_(b) torch.masked.sum(a,1) a.data a.is_complex() a.type() a.round() a.eq(1)
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
r.sum() r*2 r*r r.mean() r.mean(1) r.amax(1) r.prod(1) r.sin() r.get_data() r.to_tensor(0.) r+b r/b r.sum(1)
torch.where(k,r,b) r.t() r.reshape(3,2) r.softmax(1)
"""))
def test_gradient_of_masked_tensor(expression):
    found = []
    for t in LIBRARIES:
        names = samples(t)
        out = eval(expression, names)
        (out.sum() if out.dim() else out).backward()
        grad = names["r"].grad
        found.append((grad.to_tensor(0).tolist(), grad.get_mask().tolist()))
    assert found[0][1] == found[1][1]
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-5, atol=1e-6)


def test_gradient_reaches_shared_data():
    x = ft.ones(2, 3, requires_grad=True)
    (ft.masked.as_masked_tensor(x, samples(ft)["k"]) * 3).sum().backward()
    assert x.grad.tolist() == [[3.0, 0.0, 3.0], [0.0, 0.0, 3.0]]
