"""Inverses, determinants and linear systems."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.autograd.levels import unwrapped
from flowtorch.ops.arguments import need_bool
from flowtorch.ops.families import named_result, op
from flowtorch.ops.linalg_base import (
    LinAlgError,
    adjoint,
    broadcast_batches,
    check_inexact,
    check_kernel,
    check_matrix,
    check_same,
    check_square,
    columns,
    each_matrix,
    first_failure,
    info_of,
    lapack,
)
from flowtorch.ops.op import composite
from flowtorch.ops.order import in_rows
from flowtorch.ops.pointwise import conj


@op(name="_in_columns", tensors=("input",), method=False, out=False, linear=True, node="CloneBackward0",
    vjp=(lambda g: g,))
def in_columns(input):
    """A copy whose last two dimensions are stored column by column."""
    return np.array(input.swapaxes(-2, -1), order="C").swapaxes(-2, -1)


# ---------------------------------------------------------------- inverse

@op(name="_inv", tensors=("A",), method=False, out=False, node="LinalgInvExBackward0")
def _inv(A):
    """(inverse, info) of square matrices; info is the index of the first zero pivot, counted from 1."""
    try:
        return columns(np.linalg.inv(A)), info_of(A)
    except np.linalg.LinAlgError:
        return each_matrix(_inv_one, [A], [(A.shape[-2:], A.dtype), ((), np.int32)])


def _inv_one(a):
    getrf, getri = lapack("getrf", a), lapack("getri", a)
    lu, pivots, info = getrf(a)
    if not info:
        return getri(lu, pivots)[0], 0
    return lapack("getrs", a)(lu, pivots, np.eye(len(a), dtype=a.dtype))[0], info     # inf and nan, as PyTorch


@_inv.derivative
def _inv_backward(g, out, needs):
    inverse = adjoint(out[0])
    return (-(inverse @ g[0] @ inverse),)


def _checked_inverse(name: str, A: Any) -> Any:
    inverse, info = _inv(A)
    failure = first_failure(info)
    if failure:
        raise LinAlgError(f"{name}: {failure[0]}The diagonal element {failure[1]} is zero, the inversion could not be "
                          "completed because the input matrix is singular.")
    return inverse, info


@composite(namespace="linalg", out=True)
def inv(A):
    """The inverse of square matrices; LinAlgError if one is singular."""
    check_inexact("linalg.inv", A, low=False)
    check_square("linalg.inv", A)
    return _checked_inverse("linalg.inv", A)[0]


@composite(namespace="linalg", out=True)
def inv_ex(A, *, check_errors=False):
    """(inverse, info): ``info`` is 0 where the inverse exists. Raises only if ``check_errors``."""
    check_inexact("linalg.inv", A, low=False)
    check_square("linalg.inv", A)
    return named_result("linalg_inv_ex", ("inverse", "info"))(
        _checked_inverse("linalg.inv_ex", A) if check_errors else _inv(A))


@composite(method=True, out=True)
def inverse(input):
    """The inverse of square matrices; see ``torch.linalg.inv``."""
    return inv(input)


# ---------------------------------------------------------------- determinants

@op(name="_det", tensors=("A",), method=False, out=False, node="LinalgDetBackward0",
    vjp=(lambda g, A, out: _det_backward(g, A, out),))
def _det(A):
    """The determinant of square matrices."""
    return in_rows(np.asarray(np.linalg.det(A)))


def _det_backward(g, A, out):
    if A.numel() == 0:
        return A * 0
    scale = g[..., None, None]
    if A.shape[-1] == 1 or (not A.is_meta and bool((unwrapped(out).detach() == 0).any())):
        return scale * conj(_cofactors(A))
    return scale * conj(out)[..., None, None] * adjoint(_inv(A)[0])


def _cofactors(A: Any) -> Any:
    """The matrix of signed minors: the derivative of the determinant, of singular matrices too."""
    from flowtorch.ops.factory import tensor

    n = A.shape[-1]
    if n > 12:
        return _cofactors_by_svd(A)
    if n == 1:
        return A * 0 + 1
    rest = [tensor([j for j in range(n) if j != i]) for i in range(n)]
    rows = []
    for i in range(n):
        short = A.index_select(-2, rest[i])
        rows.append([(-1) ** (i + j) * _det(short.index_select(-1, rest[j])) for j in range(n)])
    from flowtorch.ops.join import stack

    return stack([stack(row, -1) for row in rows], -2)


def _cofactors_by_svd(A: Any) -> Any:
    from flowtorch.ops.join import cat, stack
    from flowtorch.ops.linalg_decompose import _svd

    U, S, Vh = _svd(A, False)
    n = S.shape[-1]
    others = stack([cat([S[..., :i], S[..., i + 1:]], -1).prod(-1) for i in range(n)], -1)
    return conj((conj(U) * others.unsqueeze(-2)) @ conj(Vh)) * conj(_det(U) * _det(Vh))[..., None, None]


@composite(namespace="linalg", out=True)
def det(A):
    """The determinant of square matrices."""
    check_inexact("linalg.det", A)
    check_square("linalg.det", A)
    check_kernel("lu_cpu", A)
    return _det(A)


@composite(name="det", method=True)
def _torch_det(input):
    """The determinant of square matrices; see ``torch.linalg.det``."""
    return det(input)


@op(name="_slogdet", tensors=("A",), method=False, out=False, node="LinalgSlogdetBackward0")
def _slogdet(A):
    """(sign, logabsdet) of square matrices."""
    sign, size = np.linalg.slogdet(A)
    return in_rows(np.asarray(sign)), in_rows(np.asarray(size))


@_slogdet.derivative
def _slogdet_backward(g, A, out, needs):
    g_sign, g_size = g
    weight = g_size
    if A.is_complex() and g_sign is not None:
        from flowtorch.ops.pointwise_ternary import complex_

        turn = (conj(g_sign) * out[0]).imag
        weight = complex_(turn * 0 if weight is None else weight, -turn)
    if weight is None:
        return (A * 0,)
    return (weight[..., None, None] * adjoint(_inv(A)[0]),)


def _checked_slogdet(name: str, A: Any) -> Any:
    check_inexact(name, A, low=False)
    check_square(name, A)
    return _slogdet(A)


@composite(namespace="linalg", out=True)
def slogdet(A):
    """(sign, logabsdet): the determinant is ``sign * exp(logabsdet)``."""
    return named_result("linalg_slogdet", ("sign", "logabsdet"))(_checked_slogdet("linalg.slogdet", A))


@composite(name="slogdet", method=True, out=True)
def _torch_slogdet(input):
    """(sign, logabsdet) of square matrices; see ``torch.linalg.slogdet``."""
    return named_result("slogdet", ("sign", "logabsdet"))(_checked_slogdet("linalg.slogdet", input))


@composite(method=True)
def logdet(input):
    """The logarithm of the determinant: nan if that is negative, -inf if it is 0."""
    sign, size = _checked_slogdet("logdet", input)
    return sign.log() + size if input.is_complex() else sign.detach().log() + size


# ---------------------------------------------------------------- systems

@op(name="_solve", tensors=("A", "B"), method=False, out=False, node="LinalgSolveExBackward0")
def _solve(A, B):
    """(X, info) with ``A @ X = B``; the batches broadcast."""
    try:
        return columns(np.linalg.solve(A, B)), info_of(A)
    except np.linalg.LinAlgError:
        X, _ = each_matrix(_solve_one, broadcast_batches(A, B), [(B.shape[-2:], A.dtype), ((), np.int32)])
        return X, each_matrix(lambda a: (lapack("getrf", a)(a)[2],), [A], [((), np.int32)])[0]


def _solve_one(a, b):
    lu, pivots, info = lapack("getrf", a)(a)
    return lapack("getrs", a, b)(lu, pivots, b)[0], info      # inf and nan where a pivot is zero, as PyTorch


@_solve.derivative
def _solve_backward(g, A, out, needs):
    g_b = _solve(adjoint(A), g[0])[0]
    return (-(g_b @ adjoint(out[0])) if needs[0] else None, g_b)


def is_vector(A: Any, B: Any) -> bool:
    """Whether ``B`` is a (batch of) vectors beside the matrices ``A``."""
    return B.dim() == 1 or (B.dim() == A.dim() - 1 and tuple(A.shape[:-1]) == tuple(B.shape))


def _solve_checked(A: Any, B: Any, left: bool) -> Any:
    name = "linalg.solve"
    check_inexact(name, A)
    check_square(name, A)
    check_same(name, A, B)
    vector = is_vector(A, B)
    if vector and not left:
        raise RuntimeError("linalg.solve: Vector broadcasting of the left hand side is not supported for left=False. "
                           "In this "
                           "case linalg.solve is equivalent to B / A.squeeze(-1)")
    X = B.unsqueeze(-1) if vector else B
    check_matrix(name, X, "B")
    check_fit(name, A, X, left)
    check_kernel("lu_cpu", A)
    X, info = _solve(A, X) if left else _solve(A.transpose(-2, -1), X.transpose(-2, -1))
    X = X if left else X.transpose(-2, -1)
    return (in_columns(X.squeeze(-1)) if vector and B.dim() > 1 else X.squeeze(-1) if vector else X), info


def check_fit(name: str, A: Any, B: Any, left: bool) -> None:
    if A.shape[-1] != B.shape[-2 if left else -1]:
        raise RuntimeError(f"{name}: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
                           f"({A.shape[-2]}x{A.shape[-1]} and {B.shape[-2]}x{B.shape[-1]})")


def _raise_singular(name: str, info: Any) -> None:
    failure = first_failure(info)
    if failure:
        raise LinAlgError(f"torch.{name}: {failure[0]}The solver failed because the input matrix is singular.")


@composite(namespace="linalg", out=True)
def solve(A, B, *, left=True):
    """X with ``A @ X = B`` (``X @ A = B`` if not ``left``); LinAlgError if a matrix is singular."""
    X, info = _solve_checked(A, B, left)
    _raise_singular("linalg.solve", info)
    return X


@composite(namespace="linalg", out=True)
def solve_ex(A, B, *, left=True, check_errors=False):
    """(result, info) of ``solve``; raises only if ``check_errors``."""
    X, info = _solve_checked(A, B, left)
    if check_errors:
        _raise_singular("linalg.solve_ex", info)
    return named_result("linalg_solve_ex", ("result", "info"))((X, info))


@op(name="_solve_triangular", tensors=("A", "B"), method=False, out=False, node="LinalgSolveTriangularBackward0")
def _solve_triangular(A, B, upper, left, unitriangular):
    """X with ``A @ X = B`` or ``X @ A = B`` for triangular matrices; the other triangle is not read."""
    from scipy.linalg.blas import get_blas_funcs

    A, B = broadcast_batches(A, B)
    if not B.size:
        return np.empty(B.shape, B.dtype)
    trsm = get_blas_funcs("trsm", (A, B))
    options = {"side": 0 if left else 1, "lower": not upper, "diag": 1 if unitriangular else 0}
    return each_matrix(lambda a, b: (trsm(1, a, b, **options),), [A, B], [(B.shape[-2:], B.dtype)])[0]


@_solve_triangular.derivative
def _solve_triangular_backward(g, A, upper, left, unitriangular, out, needs):
    g_b = _solve_triangular(adjoint(A), g, not upper, left, unitriangular)
    if not needs[0]:
        return None, g_b
    g_a = -(g_b @ adjoint(out)) if left else -(adjoint(out) @ g_b)
    return (g_a.triu(int(unitriangular)) if upper else g_a.tril(-int(unitriangular))), g_b


@composite(namespace="linalg", out=True)
def solve_triangular(A, B, *, upper, left=True, unitriangular=False):
    """X with ``A @ X = B`` for triangular ``A`` (``X @ A = B`` if not ``left``)."""
    name = "linalg.solve_triangular"
    check_square(name, A)
    check_matrix(name, B, "B")
    check_fit(name, A, B, left)
    check_same(name, A, B)
    check_kernel("triangular_solve_cpu", A)
    return _solve_triangular(A, B, bool(upper), bool(left), bool(unitriangular))


@composite(method=True, out=True)
def triangular_solve(b, A, upper=True, transpose=False, unitriangular=False):
    """(solution, cloned_coefficient) of a triangular system; see ``torch.linalg.solve_triangular``."""
    need_bool("triangular_solve", "upper", 3, upper)
    for t, word in ((b, "b"), (A, "A")):
        if t.dim() < 2:
            raise RuntimeError(f"torch.triangular_solve: Expected {word} to have at least 2 dimensions, but it has "
                               f"{t.dim()} "
                               "dimensions instead")
    m, n = A.shape[-2:]
    if m != n or n != b.shape[-2]:
        raise RuntimeError(f"torch.triangular_solve: A must be batches of square matrices, but they are {m} by {n} "
                           "matrices"
                           if m != n else f"Incompatible matrix sizes for triangular_solve: each A matrix is {m} by "
                                          f"{n} but each "
                           f"b matrix is {b.shape[-2]} by {b.shape[-1]}")
    check_kernel("triangular_solve_cpu", A)
    matrix = adjoint(A) if transpose else A
    X = _solve_triangular(matrix, b, bool(upper) != bool(transpose), True, bool(unitriangular))
    return named_result("triangular_solve", ("solution", "cloned_coefficient"))(
        (X, in_columns(A.expand(*X.shape[:-2], m, n))))


# ---------------------------------------------------------------- symmetric indefinite

@op(name="_ldl_factor", tensors=("A",), method=False, out=False)
def _ldl_factor(A, hermitian):
    """(LD, pivots, info) of symmetric (Hermitian) matrices, in LAPACK's packed form."""
    if not A.size:
        return columns(A.copy()), np.zeros(A.shape[:-1], np.int32), info_of(A)
    name = "hetrf" if hermitian and A.dtype.kind == "c" else "sytrf"
    factor = lapack(name, A)

    def one(a):
        ld, pivots, info = factor(a, lower=1)
        pivots = np.where(pivots >= 0, pivots + 1, pivots) if (pivots == 0).any() else pivots
        return np.tril(ld), pivots, info
    return each_matrix(one, [A], [(A.shape[-2:], A.dtype), (A.shape[-1:], np.int32), ((), np.int32)])


def _checked_ldl(A: Any, hermitian: bool) -> Any:
    check_inexact("torch.linalg.ldl_factor_ex", A)
    check_square("torch.linalg.ldl_factor_ex", A)
    check_kernel("ldl_factor_kernel_cpu", A)
    return _ldl_factor(A, bool(hermitian))


@composite(namespace="linalg", out=True)
def ldl_factor(A, *, hermitian=False):
    """(LD, pivots): ``A = L D L^T`` (``L^H`` if ``hermitian``) of symmetric indefinite matrices."""
    LD, pivots, info = _checked_ldl(A, hermitian)
    if failure := first_failure(info):
        raise LinAlgError(f"torch.linalg.ldl_factor: {failure[0]}The factorization could not be completed: "
                          f"D[{failure[1]},"
                          f"{failure[1]}] is zero.")
    return named_result("linalg_ldl_factor", ("LD", "pivots"))((LD, pivots))


@composite(namespace="linalg", out=True)
def ldl_factor_ex(A, *, hermitian=False, check_errors=False):
    """(LD, pivots, info) of symmetric indefinite matrices."""
    if check_errors:
        ldl_factor(A, hermitian=hermitian)
    return named_result("linalg_ldl_factor_ex", ("LD", "pivots", "info"))(_checked_ldl(A, hermitian))


@op(name="_ldl_solve", tensors=("LD", "pivots", "B"), method=False, out=False,
    vjp=(None, None, lambda g, LD, pivots, hermitian: _ldl_solve_backward(g, LD, pivots, hermitian)))
def _ldl_solve(LD, pivots, B, hermitian):
    """X with ``A @ X = B`` from the factors of ``A``."""
    LD, B = broadcast_batches(LD, B)
    if not B.size:
        return np.empty(B.shape, B.dtype)
    solver = lapack("hetrs" if hermitian and LD.dtype.kind == "c" else "sytrs", LD)
    pivots = np.broadcast_to(pivots, (*LD.shape[:-2], pivots.shape[-1]))[..., None]

    def one(ld, b, p):
        return (solver(ld, p[:, 0], b, lower=1)[0],)
    return each_matrix(one, [LD, B, pivots], [(B.shape[-2:], B.dtype)])[0]


def _ldl_solve_backward(g, LD, pivots, hermitian):
    return _ldl_solve(LD, pivots, g, hermitian) if hermitian else conj(_ldl_solve(LD, pivots, conj(g), hermitian))


@composite(namespace="linalg", out=True)
def ldl_solve(LD, pivots, B, *, hermitian=False):
    """X with ``A @ X = B`` from ``ldl_factor(A)``."""
    name = "torch.linalg.ldl_solve"
    check_inexact(name, LD)
    check_square(name, LD, "LD")
    if B.dim() < 2:
        raise RuntimeError(f"{name}: Expected B to have at least 2 dimensions, but it has {B.dim()} dimensions instead")
    if LD.shape[-2] != B.shape[-2]:
        raise RuntimeError(f"Incompatible matrix sizes for {name}: each A matrix is {LD.shape[-2]} by {LD.shape[-1]} "
                           "but each "
                           f"b matrix is {B.shape[-2]} by {B.shape[-1]}")
    if tuple(LD.shape[:-1]) != tuple(pivots.shape):
        raise RuntimeError(f"{name}: Expected LD.shape[:-1] and pivots.shape to be the same, but got pivots with shape "
                           f"{list(pivots.shape)} instead")
    if pivots.dtype.rank != 1:
        raise RuntimeError(f"{name}: Expected pivots to be integers. Got {pivots.dtype.label}")
    check_same(name, LD, B, "LD", "B")
    return _ldl_solve(LD, pivots, B, bool(hermitian))


def eye_like(A: Any, m: int, n: int | None = None) -> Any:
    """An identity matrix of the dtype of ``A``."""
    from flowtorch.ops.ranges import eye

    return eye(m, m if n is None else n, dtype=A.dtype, device=A.device)

