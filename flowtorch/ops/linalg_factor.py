"""Triangular factors: Cholesky and LU, and systems solved with them."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.ops.arguments import need_bool
from flowtorch.ops.families import named_result, op
from flowtorch.ops.linalg_base import (
    LinAlgError,
    adjoint,
    check_inexact,
    check_kernel,
    check_same,
    check_square,
    columns,
    each_matrix,
    first_failure,
    info_of,
    lapack,
)
from flowtorch.ops.linalg_solve import _solve_triangular, check_fit, eye_like
from flowtorch.ops.op import composite

# ---------------------------------------------------------------- Cholesky

@op(name="_cholesky", tensors=("A",), method=False, out=False, node="LinalgCholeskyExBackward0")
def _cholesky(A, upper):
    """(factor, info); info is the order of the first leading minor that is not positive."""
    a = A.swapaxes(-2, -1).conj() if upper else A
    try:
        L, info = np.linalg.cholesky(a), info_of(A)
    except np.linalg.LinAlgError:
        potrf = lapack("potrf", A)
        L, info = each_matrix(lambda m: potrf(m, lower=1, clean=1), [a], [(A.shape[-2:], A.dtype), ((), np.int32)])
    return columns(L.swapaxes(-2, -1).conj() if upper else L), info


@_cholesky.derivative
def _cholesky_backward(g, upper, out, needs):
    L, g_l = (adjoint(out[0]), adjoint(g[0])) if upper else (out[0], g[0])
    phi = adjoint(L) @ g_l
    phi = phi.tril() + adjoint(phi.tril(-1))
    inner = _solve_triangular(adjoint(L), phi, True, True, False)
    return (0.5 * _solve_triangular(L, inner, False, False, False),)


@_cholesky.jvp
def _cholesky_jvp(tangents, A, upper):
    L, turn = _cholesky(A, upper)[0], tangents[0]
    L = adjoint(L) if upper else L
    phi = _solve_triangular(adjoint(L), _solve_triangular(L, turn, False, True, False), True, False, False)
    phi = L @ (phi.tril() - 0.5 * phi.diagonal(0, -2, -1).diag_embed())
    return (adjoint(phi) if upper else phi), None


def _checked_cholesky(name: str, A: Any, upper: bool) -> Any:
    L, info = _cholesky(A, bool(upper))
    if failure := first_failure(info):
        raise LinAlgError(f"{name}: {failure[0]}The factorization could not be completed because the input is not "
                          f"positive-definite (the leading minor of order {failure[1]} is not positive-definite).")
    return L, info


def _check_cholesky(A: Any) -> None:
    check_inexact("linalg.cholesky", A)
    check_square("linalg.cholesky", A)
    check_kernel("cholesky_cpu", A)


@composite(namespace="linalg", out=True)
def cholesky(A, *, upper=False):
    """The triangular L with ``A = L @ L.mH`` (``U.mH @ U`` if ``upper``); LinAlgError if A is not positive definite."""
    _check_cholesky(A)
    return _checked_cholesky("linalg.cholesky", A, upper)[0]


@composite(namespace="linalg", out=True)
def cholesky_ex(A, *, upper=False, check_errors=False):
    """(L, info) of ``cholesky``; raises only if ``check_errors``."""
    _check_cholesky(A)
    return named_result("linalg_cholesky_ex", ("L", "info"))(
        _checked_cholesky("linalg.cholesky_ex", A, upper) if check_errors else _cholesky(A, bool(upper)))


@composite(name="cholesky", method=True, out=True)
def _torch_cholesky(input, upper=False):
    """The Cholesky factor; see ``torch.linalg.cholesky``."""
    check_square("cholesky", input)
    check_kernel("cholesky_cpu", input)
    return _checked_cholesky("cholesky", input, upper)[0]


@composite(method=True, out=True)
def cholesky_inverse(L, upper=False):
    """The inverse of the matrix whose Cholesky factor is ``L``."""
    check_square("cholesky_inverse", L)
    check_kernel("cholesky_inverse_out_cpu", L)
    return _cholesky_inverse(L, bool(upper))


def _solve_factored(B: np.ndarray, L: np.ndarray, upper: bool) -> np.ndarray:
    first = L.swapaxes(-2, -1).conj() if upper else L
    inner = _solve_triangular.op.body(first, B, False, True, False)
    return _solve_triangular.op.body(first.swapaxes(-2, -1).conj(), inner, True, True, False)


@op(name="_cholesky_inverse", tensors=("L",), method=False, out=False, node="CholeskyInverseBackward0",
    vjp=(lambda g, L, out, upper: _factor_gradient(out @ (g + adjoint(g)) @ out, L, upper),))
def _cholesky_inverse(L, upper):
    """The inverse of the matrix with this factor."""
    return _solve_factored(np.broadcast_to(np.eye(L.shape[-1], dtype=L.dtype), L.shape), L, upper)


def _factor_gradient(common, L, upper):
    return -(L @ common) if upper else -(common @ L)


@op(name="_cholesky_solve", tensors=("B", "L"), method=False, out=False, node="CholeskySolveBackward0")
def _cholesky_solve(B, L, upper):
    """X with ``A @ X = B`` for the matrix with this factor."""
    return _solve_factored(B, L, upper)


@_cholesky_solve.derivative
def _cholesky_solve_backward(g, L, upper, out, needs):
    g_b = _cholesky_solve(g, L, upper)
    if not needs[1]:
        return g_b, None
    common = g_b @ adjoint(out)
    return g_b, _factor_gradient(common + adjoint(common), L, upper)


@composite(name="cholesky_solve", method=False, out=True)
def cholesky_solve(B, L, upper=False):
    """X with ``A @ X = B`` for the matrix whose Cholesky factor is ``L``."""
    need_bool("cholesky_solve", "upper", 3, upper)
    for t, word in ((B, "b"), (L, "u")):
        if t.dim() < 2:
            raise RuntimeError(f"{word} should have at least 2 dimensions, but has {t.dim()} dimensions instead")
    if B.dtype is not L.dtype:
        raise RuntimeError(f"Expected b and A to have the same dtype, but found b of type {B.dtype.label} and A of "
                           "type "
                           f"{L.dtype.label} instead")
    if L.shape[-1] != L.shape[-2]:
        raise RuntimeError(f"A must be batches of square matrices, but they are {L.shape[-2]} by {L.shape[-1]} "
                           "matrices")
    if L.shape[-2] != B.shape[-2]:
        raise RuntimeError(f"Incompatible matrix sizes for cholesky_solve: each A matrix is {L.shape[-2]} by "
                           f"{L.shape[-1]} "
                           f"but each b matrix is {B.shape[-2]} by {B.shape[-1]}")
    check_kernel("cholesky_solve_cpu", L)
    return _cholesky_solve(B, L, bool(upper))


@composite(namespace="Tensor", name="cholesky_solve", method=True)
def _cholesky_solve_method(self, input2, upper=False):
    """See ``torch.cholesky_solve``."""
    return cholesky_solve(self, input2, upper)


# ---------------------------------------------------------------- LU

@op(name="_lu_factor", tensors=("A",), method=False, out=False, node="LinalgLuFactorExBackward0")
def _lu_factor(A):
    """(LU, pivots, info): both factors in one matrix, the rows exchanged (from 1), the first zero pivot."""
    m, n = A.shape[-2:]
    k = min(m, n)
    if not A.size:
        pivots = np.broadcast_to(np.arange(1, k + 1, dtype=np.int32), (*A.shape[:-2], k))
        return columns(A.copy()), pivots.copy(), info_of(A)
    getrf = lapack("getrf", A)

    def one(a):
        lu, pivots, info = getrf(a)
        return lu, pivots + 1, info
    return each_matrix(one, [A], [((m, n), A.dtype), ((k,), np.int32), ((), np.int32)])


@_lu_factor.derivative
def _lu_factor_backward(g, out, needs):
    _, L, U = lu_unpack(out[0], out[1], unpack_pivots=False)
    P = _permutation(out[1], L.shape[-2]).to(L.dtype)
    k = L.shape[-1]
    return (_plu_backward(g[0][..., :, :k].tril(-1), g[0][..., :k, :].triu(), P, L, U),)


def _plu_backward(g_l: Any, g_u: Any, P: Any, L: Any, U: Any) -> Any:
    """The gradient of A = P L U. What exceeds the square part of a factor is a triangular solve with the other."""
    from flowtorch.ops.join import cat

    m, k, n = L.shape[-2], L.shape[-1], U.shape[-1]
    L1, U1, g_l1, g_u1 = L[..., :k, :], U[..., :k], g_l[..., :k, :], g_u[..., :k]
    left, right = adjoint(L1) @ g_l1, g_u1 @ adjoint(U1)
    if n > k:
        left = left - g_u[..., k:] @ adjoint(U[..., k:])
    if m > k:
        right = right - adjoint(L[..., k:, :]) @ g_l[..., k:, :]
    inner = left.tril(-1) + right.triu()
    inner = _solve_triangular(adjoint(L1), inner, True, True, True)
    result = _solve_triangular(adjoint(U1), inner, False, False, False)
    if n > k:
        result = cat([result, _solve_triangular(adjoint(L1), g_u[..., k:], True, True, True)], -1)
    if m > k:
        result = cat([result, _solve_triangular(adjoint(U1), g_l[..., k:, :], False, False, False)], -2)
    return P @ result


@op(name="_permutation", tensors=("pivots",), method=False, out=False)
def _permutation(pivots, m):
    """The permutation matrices P that undo row exchanges: ``P @ L @ U = A``."""
    batch = pivots.shape[:-1]
    order = np.broadcast_to(np.arange(m), (*batch, m)).copy()
    for index in np.ndindex(*batch):
        row = order[index]
        for i, p in enumerate(pivots[index]):
            row[[i, p - 1]] = row[[p - 1, i]]
    out = np.zeros((*batch, m, m), np.float32)
    np.put_along_axis(out, order[..., None, :], 1, -2)
    return out


def _check_lu(name: str, A: Any, pivot: bool) -> None:
    if A.dim() < 2:
        raise RuntimeError(f"{name}: Expected tensor with 2 or more dimensions. Got size: {list(A.shape)} instead")
    check_kernel("lu_cpu", A)
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")


def _checked_lu(name: str, A: Any, pivot: bool) -> Any:
    _check_lu("torch.lu_factor", A, pivot)
    LU, pivots, info = _lu_factor(A)
    if failure := first_failure(info):
        raise RuntimeError(f"torch.linalg.{name}: {failure[0]}U[{failure[1]},{failure[1]}] is zero and using it on "
                           "lu_solve would "
                           "result in a division by zero. If you still want to perform the factorization, consider "
                           "calling "
                           "linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)")
    return LU, pivots, info


@composite(namespace="linalg", out=True)
def lu_factor(A, *, pivot=True):
    """(LU, pivots): the factors of ``A = P L U`` in one matrix; RuntimeError if U has a zero on its diagonal."""
    return named_result("linalg_lu_factor", ("LU", "pivots"))(_checked_lu("lu_factor", A, pivot)[:2])


@composite(namespace="linalg", out=True)
def lu_factor_ex(A, *, pivot=True, check_errors=False):
    """(LU, pivots, info) of ``lu_factor``; raises only if ``check_errors``."""
    _check_lu("torch.lu_factor", A, pivot)
    return named_result("linalg_lu_factor_ex", ("LU", "pivots", "info"))(
        _checked_lu("lu_factor_ex", A, pivot) if check_errors else _lu_factor(A))


@composite(namespace="linalg", out=True, name="lu")
def linalg_lu(A, *, pivot=True):
    """(P, L, U) with ``A = P @ L @ U``."""
    _check_lu("linalg.lu", A, pivot)
    LU, pivots, _ = _lu_factor(A)
    return named_result("linalg_lu", ("P", "L", "U"))(lu_unpack(LU, pivots))


@composite(out=True)
def lu_unpack(LU_data, LU_pivots, unpack_data=True, unpack_pivots=True):
    """(P, L, U) from the results of ``lu_factor``; parts not asked for are empty."""
    if LU_pivots.dtype is not dtypes.int32:
        raise RuntimeError("torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype.\n"
                           "Note: this function is intended to be used with the output produced by "
                           "torch.linalg.lu_factor")
    m, n = LU_data.shape[-2:]
    k = min(m, n)
    empty = LU_data.new_empty((0,))
    P = _permutation(LU_pivots, m).to(LU_data.dtype) if unpack_pivots else empty
    L = U = empty
    if unpack_data:
        L = LU_data[..., :, :k].tril(-1) + eye_like(LU_data, m, k)
        U = LU_data[..., :k, :].triu()
    return named_result("lu_unpack", ("P", "L", "U"))((P, L, U))


@composite(method=True, out=True)
def lu(A, pivot=True, get_infos=False):
    """(LU, pivots) or (LU, pivots, info); see ``torch.linalg.lu_factor``."""
    _check_lu("torch.lu_factor", A, pivot)
    results = tuple(_lu_factor(A))
    return named_result("_lu_with_info", ("LU", "pivots", "info"))(results) if get_infos else results[:2]


@composite(namespace="linalg", out=True, name="lu_solve")
def linalg_lu_solve(LU, pivots, B, *, left=True, adjoint=False):
    """X with ``A @ X = B`` (``X @ A = B`` if not ``left``) from the factors of A; ``adjoint``: of its adjoint."""
    name = "linalg.lu_solve"
    check_inexact(name, LU)
    check_same(name, LU, B, "LU", "B")
    if pivots.dtype is not dtypes.int32:
        raise RuntimeError("linalg.lu_solve: pivots should be a Tensor of scalar type torch.int32")
    check_square(name, LU, "LU")
    check_fit(name, LU, B, left)
    if tuple(LU.shape[:-1]) != tuple(pivots.shape):
        raise RuntimeError("linalg.lu_solve: Number of pivots per batch should be same as the dimension of the matrix")
    return _lu_solve(LU, pivots, B, left, adjoint)


def _lu_solve(LU: Any, pivots: Any, B: Any, left: bool, turned: bool) -> Any:
    if not left:
        return adjoint(_lu_solve(LU, pivots, adjoint(B), True, not turned))
    P = _permutation(pivots, LU.shape[-1]).to(LU.dtype)
    if turned:
        Y = _solve_triangular(adjoint(LU), B, False, True, False)
        return P @ _solve_triangular(adjoint(LU), Y, True, True, True)
    Y = _solve_triangular(LU, P.transpose(-2, -1) @ B, False, True, True)
    return _solve_triangular(LU, Y, True, True, False)


@composite(method=True, out=True)
def lu_solve(b, LU_data, LU_pivots):
    """X with ``A @ X = b`` from the factors of A; see ``torch.linalg.lu_solve``."""
    return linalg_lu_solve(LU_data, LU_pivots, b)
