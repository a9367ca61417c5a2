"""What the functions of linear algebra share: their checks, in PyTorch's words, and loops over batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch.autograd.levels import unwrapped
from flowtorch.dtypes import LOW_PRECISION
from flowtorch.ops.pointwise import conj


class _LinAlgError(RuntimeError):
    """A matrix is singular, not positive definite, or an iteration did not converge."""


_LinAlgError.__module__ = "torch._C"
LinAlgError = _LinAlgError


def adjoint(x: Any) -> Any:
    """The conjugate transpose of every matrix of a batch."""
    return conj(x.transpose(-2, -1))


def check_inexact(name: str, a: Any, low: bool = True) -> None:
    """Refuse integers, and with ``low=False`` half precision too."""
    if a.dtype.rank < 2:
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {a.dtype.label}")
    if not low and a.dtype in LOW_PRECISION:
        raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {a.dtype.label}")


def check_matrix(name: str, a: Any, argument: str = "A") -> None:
    if a.dim() < 2:
        raise RuntimeError(f"{name}: The input tensor {argument} must have at least 2 dimensions.")


def check_square(name: str, a: Any, argument: str = "A") -> None:
    check_matrix(name, a, argument)
    m, n = a.shape[-2:]
    if m != n:
        raise RuntimeError(f"{name}: {argument} must be batches of square matrices, but they are {m} by {n} matrices")


def check_kernel(kernel: str, a: Any) -> None:
    """Refuse the dtypes that LAPACK has no routine for, naming PyTorch's kernel."""
    if a.dtype.rank < 2 or a.dtype in LOW_PRECISION:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{a.dtype.label}'")


def check_same(name: str, a: Any, b: Any, first: str = "A", second: str = "B") -> None:
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"{name}: Expected {first} and {second} to have the same dtype, but found {first} of type "
            f"{a.dtype.label} and {second} of type {b.dtype.label} instead"
        )


def broadcast_batches(*arrays: np.ndarray) -> list[np.ndarray]:
    """Arrays of matrices with their batch dimensions broadcast against each other."""
    batch = np.broadcast_shapes(*[a.shape[:-2] for a in arrays])
    return [a if a.shape[:-2] == batch else np.broadcast_to(a, batch + a.shape[-2:]) for a in arrays]


def columns(a: np.ndarray) -> np.ndarray:
    """The same matrices stored column by column, as LAPACK leaves them and so PyTorch returns them."""
    turned = a.swapaxes(-2, -1)
    return a if turned.flags.c_contiguous else np.ascontiguousarray(turned).swapaxes(-2, -1)


def each_matrix(f: Callable, arrays: list[np.ndarray], outputs: list[tuple]) -> tuple[np.ndarray, ...]:
    """``f`` applied to the corresponding matrices of equal batches. ``outputs``: (shape, dtype) of each result.

    Results that are matrices are stored column by column.
    """
    batch = arrays[0].shape[:-2]
    results = tuple(np.empty(batch + shape[::-1], dtype).swapaxes(-2, -1) if len(shape) == 2
                    else np.empty(batch + shape, dtype) for shape, dtype in outputs)
    for index in np.ndindex(*batch):
        for r, value in zip(results, f(*[a[index] for a in arrays]), strict=True):
            r[index] = value
    return results


def first_failure(info: Any) -> tuple[str, int] | None:
    """("", code) or ("(Batch element i): ", code) of the first matrix whose ``info`` is not 0."""
    if info.is_meta:
        return None
    codes = unwrapped(info).detach().reshape(-1).tolist()
    for i, code in enumerate(codes):
        if code:
            return (f"(Batch element {i}): " if info.dim() else "", code)
    return None


def lapack(name: str, *arrays: np.ndarray) -> Any:
    """The LAPACK routine of this name for the arrays' dtype."""
    from scipy.linalg.lapack import get_lapack_funcs

    return get_lapack_funcs(name, arrays)


def info_of(a: np.ndarray, value: int = 0) -> np.ndarray:
    return np.full(a.shape[:-2], value, np.int32)
