"""A few extreme eigenpairs of a large symmetric matrix, of which only products with blocks of vectors are asked for."""
from __future__ import annotations

from typing import Any

from flowtorch.ops.op import composite


@composite
def lobpcg(A, k=None, B=None, X=None, n=None, iK=None, niter=None, tol=None, largest=None, method=None, tracker=None,
           ortho_iparams=None, ortho_fparams=None, ortho_bparams=None):
    """(eigenvalues, eigenvectors) of ``A x = e B x``: the ``k`` largest (or smallest) ones, ``A`` dense or sparse.

    ``X`` holds starting vectors, ``iK`` preconditions the residuals. Knyazev, 2001; the basis is made orthonormal as
    in Stathopoulos and Wu, 2002. For gradients a dense ``A`` is decomposed as a whole.
    """
    import flowtorch as torch

    assert A.shape[-2] == A.shape[-1], f"A must be square, got shape {A.shape}"
    m = A.shape[-1]
    if k is None:
        k = 1 if X is None else X.shape[-1]
    n = (k if X is None else X.shape[-1]) if n is None else n
    if m < 3 * n:
        raise ValueError(f"LOBPCG algorithm is not applicable when the number of A rows (={m}) is smaller than 3 x the "
                         f"number of requested eigenpairs (={n})")
    largest = True if largest is None else largest
    if X is None:
        kind = A.dtype if A.dtype.is_floating_point else torch.get_default_dtype()
        X = torch.randn((*A.shape[:-2], m, n), dtype=kind, device=A.device)
    if any(t is not None and t.requires_grad for t in (A, B)):
        return _decomposed(torch, A, B, k, largest)
    tol = torch.finfo(X.dtype).eps ** 0.5 if tol is None else tol
    if A.dim() == 2:
        return _iterate(torch, A, B, X, iK, k, 1000 if niter is None else niter, tol, largest)
    batch = A.shape[:-2]
    pairs = [
        _iterate(torch, a, None if B is None else B.expand(A.shape).reshape(-1, m, m)[i], x, iK, k,
                 1000 if niter is None else niter, tol, largest)
        for i, (a, x) in enumerate(zip(A.reshape(-1, m, m), X.expand(*batch, m, n).reshape(-1, m, n), strict=True))
    ]
    return (torch.stack([e for e, _ in pairs]).view(*batch, k), torch.stack([v for _, v in pairs]).view(*batch, m, k))


def _decomposed(torch: Any, A: Any, B: Any, k: int, largest: bool) -> tuple:
    """The same by a complete decomposition, which has a derivative."""
    if B is None:
        values, vectors = torch.linalg.eigh(A)
    else:
        L = torch.linalg.cholesky(B)
        inner = torch.linalg.solve_triangular(L, A, upper=False)
        inner = torch.linalg.solve_triangular(L, inner.mT, upper=False)
        values, vectors = torch.linalg.eigh((inner + inner.mT) / 2)
        vectors = torch.linalg.solve_triangular(L.mT, vectors, upper=True)
    if largest:
        values, vectors = values.flip(-1), vectors.flip(-1)
    return values[..., :k], vectors[..., :k]


def _orthonormal(torch: Any, S: Any, B: Any) -> Any:
    """A basis of the columns' span, orthonormal under ``B``; directions that are dependent are dropped."""
    for _ in range(2):
        gram = S.mT @ (S if B is None else B @ S)
        scale = gram.diagonal().clamp_min(torch.finfo(S.dtype).tiny).rsqrt()
        values, vectors = torch.linalg.eigh(gram * scale * scale.unsqueeze(-1))
        keep = values > torch.finfo(S.dtype).eps * values[-1] * len(values)
        S = (S * scale) @ (vectors[:, keep] * values[keep].rsqrt())
    return S


def _iterate(torch: Any, A: Any, B: Any, X: Any, iK: Any, k: int, niter: int, tol: float, largest: bool) -> tuple:
    """Rayleigh and Ritz on the span of the vectors, their residuals and the last steps, until the residuals vanish."""
    n = X.shape[-1]
    S, P = _orthonormal(torch, X, B), None
    for step in range(max(niter, 0) + 1):
        AS = A @ S
        values, vectors = torch.linalg.eigh(S.mT @ AS)
        if largest:
            values, vectors = values.flip(0), vectors.flip(1)
        E, Z = values[:n], vectors[:, :n]
        old, X = X, S @ Z
        AX = AS @ Z
        R = AX - (X if B is None else B @ X) * E
        size = torch.linalg.vector_norm(X, dim=0) * (torch.linalg.vector_norm(AX) + E.abs())
        if step == niter or bool((torch.linalg.vector_norm(R, dim=0)[:k] <= tol * size[:k]).all()):
            break
        P = X - old @ (old.mT @ X) if step else None
        W = R if iK is None else iK @ R
        S = _orthonormal(torch, torch.cat([X, W] if P is None else [X, W, P], 1), B)
    return E[:k], X[:, :k]
