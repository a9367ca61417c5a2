"""Pseudo-inverses, norms, ranks, powers and products of matrices."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.ops.families import named_result, normalize_dim, op
from flowtorch.ops.linalg_base import (
    LinAlgError,
    adjoint,
    check_inexact,
    check_matrix,
    check_same,
    check_square,
    columns,
)
from flowtorch.ops.linalg_decompose import _eigh, checked_svd
from flowtorch.ops.linalg_solve import eye_like, inv_ex
from flowtorch.ops.norm import vector_norm
from flowtorch.ops.op import composite
from flowtorch.ops.pointwise import conj
from flowtorch.tensor import Tensor


def _cat(tensors: Any, dim: int) -> Any:
    from flowtorch.ops.join import cat

    return cat(tensors, dim)


# ---------------------------------------------------------------- pseudo-inverse, least squares, rank

def _tolerances(name: str, A: Any, atol: Any, rtol: Any) -> Any:
    """The threshold below which a singular value counts as 0, as a function of the largest."""
    if (atol is None and rtol is None) or (rtol is None and not isinstance(atol, Tensor) and atol <= 0):
        rtol = dtypes.finfo(A.dtype).eps * max(A.shape[-2:])
    elif rtol is None:
        rtol = 0.0
        if isinstance(atol, Tensor):
            eps = dtypes.finfo(A.dtype).eps * max(A.shape[-2:])
            rtol = (atol <= 0).to(A.dtype.to_real()) * eps  # type: ignore[attr-defined]
    for word, t in (("atol", atol), ("rtol", rtol)):
        if isinstance(t, Tensor) and t.is_complex():
            raise RuntimeError(f"{name}: {word} tensor of complex type is not supported.")
    return (0.0 if atol is None else atol), rtol


def _threshold(largest: Any, atol: Any, rtol: Any) -> Any:
    from flowtorch.ops.factory import as_tensor

    one = as_tensor(atol, dtype=largest.dtype, device=largest.device)
    other = as_tensor(rtol, dtype=largest.dtype, device=largest.device) * largest
    return one.maximum(other)


@op(name="_pinv", tensors=("A", "atol", "rtol"), method=False, out=False, node="LinalgPinvBackward0",
    vjp=(lambda g, A, out: _pinv_backward(g, A, out), None, None))
def _pinv(A, atol, rtol, hermitian):
    """The pseudo-inverse: singular values at or below ``max(atol, rtol * largest)`` count as 0."""
    if not A.size:
        return np.zeros((*A.shape[:-2], A.shape[-1], A.shape[-2]), A.dtype)
    if hermitian:
        S, U = np.linalg.eigh(A)
        Vh, size = U.conj().swapaxes(-2, -1), np.absolute(S)
    else:
        try:
            U, S, Vh = np.linalg.svd(A, full_matrices=False)
        except np.linalg.LinAlgError:
            raise LinAlgError("linalg.svd: The algorithm failed to converge because the input matrix contained "
                              "non-finite values.") from None
        size = S
    limit = np.maximum(atol, rtol * size.max(-1))[..., None]
    inverse = np.where(size > limit, 1 / np.where(S == 0, 1, S), 0).astype(S.dtype)
    return (Vh.conj().swapaxes(-2, -1) * inverse[..., None, :]) @ U.conj().swapaxes(-2, -1)


def _pinv_backward(g, A, P):
    gh, ph = adjoint(g), adjoint(P)
    second = gh @ P @ ph
    third = ph @ (P @ gh)
    return -(ph @ g @ ph) + (second - A @ (P @ second)) + (third - (third @ P) @ A)


@composite(namespace="linalg", out=True)
def pinv(A, rcond=None, hermitian=False, *, atol=None, rtol=None):
    """The pseudo-inverse; singular values at or below ``max(atol, rtol * largest)`` count as 0."""
    if A.dim() < 2 or A.dtype.rank < 2 or A.dtype in dtypes.LOW_PRECISION:
        raise RuntimeError(f"linalg.pinv({A.dtype.label}{{{list(A.shape)}}}): expected a tensor with 2 or more "
                           "dimensions of "
                           "float, double, cfloat or cdouble types")
    if hermitian:
        check_square("linalg.pinv", A)
    atol, rtol = _tolerances("torch.linalg.pinv", A, atol, rcond if rcond is not None else rtol)
    from flowtorch.ops.factory import as_tensor

    real = A.dtype.to_real()
    atol, rtol = (as_tensor(t, dtype=real, device=A.device).detach() for t in (atol, rtol))
    return _pinv(A, atol, rtol, bool(hermitian))


@composite(name="pinverse", method=True)
def pinverse(input, rcond=1e-15):
    """The pseudo-inverse; see ``torch.linalg.pinv``."""
    return pinv(input, rcond)


@composite(namespace="linalg", out=True)
def matrix_rank(A, tol=None, hermitian=False, *, atol=None, rtol=None):
    """The number of singular values above ``max(atol, rtol * largest)``."""
    check_matrix("torch.linalg.matrix_rank", A, "input")
    if A.dtype.rank < 2 or A.dtype in dtypes.LOW_PRECISION:
        raise RuntimeError("This function doesn't handle types other than float and double")
    A = A.detach()
    atol, rtol = _tolerances(
        "torch.linalg.matrix_rank", A, atol if tol is None else tol, 0.0 if tol is not None else rtol
    )
    if A.numel() == 0:
        return A.new_zeros(tuple(A.shape[:-2]), dtype=dtypes.int64)
    if hermitian:
        check_square("linalg.eigh", A)
    size = _eigh(A, "L")[0].abs() if hermitian else checked_svd(A, False)[1]
    return (size > _threshold(size.amax(-1), atol, rtol).unsqueeze(-1)).sum(-1)


@op(name="_lstsq", tensors=("A", "B"), method=False, out=False, node="LinalgLstsqBackward0")
def _lstsq(A, B, rcond, driver):
    """(solution, residuals, rank, singular values) of least squares."""
    m, n = A.shape[-2:]
    batch = np.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    real = np.empty(0, A.dtype).real.dtype
    a, b = np.broadcast_to(A, batch + A.shape[-2:]), np.broadcast_to(B, batch + B.shape[-2:])
    X = columns(np.zeros((*batch, max(m, n), B.shape[-1]), A.dtype))[..., :n, :]
    S = np.zeros((*batch, min(m, n)), real)
    rank = np.zeros(batch, np.int64)
    if a.size and b.size:
        for i in np.ndindex(*batch):
            X[i], _, rank[i], S[i] = np.linalg.lstsq(a[i], b[i], rcond=rcond)
    empty = np.zeros((0,), real)
    residuals = empty
    if m > n and (driver == "gels" or (rank == n).all()) and driver != "gelsy":
        residuals = (np.absolute(b - a @ X) ** 2).sum(-2)
    return (X, residuals, np.zeros((0,), np.int64) if driver == "gels" else rank,
            S if driver in ("gelsd", "gelss") else empty)


@_lstsq.derivative
def _lstsq_backward(g, A, B, needs):
    g_x, g_residuals = g[0], g[1]
    P = pinv(A)
    g_a = g_b = None
    if g_x is not None:
        g_a = _pinv_backward(g_x @ adjoint(B), A, P) if needs[0] else None
        g_b = adjoint(P) @ g_x
    if g_residuals is not None and g_residuals.numel():       # at the minimum they do not depend on the solution
        X = P @ B
        part = 2 * (B - A @ X) * g_residuals.unsqueeze(-2)
        g_b = part if g_b is None else g_b + part
        part = -(part @ adjoint(X))
        g_a = part if g_a is None else g_a + part
    return g_a, g_b


@composite(namespace="linalg", out=True)
def lstsq(A, B, rcond=None, *, driver=None):
    """(solution, residuals, rank, singular_values) of ``min |A X - B|``."""
    name = "torch.linalg.lstsq"
    if A.dim() < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if B.dim() < 1:
        raise RuntimeError(f"{name}: other must have at least 1 dimension.")
    if A.dtype is not B.dtype:
        raise RuntimeError(f"{name}: Expected input and other to have the same dtype, but got input's dtype "
                           f"{A.dtype.label} and "
                           f"other's dtype {B.dtype.label}")
    if driver is not None and driver not in ("gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(f"{name}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)")
    if A.dim() - B.dim() not in (0, 1):
        raise RuntimeError(f"{name}: input.dim() must be greater or equal to other.dim() and (input.dim() - "
                           "other.dim()) <= 1")
    vector = B.dim() == A.dim() - 1 and tuple(A.shape[:-1]) == tuple(B.shape)
    if A.dim() - B.dim() == 1 and A.shape[-2] != B.shape[-1]:
        raise RuntimeError(f"{name}: input.size(-2) should match other.size(-1)")
    if not vector and A.shape[-2] != B.shape[-2]:
        raise RuntimeError(f"{name}: input.size(-2) should match other.size(-2)")
    if A.dtype.rank < 2:
        raise RuntimeError("This function doesn't handle types other than float and double")
    if rcond is None:
        rcond = dtypes.finfo(A.dtype).eps * max(A.shape[-2:])
    X, residuals, rank, S = _lstsq(A, B.unsqueeze(-1) if vector else B, rcond,
                                   driver or ("gelsy" if A.device.type != "cuda" else "gels"))
    return named_result("linalg_lstsq", ("solution", "residuals", "rank", "singular_values"))(
        (X.squeeze(-1) if vector else X, residuals, rank, S.detach()))


# ---------------------------------------------------------------- norms

_ORDERS = {"fro", "nuc"}


def _two_dims(dim: Any, A: Any) -> tuple[int, int]:
    dims = tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)
    if len(dims) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {' '.join(map(str, dims))}")
    first, second = (normalize_dim(d, A.dim()) for d in dims)
    if first == second:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({dims[0]}, {dims[1]})")
    return first, second


@composite(namespace="linalg", out=True)
def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None):
    """The norm of matrices: "fro", "nuc", 1, -1, 2, -2, inf or -inf."""
    check_matrix("linalg.matrix_norm", A)
    check_inexact("linalg.matrix_norm", A)
    if isinstance(ord, str):
        if ord not in _ORDERS:
            raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    elif abs(ord) not in (1, 2, math.inf):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    rows, columns = _two_dims(dim, A)
    if ord == "fro":
        return vector_norm(A, 2, (rows, columns), keepdim, dtype=dtype)
    if dtype is not None:
        A = A.to(dtype)
    if ord == "nuc" or abs(ord) == 2:
        S = checked_svd(A.movedim((rows, columns), (-2, -1)), False)[1]
        result = S.sum(-1) if ord == "nuc" else _extreme(S, ord > 0, -1, False)
        return _restore(result, rows, columns) if keepdim else result
    if abs(ord) == math.inf:
        rows, columns = columns, rows
    sums = vector_norm(A, 1, rows, True)
    result = _extreme(sums, ord > 0, columns, True)
    return result if keepdim else result.squeeze((rows, columns))


def _extreme(x: Any, largest: bool, dim: int, keepdim: bool) -> Any:
    if largest and not x.shape[dim]:                # the largest of no sizes is zero
        return x.sum(dim, keepdim=keepdim)
    return x.amax(dim, keepdim) if largest else x.amin(dim, keepdim)


def _restore(x: Any, rows: int, columns: int) -> Any:
    for d in sorted((rows, columns)):
        x = x.unsqueeze(d)
    return x


@composite(namespace="linalg", out=True, name="norm")
def linalg_norm(input, ord=None, dim=None, keepdim=False, *, dtype=None):
    """A vector norm or a matrix norm, by ``ord`` and the number of dimensions."""
    A = input
    if dim is not None and (isinstance(dim, int) or len(dim) > 2):
        if len(dim if isinstance(dim, (tuple, list)) else (dim,)) not in (1, 2):
            raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dim)}")
    if ord is not None and dim is None and A.dim() not in (1, 2):
        raise RuntimeError("linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. "
                           f"Got {A.dim()}D.")
    dims = (dim,) if isinstance(dim, int) else dim
    if isinstance(ord, str):
        if dims is None:
            dims = tuple(range(A.dim()))
        return matrix_norm(A, ord, dims, keepdim, dtype=dtype)
    if ord is not None and (len(dims) == 2 if dims is not None else A.dim() == 2):
        return matrix_norm(A, ord, (0, 1) if dims is None else dims, keepdim, dtype=dtype)
    return vector_norm(A, 2 if ord is None else ord, dims, keepdim, dtype=dtype)


@composite(namespace="linalg", out=True)
def cond(A, p=None):
    """The condition number in the norm ``p`` (None: 2)."""
    if A.dim() < 2:
        raise RuntimeError("linalg.cond: The input tensor must have at least 2 dimensions.")
    if (isinstance(p, str) and p not in _ORDERS) or (
        p is not None and not isinstance(p, str) and abs(p) not in (1, 2, math.inf)
    ):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    if p is None or p in (2, -2):
        S = checked_svd(A, False)[1]
        if not A.numel():
            return A.new_zeros(tuple(A.shape[:-2]), dtype=S.dtype)
        return S[..., -1] / S[..., 0] if p == -2 else S[..., 0] / S[..., -1]
    check_square(f"linalg.cond(ord={p})", A)
    if not A.numel():
        return A.new_zeros(tuple(A.shape[:-2]), dtype=A.dtype.to_real())
    if p == "nuc":
        S = checked_svd(A, False)[1]
        return S.sum(-1) * S.reciprocal().sum(-1)
    inverse, info = inv_ex(A)
    inverse = inverse.masked_fill((info != 0)[..., None, None], math.inf)
    return matrix_norm(A, p) * matrix_norm(inverse, p)


# ---------------------------------------------------------------- powers and products

def _power(A: Any, n: int, name: str = "linalg.matrix_power") -> Any:
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"linalg_matrix_power(): argument 'n' (position 2) must be int, not {type(n).__name__}")
    check_square(name, A)
    if n == 0:
        return A.masked_fill(eye_like(A, A.shape[-1]) == eye_like(A, A.shape[-1]), 0) + eye_like(A, A.shape[-1])
    if n == 1:
        return A.clone(memory_format=dtypes.contiguous_format)
    if n < 0:
        from flowtorch.ops.linalg_solve import inv

        A, n = inv(A), -n
    result = None
    while n:
        if n & 1:
            result = A if result is None else result @ A
        n >>= 1
        A = A @ A if n else A
    return result


@composite(namespace="linalg", out=True)
def matrix_power(A, n):
    """The ``n``-th power of square matrices; of their inverse if ``n`` is negative."""
    return _power(A, n)


@composite(name="matrix_power", method=True, out=True)
def _torch_matrix_power(input, n):
    """See ``torch.linalg.matrix_power``."""
    return _power(input, n)


@op(name="_matrix_exp", tensors=("A",), method=False, out=False, node="LinalgMatrixExpBackward0",
    vjp=(lambda g, A: _matrix_exp_backward(g, A),))
def _matrix_exp(A):
    """The exponential of square matrices."""
    if not A.size:
        return A.copy()
    wide = A.astype(np.complex128 if A.dtype.kind == "c" else np.float64, copy=False)
    return _exponential(wide).astype(A.dtype, copy=False)


_FACTORIALS = [1 / math.factorial(k) for k in range(20)]


def _exponential(A: np.ndarray) -> np.ndarray:
    """Taylor's polynomial of degree 19 of A / 2^s, whose norm is at most 1, squared s times; by four powers of A."""
    size = np.absolute(A).sum(-2).max(-1)
    with np.errstate(divide="ignore"):
        s = np.clip(np.ceil(np.log2(np.where(np.isfinite(size), size, 0))), 0, 1100).astype(np.int64)
    A = A * np.exp2(-s.astype(np.float64))[..., None, None]
    eye = np.eye(A.shape[-1], dtype=A.dtype)
    A2 = A @ A
    powers = [eye, A, A2, A2 @ A, A2 @ A2]
    result = np.zeros_like(A)
    for first in range(16, -1, -4):
        block = sum((_FACTORIALS[first + k] * powers[k] for k in range(1, 4)), _FACTORIALS[first] * eye)
        result = result @ powers[4] + block
    for k in range(int(s.max())):
        result = np.where((s > k)[..., None, None], result @ result, result)
    return result


def _matrix_exp_backward(g, A):
    """The upper right block of exp([[A^H, g], [0, A^H]]) is the derivative in the direction g."""
    n, a = A.shape[-1], adjoint(A)
    block = _cat([_cat([a, g], -1), _cat([a * 0, a], -1)], -2)
    return _matrix_exp(block)[..., :n, n:]


@composite(namespace="linalg")
def matrix_exp(A):
    """The exponential of square matrices."""
    check_square("linalg.matrix_exp", A)
    check_inexact("linalg.matrix_exp", A)
    return _matrix_exp(A)


@composite(name="matrix_exp", method=True)
def _torch_matrix_exp(A):
    """See ``torch.linalg.matrix_exp``."""
    return matrix_exp(A)


@composite(namespace="linalg", out=True)
def tensorinv(A, ind=2):
    """The inverse of A as a linear map between its first ``ind`` dimensions and the others."""
    if ind <= 0:
        raise RuntimeError(f"Expected a strictly positive integer for 'ind', but got {ind}")
    head, tail = tuple(A.shape[:ind]), tuple(A.shape[ind:])
    if math.prod(head) != math.prod(tail):
        raise RuntimeError("Expected self to satisfy the requirement prod(self.shape[ind:]) == "
                           "prod(self.shape[:ind]), but got "
                           f"{math.prod(tail)} != {math.prod(head)}")
    from flowtorch.ops.linalg_solve import inv

    size = math.prod(tail)
    return inv(A.reshape(size, size)).reshape(tail + head)


@composite(namespace="linalg", out=True)
def tensorsolve(A, B, dims=None):
    """X with ``tensordot(A, X, X.ndim) = B``; ``dims`` of A are moved to its end first."""
    if dims is not None:
        where = tuple(range(A.dim() - len(dims), A.dim()))
        A = A.movedim(tuple(dims), where)
    head, tail = tuple(A.shape[:B.dim()]), tuple(A.shape[B.dim():])
    if math.prod(head) != math.prod(tail):
        raise RuntimeError("Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
                           "prod(self.shape[:other.ndim])"
                           f", but got {math.prod(tail)} != {math.prod(head)}")
    from flowtorch.ops.linalg_solve import solve

    size = math.prod(tail)
    return solve(A.reshape(size, size), B.reshape(size)).reshape(tail)


@composite(namespace="linalg")
def vander(x, *, N=None):
    """The powers 0 .. N - 1 of every element, along a new last dimension."""
    x = x.reshape(1) if x.dim() == 0 else x
    if x.dtype is dtypes.bool_:
        x = x.to(dtypes.int64)
    if N is not None and not hasattr(N, "__index__"):
        raise TypeError(f"linalg_vander(): argument 'N' must be int, not {type(N).__name__}")
    size = x.shape[-1] if N is None else N
    if size <= 1:
        raise RuntimeError("N must be greater than 1.")
    rest = x.unsqueeze(-1).expand(*x.shape, size - 1).cumprod(-1)
    return _cat([(x * 0 + 1).unsqueeze(-1).to(rest.dtype), rest], -1)


@composite(namespace="linalg", out=True)
def vecdot(x, y, *, dim=-1):
    """The sum of ``conj(x) * y`` along ``dim``."""
    check_inexact("linalg.vecdot", x)
    check_same("linalg.vecdot", x, y, "x", "y")
    return (conj(x) * y).sum(dim)


@composite(namespace="linalg", name="diagonal")
def linalg_diagonal(A, *, offset=0, dim1=-2, dim2=-1):
    """The diagonals of matrices; see ``torch.diagonal``."""
    return A.diagonal(offset, dim1, dim2)
