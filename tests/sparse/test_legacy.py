"""Old names of constructors, resizing, and reductions other than the sum in sparse products."""
from __future__ import annotations

import warnings

import pytest
import torch

import flowtorch as ft

warnings.filterwarnings("ignore", message=".*Sparse.*")
LIBRARIES = (torch, ft)


def names(t):
    i, v = t.tensor([[0, 1], [2, 0]]), t.tensor([3.0, 4.0])
    csr = t.tensor([[0, 2.0, 3], [4, 0, 0], [0, 0, 0]]).to_sparse_csr()
    return {"torch": t, "S": t.sparse, "i": i, "v": v, "s": t.sparse_coo_tensor(i, v, (2, 3)), "c": csr,
            "d": t.arange(6.0).reshape(3, 2)}


@pytest.mark.parametrize("source", [
    "S.FloatTensor(i, v, torch.Size([2, 3]))", "S.FloatTensor(i, v)", "S.FloatTensor(2, 3)",
    "S.DoubleTensor(i, v, (2, 3))",
    "S.FloatTensor(torch.Size([2, 3]))", "S.LongTensor(i, v.long(), (2, 3))", "isinstance(s, S.FloatTensor)",
    "isinstance(s, S.DoubleTensor)", "isinstance(v, S.FloatTensor)", "S.FloatTensor", "S.FloatTensor.dtype",
    "S.FloatTensor.is_cuda", "s.clone().sparse_resize_((3, 3), 2, 0)", "s.clone().sparse_resize_((1, 3), 2, 0)",
    "s.clone().sparse_resize_((2, 3, 2), 2, 1)", "s.clone().resize_as_sparse_(torch.sparse_coo_tensor((4, 4)))",
    "s.clone().sparse_resize_and_clear_((3, 3), 1, 1)", "S.mm(c, d, 'sum')", "S.mm(c, d, 'mean')", "S.mm(c, d, 'amax')",
    "S.mm(c, d, 'amin')", "S.mm(c, d, 'bad')", "S.mm(s, d, 'sum')",
])
def test_same_as_the_reference(source):
    found = []
    for t in LIBRARIES:
        try:
            found.append(repr(eval(source, names(t))).replace("flowtorch.", "torch."))
        except Exception as error:
            found.append(type(error))
    assert found[0] == found[1]


@pytest.mark.parametrize("reduce", ["sum", "mean", "amax", "amin"])
def test_gradients_of_reducing_products(reduce):
    found = []
    for t in LIBRARIES:
        n = names(t)
        c, d = n["c"].requires_grad_(), n["d"].requires_grad_()
        (t.sparse.mm(c, d, reduce) * t.arange(1.0, 7).reshape(3, 2)).sum().backward()
        found.append((c.grad.layout is t.sparse_csr, c.grad.to_dense().tolist(), d.grad.tolist()))
    assert found[0] == found[1]
