"""Randomised decompositions of low rank."""

from __future__ import annotations

from typing import Any

from flowtorch.ops.linalg_base import adjoint
from flowtorch.ops.linalg_decompose import qr, svd
from flowtorch.ops.op import composite


def _basis(A: Any, q: int, niter: int) -> Any:
    """An orthonormal basis that spans most of the range of ``A``: iterated on a random subspace."""
    from flowtorch.ops.random import randn

    Q = qr(A @ randn(A.shape[-1], q, dtype=A.dtype, device=A.device))[0]
    for _ in range(niter):
        Q = qr(adjoint(A) @ Q)[0]
        Q = qr(A @ Q)[0]
    return Q


@composite(method=False)
def svd_lowrank(A, q=6, niter=2, M=None):
    """(U, S, V): the leading ``q`` singular values and vectors of ``A`` (less ``M``), found on a random subspace."""
    q = 6 if q is None else q
    A = A if M is None else A - M.expand(A.shape)
    wide = A.shape[-2] < A.shape[-1]
    B = adjoint(A) if wide else A
    Q = _basis(B, q, niter)
    U, S, Vh = svd(adjoint(Q) @ B, full_matrices=False)
    U, V = Q @ U, adjoint(Vh)
    return (V, S, U) if wide else (U, S, V)


@composite
def pca_lowrank(A, q=None, center=True, niter=2):
    """(U, S, V): the leading ``q`` principal components of the rows of ``A``, their mean removed if ``center``."""
    m, n = A.shape[-2:]
    if q is None:
        q = min(6, m, n)
    elif not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    if A.dtype.rank < 2:
        raise ValueError(f"input must have a floating-point dtype, got {A.dtype}")
    return svd_lowrank(A - A.mean(-2, True) if center else A, q, niter)
