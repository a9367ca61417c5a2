"""Decompositions, systems, norms and powers of matrices: values, derivatives and errors like torch's."""

from __future__ import annotations

import numpy as np
import pytest
from against_torch import close, same, same_gradients

import flowtorch

SETUP = """
L = torch.linalg
rng = np.random.default_rng(3)
make = lambda *s: torch.from_numpy(rng.standard_normal(s))
A, B, tall, wide = make(2, 4, 4), make(2, 4, 3), make(2, 5, 3), make(2, 3, 5)
C = torch.complex(make(3, 3), make(3, 3))
v, M = make(3), make(3, 3)
P = A @ A.mT + torch.eye(4, dtype=torch.float64)
S = torch.eye(3); S[1, 1] = 0
singular = torch.stack([torch.eye(3), S])
negative = torch.stack([torch.eye(3), -torch.eye(3)])
half, whole = torch.eye(3).half(), torch.eye(3).long()
"""

# Where several answers are right, what is compared is the same for all of them.
VALUES = [
    "L.inv(A)",
    "L.inv_ex(singular)[1]",
    "torch.inverse(C)",
    "L.det(A)",
    "L.det(C)",
    "torch.slogdet(A)",
    "torch.logdet(P)",
    "L.slogdet(C)",
    "L.det(torch.zeros(0, 0))",
    "L.solve(A, B)",
    "L.solve(M, v)",
    "L.solve(A, torch.ones(2, 4).double())",
    "L.solve(A, B.mT, left=False)",
    "L.solve_ex(singular, singular)[1]",
    "L.solve_triangular(A, B, upper=True)",
    "L.solve_triangular(A, B.mT, upper=False, left=False, unitriangular=True)",
    "torch.triangular_solve(B, A, transpose=True)[0]",
    "L.cholesky(P)",
    "L.cholesky(P, upper=True)",
    "L.cholesky_ex(negative)[1]",
    "torch.cholesky_inverse(L.cholesky(P))",
    "torch.cholesky_solve(B, L.cholesky(P))",
    "[t for t in L.lu(tall)]",
    "[t for t in L.lu(wide)]",
    "L.lu_factor(A)[1]",
    "L.lu_factor_ex(singular)[2]",
    "L.lu_solve(*L.lu_factor(A), B)",
    "L.lu_solve(*L.lu_factor(A), B.mT, left=False, adjoint=True)",
    "torch.lu_unpack(*L.lu_factor(A))[0]",
    "L.ldl_solve(*L.ldl_factor(P), B)",
    "(lambda q, r: (q @ r))(*L.qr(tall))",
    "(lambda q, r: (q @ r))(*L.qr(wide, 'complete'))",
    "L.qr(tall, 'r')[0]",
    "L.eigvalsh(P)",
    "L.eigvalsh(P, UPLO='U')",
    "L.eigvals(A).abs().sort()[0]",
    "(lambda w, V: (V @ torch.diag_embed(w) @ L.inv(V)).real)(*L.eig(A))",
    "L.svdvals(tall)",
    "(lambda U, S, Vh: (U * S[..., None, :] @ Vh))(*L.svd(tall, full_matrices=False))",
    "[tuple(t.shape) for t in L.svd(tall)]",
    "[tuple(t.shape) for t in torch.svd(wide, some=False)]",
    "L.lstsq(tall, tall[..., :2])[0]",
    "L.lstsq(tall, make(2, 5, 2), driver='gelsd')[1]",
    "L.lstsq(wide, wide[..., :1])[2]",
    "L.pinv(wide)",
    "L.pinv(P, hermitian=True)",
    "L.pinv(S, atol=0.5)",
    "L.matrix_rank(singular)",
    "L.matrix_rank(P, tol=3.0, hermitian=True)",
    *[f"L.matrix_norm(A, {o})" for o in ("'fro'", "'nuc'", "1", "-1", "2", "-2", "float('inf')", "-float('inf')")],
    "L.matrix_norm(make(3, 2, 4), 'nuc', (0, 2), True)",
    "L.norm(M)",
    "L.norm(M, 1)",
    "L.norm(M, 3, dim=0)",
    "torch.norm(M, 'nuc')",
    *[f"L.cond(A, {o})" for o in ("None", "'fro'", "'nuc'", "1", "-2")],
    "L.matrix_power(A, 5)",
    "L.matrix_power(A, -2)",
    "L.matrix_power(A, 0)",
    "L.matrix_exp(A)",
    "L.multi_dot([v, M, tall[0].mT, tall[0]])",
    "L.tensorinv(make(4, 6, 8, 3), ind=2)",
    "L.tensorsolve(make(2, 3, 6), make(2, 3))",
    "L.vander(v, N=4)",
    "L.vander(torch.tensor(2), N=3)",
    "L.vecdot(C, C)",
    "L.diagonal(A)",
    "L.householder_product(*torch.geqrf(tall))",
    "torch.ormqr(*torch.geqrf(tall), make(2, 5, 2), True, True)",
    "L.cross(v, v.flip(0))",
    "torch.trace(M)",
    "torch.pinverse(M)",
]


@pytest.mark.parametrize("source", VALUES)
def test_values(source):
    close(source, SETUP)


def test_results_have_names():
    assert flowtorch.linalg.eigh(flowtorch.eye(2))._fields == ("eigenvalues", "eigenvectors")
    assert flowtorch.linalg.svd(flowtorch.eye(2)).S.shape == (2,)


ERRORS = [
    *[
        f"L.{f}({a})"
        for f in (
            "inv",
            "det",
            "slogdet",
            "cholesky",
            "qr",
            "eigvals",
            "eigh",
            "svd",
            "pinv",
            "lu",
            "lu_factor",
            "cond",
            "matrix_exp",
            "matrix_norm",
            "matrix_rank",
        )
        for a in ("torch.ones(2, 3, 4)[0, 0]", "whole")
    ],
    *[
        f"L.{f}(torch.ones(2, 3))"
        for f in ("inv", "det", "cholesky", "eig", "eigvalsh", "matrix_exp", "ldl_factor", "tensorinv")
    ],
    *[f"L.{f}(half)" for f in ("inv", "det", "slogdet", "cholesky", "qr", "eig", "eigh", "svd", "lu_factor")],
    "L.inv(S)",
    "L.inv(singular)",
    "L.inv_ex(singular, check_errors=True)",
    "L.solve(singular, S)",
    "L.solve(S, torch.ones(2, 3))",
    "L.solve(S, S.double())",
    "L.cholesky(negative)",
    "torch.cholesky(-S)",
    "L.lu_factor(S)",
    "L.solve_triangular(S, v, upper=True)",
    "torch.cholesky_solve(torch.ones(2, 3), S)",
    "L.lstsq(v, v)",
    "L.lstsq(S, S, driver='x')",
    "L.matrix_norm(S, 3)",
    "L.matrix_norm(S, dim=(0, 0))",
    "L.norm(torch.ones(2, 2, 2), 2)",
    "L.cond(S, 'x')",
    "L.matrix_power(S, 2.0)",
    "L.matrix_power(S, -1)",
    "L.multi_dot([S])",
    "L.multi_dot([S, torch.ones(2, 2)])",
    "L.tensorinv(S, ind=0)",
    "L.vander(v, N=0)",
    "L.vecdot(v, v.float())",
    "L.qr(S, mode='x')",
    "L.eigh(S, UPLO='Q')",
    "L.lu_solve(S, v, S)",
    "torch.lu_unpack(S, v)",
    "L.householder_product(torch.ones(2, 3), v)",
]


@pytest.mark.parametrize("source", ERRORS)
def test_errors(source):
    same(source, SETUP)


def test_singular_is_a_runtime_error():
    assert issubclass(flowtorch.linalg.LinAlgError, RuntimeError)
    with pytest.raises(flowtorch.linalg.LinAlgError, match="diagonal element 1 is zero"):
        flowtorch.linalg.inv(flowtorch.zeros(2, 2))


SQUARE = [
    "torch.linalg.inv(a)",
    "torch.linalg.det(a)",
    "torch.linalg.slogdet(a)[1]",
    "torch.linalg.solve(a, b)",
    "torch.linalg.matrix_exp(a / 2)",
    "torch.linalg.solve_triangular(a, b, upper=True)",
    "torch.linalg.solve_triangular(a, b.mT, upper=False, left=False)",
    "torch.linalg.cholesky(a @ a.mT + b @ b.mT)",
    "torch.cholesky_solve(b, torch.linalg.cholesky(a @ a.mT + torch.eye(3)))",
    "torch.linalg.lu(a)[1:]",
    "torch.linalg.lu_factor(a)[0] @ b",
    "torch.linalg.qr(b)",
    "torch.linalg.eigvalsh(a + a.mT)",
    "torch.linalg.svdvals(b)",
    "(lambda U, S, Vh: U @ Vh)(*torch.linalg.svd(b, full_matrices=False))",
    "(lambda w, V: V @ (V * w[..., None, :]).mT)(*torch.linalg.eigh(a + a.mT))",
    "torch.linalg.eigvals(a).abs().sum()",
    "torch.linalg.pinv(b)",
    "torch.linalg.lstsq(b, a)[0]",
    "torch.linalg.matrix_norm(b, 'nuc')",
    "torch.linalg.matrix_norm(b, 2)",
    "torch.linalg.matrix_power(a, 3)",
    "torch.linalg.multi_dot([a, b, b.mT])",
    "torch.linalg.cond(a)",
    "torch.linalg.householder_product(b / 3, b[0] / 3)",
]


# Complex matrices only where the case stays Hermitian, and its value does not depend on the phases of vectors.
REAL = ("mT", "householder", "qr", "U @ Vh", "lu_factor", "eye")
TWICE = [(s, c) for s in SQUARE for c in (False, True) if not (c and any(word in s for word in REAL))]


@pytest.mark.parametrize(("source", "complex_"), TWICE)
def test_gradients_twice(source, complex_):
    rng = np.random.default_rng(7)
    a, b = rng.standard_normal((3, 3)), rng.standard_normal((3, 2))
    if complex_:
        a, b = a + 1j * rng.standard_normal((3, 3)), b + 1j * rng.standard_normal((3, 2))
    same_gradients(
        f"[{source}, 0 * a.sum(), 0 * b.sum()]"
        if "lu(" not in source and "qr(" not in source
        else f"[*{source}, 0 * a.sum(), 0 * b.sum()]",
        [a, b],
        second="cond" not in source,
    )


def test_determinant_of_singular_matrices_has_its_gradient():
    for matrix in (np.diag([1.0, 2.0, 0.0]), np.array([[1.0, 2.0], [2.0, 4.0]])):
        x = flowtorch.from_numpy(matrix.copy()).requires_grad_()
        flowtorch.linalg.det(x).backward()
        n = len(matrix)
        minors = [
            [(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(matrix, i, 0), j, 1)) for j in range(n)]
            for i in range(n)
        ]
        assert np.allclose(x.grad.numpy(), minors)
