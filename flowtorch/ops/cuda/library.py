"""Linear algebra and Fourier transforms on the device by way of CuPy (cuSOLVER, cuFFT), and what is made of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowtorch.array.cuda import array_module, empty, to_host
from flowtorch.codegen.triton_map import grid_map
from flowtorch.ops import linalg_solve
from flowtorch.ops.cuda.base import dense, formula, kernel, parts, zeros
from flowtorch.ops.cuda.composed import composed, public


def _linalg(name: str) -> Any:
    found = getattr(array_module().linalg, name, None)
    if found is None:
        raise NotImplementedError(f"this version of CuPy has no linalg.{name}")
    return found


def _info(a: Any, value: int = 0) -> Any:
    made = zeros(a.shape[:-2], np.int32)
    if value:
        made.fill(value)
    return made


def _or_singular(name: str, a: Any, *rest: Any) -> tuple:
    """The library's result and an info of zeros; NaN and ones where it found the matrix singular."""
    try:
        return _linalg(name)(a, *rest), _info(a)
    except np.linalg.LinAlgError:
        like = rest[0] if rest else a
        result = empty(like.shape, like.dtype)
        result.fill(math.nan)
        return result, _info(a, 1)


@kernel("_inv", library=True)
def inv(A: Any) -> tuple:
    return _or_singular("inv", A)


@kernel("_det", library=True)
def det(A: Any) -> Any:
    return array_module().asarray(_linalg("det")(A))


@kernel("_slogdet", library=True)
def slogdet(A: Any) -> tuple:
    sign, size = _linalg("slogdet")(A)
    return array_module().asarray(sign), array_module().asarray(size)


@kernel("_solve", library=True)
def solve(A: Any, B: Any) -> tuple:
    return _or_singular("solve", A, B)


@kernel("_cholesky", library=True)
def cholesky(A: Any, upper: bool) -> tuple:
    factor, info = _or_singular("cholesky", A.swapaxes(-2, -1).conj() if upper else A)
    return (factor.swapaxes(-2, -1).conj() if upper else factor), info


@kernel("_qr", library=True)
def qr(A: Any, mode: str) -> tuple:
    if mode == "r":
        return empty((0,), A.dtype), _linalg("qr")(A, mode="r")
    return tuple(_linalg("qr")(A, mode=mode))


@kernel("_geqrf", library=True)
def geqrf(input: Any) -> tuple:
    *batch, m, n = input.shape
    packed = empty((*batch, n, m), input.dtype).swapaxes(-2, -1)  # column by column, as PyTorch returns it
    factors = zeros((*batch, min(m, n)), input.dtype)
    if input.size:
        for at in np.ndindex(*batch):
            columns, factors[at] = _linalg("qr")(input[at], mode="raw")
            packed[at] = columns.T
    return packed, factors


@kernel("_eigh", library=True)
def eigh(A: Any, UPLO: str) -> tuple:
    return tuple(_linalg("eigh")(A, UPLO))


@kernel("_eig", library=True)
def eig(A: Any) -> tuple:
    values, vectors = _linalg("eig")(A)
    kind = np.result_type(A.dtype, np.complex64)
    return values.astype(kind), vectors.astype(kind)


@kernel("_svd", library=True)
def svd(A: Any, full_matrices: bool) -> tuple:
    return tuple(_linalg("svd")(A, full_matrices=full_matrices))


@kernel("_lu_factor", library=True)
def lu_factor(A: Any) -> tuple:
    module = array_module()
    if module is np:
        from scipy.linalg import lu_factor as factor
    else:
        from cupyx.scipy.linalg import lu_factor as factor
    m, n = A.shape[-2:]
    result = empty(A.shape, A.dtype)
    pivots, info = zeros((*A.shape[:-2], min(m, n)), np.int32), _info(A)
    for at in np.ndindex(*A.shape[:-2]):
        lu, order = factor(A[at], check_finite=False)
        result[at], pivots[at] = lu, order
    return result, formula("x + 1", (("x", "int32"),), (), "int32")(pivots), info


# ---------------------------------------------------------------- kernels of ours

@kernel("_permutation")
def permutation(pivots: Any, m: int) -> Any:
    batch = pivots.shape[:-1]
    result = empty((*batch, m, m), np.dtype(np.float32))
    if not result.size:
        return result
    places = empty((math.prod(batch), m), np.dtype(np.int32))
    lines = [
        "place = c1",
        "for k in range(count):",
        "    p = tl.load(p_ptr + c0 * count + k, mask=m, other=1) - 1",
        "    place = tl.where(place == k, p, tl.where(place == p, k, place))",
        "y = place",
    ]
    grid_map("permutation", places.shape, lines, {}, {"y": places}, {"p": dense(pivots)}, {"count": pivots.shape[-1]})
    flat = result.reshape(-1, m, m)
    grid_map("permutation", flat.shape, ["y = p == c2"], {"p": places[..., None]}, {"y": flat})
    return result


# ---------------------------------------------------------------- made of them

@composed("_cholesky_solve")
def cholesky_solve(B, L, upper):
    first = L.transpose(-2, -1) if upper else L
    inner = public("_solve_triangular")(first, B, False, True, False)
    return public("_solve_triangular")(first.transpose(-2, -1), inner, True, True, False)


@composed("_cholesky_inverse")
def cholesky_inverse(L, upper):
    eye = linalg_solve.eye_like(L, L.shape[-1]).expand(L.shape)
    return cholesky_solve(eye, L, upper)


@composed("_pinv")
def pinv(A, atol, rtol, hermitian):
    if not A.numel():
        return A.transpose(-2, -1).clone()
    if hermitian:
        S, U = public("_eigh")(A, "L")
        Vh, size = U.mH, S.abs()
    else:
        U, S, Vh = public("_svd")(A, False)
        size = S
    limit = public("maximum")(atol, rtol * size.amax(-1)).unsqueeze(-1)
    inverse = (1 / S.masked_fill(S == 0, 1)).masked_fill(limit >= size, 0)
    return (Vh.mH * inverse.unsqueeze(-2)) @ U.mH


@composed("_lstsq")
def lstsq(A, B, rcond, driver):
    m, n = A.shape[-2:]
    nothing = A.new_zeros(0, dtype=A.dtype.to_real())
    rank, values = nothing.long(), nothing
    if driver != "gels":
        U, S, Vh = public("_svd")(A, False)
        some = rcond * S.amax(-1, True) < S if S.numel() else S > 0
        X = Vh.mH @ ((U.mH @ B) * (1 / S).where(some, 0).unsqueeze(-1))
        rank, values = some.sum(-1), S if driver in ("gelsd", "gelss") else nothing
    elif m >= n:
        Q, R = public("_qr")(A, "reduced")
        X = public("_solve_triangular")(R, Q.mH @ B, True, True, False)
    else:
        Q, R = public("_qr")(A.mH, "reduced")
        X = Q @ public("_solve_triangular")(R.mH, B, False, True, False)
    full = m > n and (driver == "gels" or (driver != "gelsy" and bool((rank == n).all())))
    residuals = (B - A @ X).abs().square().sum(-2) if full else nothing
    return X, residuals, rank, values


@composed("_matrix_exp")
def matrix_exp(A):
    if not A.numel():
        return A.clone()
    size = float(to_host(A.abs().sum(-1).amax()._array))
    squarings = max(0, math.ceil(math.log2(size)) + 1) if size > 0 and math.isfinite(size) else 0
    X = A / 2.0**squarings
    eye = linalg_solve.eye_like(A, A.shape[-1])
    result = eye.expand(A.shape)
    for k in range(18, 0, -1):
        result = eye + (X @ result) / k
    for _ in range(squarings):
        result = result @ result
    return result


# ---------------------------------------------------------------- Fourier transforms

def _transform(name: str, input: Any, scale: float, target: np.dtype, **options: Any) -> Any:
    result = getattr(array_module().fft, name)(input, **options)
    if scale != 1:
        for part in parts(result) if result.dtype.kind == "c" else (result,):
            name = part.dtype.name
            formula("x * s", (("x", name),), ("s",), name)(part, float(scale), out=part)
    return result.astype(target) if result.dtype != target else result


def _complex(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.complex64 if dtype.itemsize <= (8 if dtype.kind == "c" else 4) else np.complex128)


@kernel("_fft_c2c", library=True)
def fft_c2c(input: Any, dims: Any, scale: float, forward: bool) -> Any:
    options = {} if forward else {"norm": "forward"}
    return _transform("fftn" if forward else "ifftn", input, scale, _complex(input.dtype), axes=dims, **options)


@kernel("_fft_r2c", library=True)
def fft_r2c(input: Any, dims: Any, scale: float) -> Any:
    return _transform("rfftn", input, scale, _complex(input.dtype), axes=dims)


@kernel("_fft_c2r", library=True)
def fft_c2r(input: Any, dims: Any, scale: float, size: int) -> Any:
    sizes = [input.shape[d] for d in dims[:-1]] + [size]
    real = np.dtype(np.float32 if input.dtype.itemsize == 8 else np.float64)
    return _transform("irfftn", input, scale, real, s=sizes, axes=dims, norm="forward")


# ---------------------------------------------------------------- pieces of numbers

@kernel("frexp")
def frexp(input: Any) -> tuple:
    mantissa, exponent = empty(input.shape, input.dtype), empty(input.shape, np.dtype(np.int32))
    wide = input.dtype == np.float64
    state, bits, shift, bias = ("float64", "int64", 52, 1022) if wide else ("float32", "int32", 23, 126)
    tiny = f"{2.0**54 if wide else 2.0**25!r}"
    lines = [
        f"v = x.to(tl.{state})",
        f"small = (tl.abs(v) < {2.0**-1000 if wide else 2.0**-120!r}) & (v != 0)",
        f"u = tl.where(small, v * {tiny}, v)",
        f"b = u.to(tl.{bits}, bitcast=True)",
        "plain = (v == v) & (tl.abs(v) < float('inf')) & (v != 0)",
        f"e = ((b >> {shift}) & {2 * bias + 3}) - {bias}",
        f"f = ((b & ~({2 * bias + 3} << {shift})) | ({bias} << {shift})).to(tl.{state}, bitcast=True)",
        f"k = tl.where(plain, tl.where(small, e - {54 if wide else 25}, e), 0)",
        "y = tl.where(plain, f, v)",
    ]
    grid_map("frexp", input.shape, lines, {"x": input}, {"y": mantissa, "k": exponent})
    return mantissa, exponent


