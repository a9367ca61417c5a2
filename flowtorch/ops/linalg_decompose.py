"""Decompositions with orthogonal factors: QR, eigenvalues, singular values, reflections."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.ops.families import named_result, op
from flowtorch.ops.linalg_base import (
    LinAlgError,
    adjoint,
    check_inexact,
    check_kernel,
    check_matrix,
    check_square,
    columns,
    each_matrix,
    lapack,
)
from flowtorch.ops.linalg_solve import _solve, _solve_triangular, eye_like, in_columns
from flowtorch.ops.op import composite
from flowtorch.ops.order import in_rows
from flowtorch.ops.pointwise import conj

# ---------------------------------------------------------------- QR

@op(name="_qr", tensors=("A",), method=False, out=False, node="LinalgQrBackward0")
def _qr(A, mode):
    """(Q, R); Q is empty in mode "r"."""
    if mode == "r":
        return np.zeros((0,), A.dtype), columns(np.linalg.qr(A, mode="r"))
    return tuple(map(columns, np.linalg.qr(A, mode=mode)))


@_qr.derivative
def _qr_backward(g, A, mode, out, needs):
    g_q, g_r = g
    m, n = A.shape[-2:]
    if mode == "r":
        raise RuntimeError("The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use "
                           "linalg.qr(A, mode='reduced') if you are going to require gradients")
    if mode == "complete" and m > n:
        raise RuntimeError("The QR decomposition is not differentiable when mode='complete' and nrows > ncols.")
    Q, R = out[0], out[1]
    g_q = Q * 0 if g_q is None else g_q
    g_r = R * 0 if g_r is None else g_r
    if m >= n:
        return (_qr_tall(g_q, g_r, Q, R),)
    from flowtorch.ops.join import cat

    rest = g_r[..., m:]                                      # A = [A1 A2], Q R1 = A1, R2 = Q^H A2
    first = _qr_tall(g_q + A[..., m:] @ adjoint(rest), g_r[..., :m], Q, R[..., :m])
    return (cat([first, Q @ rest], -1),)


def _qr_tall(g_q: Any, g_r: Any, Q: Any, R: Any) -> Any:
    inner = (g_r @ adjoint(R) - adjoint(Q) @ g_q).triu()
    inner = inner + adjoint(inner)
    inner = inner - 0.5 * inner.diagonal(0, -2, -1).diag_embed()
    return _solve_triangular(adjoint(R), g_q + Q @ inner, False, False, False)


def _checked_qr(A: Any, mode: str) -> Any:
    check_matrix("linalg.qr", A)
    check_inexact("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or "
                           "'complete'")
    check_kernel("geqrf_cpu", A)
    return _qr(A, mode)


@composite(namespace="linalg", out=True)
def qr(A, mode="reduced"):
    """(Q, R) with ``A = Q @ R``: "reduced", "complete" (square Q) or "r" (Q empty)."""
    return named_result("linalg_qr", ("Q", "R"))(_checked_qr(A, mode))


@composite(name="qr", method=True, out=True)
def _torch_qr(input, some=True):
    """(Q, R); see ``torch.linalg.qr``. ``some=False`` gives a square Q."""
    return named_result("qr", ("Q", "R"))(_checked_qr(input, "reduced" if some else "complete"))


# ---------------------------------------------------------------- eigenvalues

def _finite(name: str, a: np.ndarray, failure: str) -> None:
    if not np.isfinite(a).all():
        raise LinAlgError(f"{name}: {failure}")


_REPEATED = ("The algorithm failed to converge because the input matrix is ill-conditioned or has too many repeated "
             "eigenvalues (error code: {}).")


@op(name="_eigh", tensors=("A",), method=False, out=False, node="LinalgEighBackward0")
def _eigh(A, UPLO):
    """(eigenvalues, eigenvectors) of Hermitian matrices, of which one triangle is read."""
    try:
        values, vectors = np.linalg.eigh(A, UPLO)
        return in_rows(values), columns(vectors)
    except np.linalg.LinAlgError:
        raise LinAlgError("linalg.eigh: " + _REPEATED.format(A.shape[-1] - 1)) from None


@_eigh.derivative
def _eigh_backward(g, out, needs):
    g_values, g_vectors = g
    values, V = out[0], out[1]
    inner = None if g_values is None else g_values.diag_embed().to(V.dtype)
    if g_vectors is not None:
        gap = values.unsqueeze(-2) - values.unsqueeze(-1)
        part = (adjoint(V) @ g_vectors) / _no_diagonal(gap)
        part = part - part.diagonal(0, -2, -1).diag_embed()
        inner = part if inner is None else inner + part
    result = V @ inner @ adjoint(V)
    return ((result + adjoint(result)) / 2,)


@_eigh.jvp
def _eigh_jvp(tangents, A, UPLO):
    values, V = _eigh(A, UPLO)
    inner = adjoint(V) @ tangents[0] @ V
    gap = _no_diagonal(values.unsqueeze(-2) - values.unsqueeze(-1))
    change = inner.diagonal(0, -2, -1)
    return (change.real if A.is_complex() else change), V @ ((inner - change.diag_embed()) / gap)


def _no_diagonal(gap: Any) -> Any:
    """``gap`` with ones on the diagonal, where it is 0."""
    return gap + eye_like(gap, gap.shape[-1])


def _check_eigh(A: Any, UPLO: Any) -> str:
    check_square("linalg.eigh", A)
    side = UPLO.upper() if isinstance(UPLO, str) else ""
    if side not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    check_kernel("linalg_eigh_cpu", A)
    return side


@composite(namespace="linalg", out=True)
def eigh(A, UPLO="L"):
    """(eigenvalues, eigenvectors) of Hermitian matrices, in ascending order."""
    return named_result("linalg_eigh", ("eigenvalues", "eigenvectors"))(_eigh(A, _check_eigh(A, UPLO)))


@composite(namespace="linalg", out=True)
def eigvalsh(A, UPLO="L"):
    """The eigenvalues of Hermitian matrices, in ascending order."""
    return _eigh(A, _check_eigh(A, UPLO))[0]


@op(name="_eig", tensors=("A",), method=False, out=False, node="LinalgEigBackward0")
def _eig(A):
    """(eigenvalues, eigenvectors) of square matrices, complex."""
    _finite("linalg.eig", A, "The algorithm failed to converge because the input matrix contained non-finite values.")
    values, vectors = np.linalg.eig(A)
    kind = np.result_type(A.dtype, np.complex64)
    return values.astype(kind, copy=False), columns(vectors.astype(kind, copy=False))


@_eig.derivative
def _eig_backward(g, out, needs):
    g_values, g_vectors = g
    values, V = out[0], out[1]
    VH = adjoint(V)
    inner = None if g_values is None else g_values.diag_embed()
    if g_vectors is not None:
        part = VH @ g_vectors
        length = part.diagonal(0, -2, -1).real
        part = part - VH @ (V * length.unsqueeze(-2))
        gap = values.unsqueeze(-2) - values.unsqueeze(-1)
        part = part / conj(_no_diagonal(gap))
        part = part - part.diagonal(0, -2, -1).diag_embed()
        inner = part if inner is None else inner + part
    return (_solve(VH, inner @ VH)[0],)


def _checked_eig(name: str, A: Any) -> Any:
    check_square(name, A)
    if A.dtype.rank < 2:
        raise RuntimeError(f"Unknown Complex ScalarType for {A.dtype.label}")
    check_kernel("linalg_eig_out_cpu", A)
    return _eig(A)


@composite(namespace="linalg", out=True)
def eig(A):
    """(eigenvalues, eigenvectors) of square matrices, always complex."""
    return named_result("linalg_eig", ("eigenvalues", "eigenvectors"))(_checked_eig("linalg.eig", A))


@composite(namespace="linalg", out=True)
def eigvals(A):
    """The eigenvalues of square matrices, always complex."""
    return _checked_eig("linalg.eigvals", A)[0]


# ---------------------------------------------------------------- singular values

@op(name="_svd", tensors=("A",), method=False, out=False, node="LinalgSvdBackward0")
def _svd(A, full_matrices):
    """(U, S, Vh)."""
    lost = ~np.isfinite(A).all(axis=(-2, -1))
    if lost.any():                                     # LAPACK may never come back from these
        _finite("linalg.svd", np.where(np.isinf(A), 0, A), "The algorithm failed to converge because the input matrix "
                                                           "contained non-finite values.")
        A = np.where(lost[..., None, None], A.dtype.type(0), A)
    try:
        U, S, Vh = np.linalg.svd(A, full_matrices=full_matrices)
        if lost.any():
            U[lost], S[lost], Vh[lost] = np.nan, np.nan, np.nan
        return columns(U), in_rows(S), columns(Vh)
    except np.linalg.LinAlgError:
        _finite("linalg.svd", A, "The algorithm failed to converge because the input matrix contained non-finite "
                                 "values.")
        raise LinAlgError("linalg.svd: " + _REPEATED.format(1)) from None


@_svd.derivative
def _svd_backward(g, A, out, needs):
    U, S, Vh = out[0], out[1], out[2]
    k = S.shape[-1]
    g_u, g_s, g_vh = g
    U, Vh = U[..., :k], Vh[..., :k, :]
    g_u = None if g_u is None else g_u[..., :k]
    g_vh = None if g_vh is None else g_vh[..., :k, :]
    m, n = A.shape[-2:]
    rows, columns = S.unsqueeze(-1), S.unsqueeze(-2)
    inner = S.diag_embed() * 0 if g_s is None else g_s.diag_embed()
    gap = _no_diagonal((columns - rows) * (columns + rows))
    if g_u is not None:
        turn = adjoint(U) @ g_u
        turn = turn - adjoint(turn)
        inner = inner + (turn / gap) * columns
        if A.is_complex() and g_vh is not None:
            phase = turn.diagonal(0, -2, -1)
            inner = inner - (phase * S).diag_embed() + (phase / (2 * S)).diag_embed()
    if g_vh is not None:
        turn = Vh @ adjoint(g_vh)
        turn = turn - adjoint(turn)
        inner = inner + rows * (turn / gap)
        if A.is_complex() and g_u is not None:
            inner = inner - (turn.diagonal(0, -2, -1) * S).diag_embed()
    inner = inner.to(A.dtype)
    left = U @ inner
    if m > k and g_u is not None:
        left = left + (g_u - U @ (adjoint(U) @ g_u)) / columns
    result = left @ Vh
    if n > k and g_vh is not None:
        result = result + (U / columns) @ (g_vh - (g_vh @ adjoint(Vh)) @ Vh)
    return (result,)


def checked_svd(A: Any, full_matrices: bool) -> Any:
    check_inexact("linalg.svd", A)
    check_matrix("linalg.svd", A)
    check_kernel("linalg_svd_cpu", A)
    return _svd(A, bool(full_matrices))


def _check_driver(driver: Any) -> None:
    if driver is not None:
        raise RuntimeError("torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with "
                           "cuSOLVER "
                           "backend.")


@composite(namespace="linalg", out=True)
def svd(A, full_matrices=True, *, driver=None):
    """(U, S, Vh) with ``A = U @ diag(S) @ Vh``, S in descending order."""
    _check_driver(driver)
    return named_result("linalg_svd", ("U", "S", "Vh"))(checked_svd(A, full_matrices))


@composite(namespace="linalg", out=True)
def svdvals(A, *, driver=None):
    """The singular values, in descending order."""
    _check_driver(driver)
    return checked_svd(A, False)[1]


@composite(name="svd", method=True, out=True)
def _torch_svd(input, some=True, compute_uv=True):
    """(U, S, V) with ``input = U @ diag(S) @ V.mH``; see ``torch.linalg.svd``."""
    if input.dim() < 2:
        raise RuntimeError(f"linalg.svd: input should have at least 2 dimensions, but has {input.dim()} dimensions "
                           "instead")
    result = named_result("svd", ("U", "S", "V"))
    if not compute_uv:
        S = checked_svd(input, False)[1]
        m, n = input.shape[-2:]
        batch = tuple(input.shape[:-2])
        return result((input.new_zeros((*batch, m, m)), S, adjoint(input.new_zeros((*batch, n, n)))))
    U, S, Vh = checked_svd(input, not some)
    return result((U, S, adjoint(Vh)))


# ---------------------------------------------------------------- reflections

@op(tensors=("input",), method=True, name="_geqrf", out=False)
def _geqrf(input):
    """(a, tau): the reflections of a QR decomposition, in LAPACK's packed form."""
    m, n = input.shape[-2:]
    k = min(m, n)
    if not input.size:
        return input.copy(), np.zeros((*input.shape[:-2], k), input.dtype)
    geqrf = lapack("geqrf", input)
    return each_matrix(lambda a: geqrf(a)[:2], [input], [((m, n), input.dtype), ((k,), input.dtype)])


@composite(method=True, out=True)
def geqrf(input):
    """(a, tau): the reflections of a QR decomposition, as ``householder_product`` takes them."""
    if input.dim() < 2:
        raise RuntimeError("torch.geqrf: input must have at least 2 dimensions.")
    check_kernel("geqrf_cpu", input)
    return named_result("geqrf", ("a", "tau"))(_geqrf(input))


def _reflector(input: Any, i: int) -> Any:
    """The i-th column below the diagonal, 1 on it, as a matrix of one column."""
    from flowtorch.ops.join import cat

    column = input[..., i:i + 1]
    parts = [column[..., :i, :] * 0, column[..., i:i + 1, :] * 0 + 1, column[..., i + 1:, :]]
    return cat([p for p in parts if p.shape[-2]], -2)


def _reflect(x: Any, input: Any, tau: Any, i: int, left: bool, turned: bool = False) -> Any:
    """``H_i @ x`` or ``x @ H_i``; ``turned``: with the adjoint of the reflection."""
    v, t = _reflector(input, i), tau[..., i:i + 1].unsqueeze(-1)
    t = conj(t) if turned else t
    return x - (t * v) @ (adjoint(v) @ x) if left else x - (x @ (t * v)) @ adjoint(v)


def _check_reflections(name: str, input: Any, tau: Any) -> None:
    if input.dim() < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if input.shape[-2] < input.shape[-1] and name.endswith("product"):
        raise RuntimeError(f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1]")
    if input.shape[-1] < tau.shape[-1]:
        raise RuntimeError(f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]")
    if input.dim() - tau.dim() != 1:
        raise RuntimeError(f"{name}: Expected tau to have one dimension less than input, but got tau.ndim equal to "
                           f"{tau.dim()} and input.ndim is equal to {input.dim()}")
    if tuple(input.shape[:-2]) != tuple(tau.shape[:-1]):
        raise RuntimeError(f"{name}: Expected batch dimensions of tau to be equal to input.shape[:-2], but got "
                           f"{list(tau.shape[:-1])}")
    if input.dtype is not tau.dtype:
        raise RuntimeError(f"torch.linalg.householder_product: tau dtype {tau.dtype.label} does not match input dtype "
                           f"{input.dtype.label}")


@composite(namespace="linalg", out=True)
def householder_product(A, tau):
    """The first columns of the product of the reflections ``1 - tau_i v_i v_i^H``."""
    name = "torch.linalg.householder_product"
    _check_reflections(name, A, tau)
    check_kernel("orgqr_cpu", A)
    Q = eye_like(A, *A.shape[-2:]).expand(A.shape)
    for i in reversed(range(tau.shape[-1])):
        Q = _reflect(Q, A, tau, i, True)
    return in_columns(Q)


@composite(name="orgqr", method=True, out=True)
def orgqr(input, tau):
    """See ``torch.linalg.householder_product``."""
    return householder_product(input, tau)


@composite(method=True, out=True)
def ormqr(input, tau, other, left=True, transpose=False):
    """The product of ``other`` with the square Q of the reflections, from the left or right, perhaps transposed."""
    name = "torch.ormqr"
    if input.dim() < 2 or other.dim() < 2:
        raise RuntimeError(f"{name}: {'input' if input.dim() < 2 else 'other'} must have at least 2 dimensions.")
    size = other.shape[-2 if left else -1]
    if size != input.shape[-2]:
        raise RuntimeError(f"{name}: other.shape[{-2 if left else -1}] must be equal to input.shape[-2]")
    if size < tau.shape[-1]:
        raise RuntimeError(f"{name}: other.shape[{-2 if left else -1}] must be greater than or equal to tau.shape[-1]")
    if other.dtype is not input.dtype:
        raise RuntimeError(f"{name}: Expected input and other to have the same dtype, but input has dtype "
                           f"{input.dtype.label} and "
                           f"other has dtype {other.dtype.label}")
    if tau.shape[-1] != min(size, input.shape[-1]):
        raise RuntimeError(f"{name}: tau.shape[-1] must be equal to min(other.shape[{-2 if left else -1}], "
                           "input.shape[-1])")
    _check_reflections(name, input, tau)
    check_kernel("ormqr_cpu", input)
    order = range(tau.shape[-1])
    x = other
    for i in (reversed(order) if bool(left) != bool(transpose) else order):
        x = _reflect(x, input, tau, i, bool(left), bool(transpose))
    return in_columns(x)

