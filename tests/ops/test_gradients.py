"""First and second derivatives of indexing, joining, rearranging, sorting and products, against torch."""
from __future__ import annotations

import numpy as np
import pytest
from against_torch import flowtorch, same_gradients

A = np.random.default_rng(1).standard_normal((3, 4))
B = np.random.default_rng(2).standard_normal((4, 5))
C = np.random.default_rng(3).standard_normal((2, 3, 4))
V = np.random.default_rng(4).standard_normal(4)
W = np.random.default_rng(5).standard_normal(5)
SQUARE = A[:, :3].copy()
TIES = np.array([[1.0, 2, 2, 1], [3, 3, 3, 0], [0, 1, 2, 0]])

INDEX = "torch.tensor([2, 0, 2])"
ALONG = "torch.tensor([[0, 1, 1, 3], [2, 2, 0, 0]])"
DISTINCT = "torch.tensor([[0, 1, 2, 3], [2, 3, 1, 0]])"

ONE = [
    "a[0]", "a[:, 1]", "a[None, 1:]", "a[::2]", "a[..., -1]", f"a[{INDEX}]", f"a[:, {INDEX}]", f"a[{INDEX}, 1:]",
    f"a[{INDEX}, {INDEX}]", "a[a > 0]", "a[True]", "a.t()[1:, 0]", f"a.t()[{INDEX}]",
    f"a.gather(1, {ALONG})", f"a.index_select(1, {INDEX})", "a.take(torch.tensor([0, 5, -1, 5]))",
    "a.take_along_dim(torch.tensor([[1], [0], [3]]), 1)", "a.masked_fill(a > 0, 2.0)", "a.masked_select(a > 0)",
    f"a.index_fill(0, {INDEX}, 3.0)", "a.tril()", "a.triu(1)", "a.diag(1)", "torch.diag_embed(a, 1, 0, 2)",
    "a.flip(0, 1)", "a.roll(1, 0)", "a.roll(2)", "a.rot90()", "a.repeat(2, 1, 2)", "a.tile(2)",
    "a.repeat_interleave(2, 1)", "a.repeat_interleave(torch.tensor([1, 0, 2]), 0)", "a.flatten()", "a.t().flatten()",
    "a.unflatten(1, (2, 2))", "a.movedim(0, 1)", "a.T", "a.expand(2, 3, 4)", "a.tensor_split(2, 1)", "a.chunk(3, 1)",
    "a.unbind(1)", "a.split([1, 3], 1)", "a.narrow(1, 1, 2)", "torch.narrow_copy(a, 0, 1, 1)", "a.unfold(1, 2, 1)",
    "torch.trapezoid(a)", "torch.cumulative_trapezoid(a, dim=0)", "torch.combinations(a[0])",
    "torch.block_diag(a, a)", "torch.cartesian_prod(a[0], a[1])", "a.sort(1)[0]", "a.sort(0, True)[0]",
    "a.topk(2, 1)[0]", "a.kthvalue(2, 1)[0]", "a.median()", "a.median(1)[0]", "a.nanmedian(0)[0]", "a.mode(1)[0]",
    "a.quantile(0.3, 1)", "a.quantile(torch.tensor([0.2, 0.9], dtype=torch.double))", "a.nanquantile(0.5, 0)",
    "torch.einsum('ij->j', a)", "torch.einsum('ij->ji', a)", "torch.where(a > 0, a, 0.0)",
    "torch.where(a > 0, 1.0, a * a)", f"a.scatter(1, {ALONG}, 2.0)",
    "F.pad(a, (1, 2, -1, 1))", "torch.embedding(a, torch.tensor([[0, 2], [2, 2]]), 0)", "torch.squeeze(a[None], 0)",
    "a.as_strided((2, 2), (4, 1), 1)", "torch.select_copy(a, 0, 1)", "a.diagonal(1)",
]
TWO = [
    (f"a.scatter(1, {DISTINCT}, b)", A, A[:2] + 1), (f"a.scatter_add(1, {ALONG}, b)", A, A[:2] + 1),
    (f"a.index_add(0, {INDEX}, b, alpha=2.5)", A, C[0]), ("a.index_copy(0, torch.tensor([2, 0, 1]), b)", A, C[0]),
    (f"a.put({INDEX}, b[:3])", A, V), (f"a.put({INDEX}, b[:3], True)", A, V), ("a.masked_scatter(a > 0, b)", A, B),
    ("a.masked_fill(a > 0, b.sum())", A, V), ("torch.where(a > 0, a, b)", A, V),
    ("torch.cat([a, b.t()[:3]], 1)", A, B), ("torch.cat([a, b, a])", A, A + 1), ("torch.stack([a, b], 1)", A, A + 1),
    ("torch.hstack([a[0], b])", A, V), ("a.select_scatter(b, 0, 1)", A, V), ("a.slice_scatter(b[:2], 0, 1)", A, A + 1),
    ("a.diagonal_scatter(b[:3])", A, V), ("torch.kron(a, b)", A, V), ("torch.outer(a[0], b)", A, V),
    ("torch.inner(a, b)", A, V), ("torch.cross(a, b, dim=0)", A, A * 2 + 1),
    ("a @ b", A, B), ("a @ b", V, B), ("a @ b", A, V), ("a @ b", V, V), ("a @ b", C, B), ("a @ b", C, V),
    ("a @ b", V, C.swapaxes(1, 2).copy()), ("a @ b", C, C.swapaxes(1, 2).copy()), ("a[:, None] @ b", C, B),
    ("a @ b", C[0], C.swapaxes(1, 2).copy()), ("a.mm(b)", A, B), ("a.mv(b)", A, V), ("a.dot(b)", V, V + 1),
    ("torch.bmm(a, b.transpose(1, 2))", C, C + 1), ("torch.tensordot(a, b, 1)", A, B),
    ("torch.tensordot(a, b, ([1, 2], [0, 1]))", C, A), ("torch.einsum('ij,jk->ki', a, b)", A, B),
    ("torch.einsum('bij,ij->b', a, b)", C, A), ("torch.einsum('bij,j', a, b)", C, V),
    ("torch.einsum('...ij,jk->...k', a, b)", C, B), ("F.linear(a, b)", A, A + 1), ("F.linear(a, b)", C, A),
    ("F.linear(a, b)", V, A), ("F.linear(a, b)", C, V), ("a.index_put((torch.tensor([0, 2]),), b)", A, V),
    ("a.index_put((torch.tensor([0, 0]), torch.tensor([1, 1])), b[:2], accumulate=True)", A, V),
]
THREE = [
    ("F.linear(a, b, c)", A, A + 1, V[:3]), ("F.linear(a, b, c)", C, A, V[:3]), ("F.linear(a, b, c)", V, A, V[:3]),
    ("torch.addmm(a, b, c, beta=0.5, alpha=2)", W, A, B), ("torch.addmv(a, b, c, alpha=3)", V[:3], A, V),
    ("torch.addr(a, b, c, beta=2)", A, V[:3], V), ("torch.linalg.multi_dot([a, b, c])", A, B, B.T.copy()),
    ("torch.baddbmm(a, b, c, beta=2)", A[:, :3].copy(), C, C.swapaxes(1, 2).copy()),
    ("torch.addbmm(a, b, c, alpha=2)", A[:, :3].copy(), C, C.swapaxes(1, 2).copy()),
    ("torch.einsum('ij,jk,k->i', a, b, c)", A, B, W), ("torch.einsum('ij,ij,ij->', a, b, c)", A, A + 1, A - 1),
]
REDUCED = [f"a.scatter_reduce(1, {ALONG}, b, '{how}', include_self={own})"
           for how in ("sum", "prod", "mean", "amax", "amin") for own in (True, False)]
REDUCED += [f"a.index_reduce(0, {INDEX}, b, '{how}', include_self={own})"
            for how in ("prod", "mean", "amax", "amin") for own in (True, False)]


@pytest.mark.parametrize("source", ONE)
def test_of_one_tensor(source):
    same_gradients(source, [A])


@pytest.mark.parametrize("source", [
    "a[0] * a[1]", f"a[{INDEX}] ** 2", f"a.gather(1, {ALONG}) ** 3", "a.sort(1)[0] ** 2", "torch.cat([a, a]) ** 2",
    "a @ a.t()", "F.linear(a, a, a[:, 0])", "a.tril() ** 3", "torch.einsum('ij,ik->jk', a, a)", "a.flip(0) * a",
    "torch.where(a > 0, a, a * 2) ** 2", "a.masked_fill(a > 0, 1.0) ** 2", "a.repeat(2, 1) ** 2",
    "torch.embedding(a, torch.tensor([0, 2])) ** 2", "a.index_add(0, torch.tensor([1]), a[:1]) ** 2"])
def test_second_derivatives(source):
    same_gradients(source, [A], second=True)


@pytest.mark.parametrize(("source", "a", "b"), TWO)
def test_of_two_tensors(source, a, b):
    same_gradients(source, [a, b], second="@" in source or "linear" in source)


@pytest.mark.parametrize(("source", "a", "b", "c"), THREE)
def test_of_three_tensors(source, a, b, c):
    same_gradients(source, [a, b, c], second=True)


@pytest.mark.parametrize("source", REDUCED)
@pytest.mark.parametrize("values", [A, TIES])
def test_of_reductions_along_an_index(source, values):
    other = values[::-1] + 0.25
    same_gradients(source, [values, other[:2].copy() if "scatter" in source else other])


@pytest.mark.parametrize("source", ["a.sort(1)[0]", "a.median()", "a.kthvalue(3, 1)[0]"])
def test_of_equal_values(source):
    """Where values are equal the gradient may fall on any of them: only its sum per row is fixed."""
    t = flowtorch.from_numpy(TIES.copy()).requires_grad_()
    out = eval(source, {"a": t})
    out.sum().backward()
    assert t.grad.sum() == out.numel()


def test_complex_products():
    z = A + 1j * A[::-1]
    for source in ("a @ a.mH", "F.linear(a, a)", "torch.einsum('ij,kj->ik', a, a.conj())", "torch.vdot(a[0], a[1])"):
        same_gradients(f"torch.view_as_real({source} * 1)", [z])
