"""Samples of linear algebra: decompositions, solvers, norms of matrices.

Vectors of decompositions are unique only up to sign or phase. Both sides ask LAPACK, which settles it mostly; their
gradients are not compared here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .samples import Array, Maker, Named, Sample, samples

TRIED = ("float64", "float32", "complex128", "int64")


def linalg(*names: str, **options: Any) -> Any:
    return samples(*names, **{"family": "linalg", "dtypes": TRIED, "factor": 256, "double": False, **options})


def regular(make: Maker, *shape: int) -> Array:
    """Well-conditioned square matrices."""
    a = make(*shape, low=-1.0, high=1.0)
    return a.with_(values=a.values + 3 * np.eye(shape[-1], dtype=a.values.dtype) if a.dtype != "int64" else a.values)


def mirrored(make: Maker, *shape: int) -> Array:
    """Well-conditioned square matrices whose determinants have another sign."""
    a = regular(make, *shape)
    return a.with_(values=np.flip(a.values, -2).copy())


def definite(make: Maker, *shape: int) -> Array:
    """Hermitian positive definite matrices."""
    a = regular(make, *shape)
    return a.with_(values=a.values @ np.conj(np.swapaxes(a.values, -1, -2)))


@linalg(
    "det",
    "linalg.det",
    "slogdet",
    "linalg.slogdet",
    "inverse",
    "linalg.inv",
    "linalg.inv_ex",
    "matrix_exp",
    "linalg.matrix_exp",
    "linalg.lu",
    "linalg.lu_factor",
    "linalg.lu_factor_ex",
    "lu",
    "linalg.svdvals",
    "linalg.cond",
)
def _square(make: Maker) -> Iterator[Sample]:
    yield make.call(regular(make, 3, 3))
    yield make.call(regular(make, 2, 3, 3))
    yield make.call(mirrored(make, 3, 3))
    yield make.call(make(3))


@linalg("logdet", "linalg.cholesky", "cholesky", "linalg.cholesky_ex", "linalg.eigvalsh", "cholesky_inverse")
def _definite(make: Maker) -> Iterator[Sample]:
    yield make.call(definite(make, 3, 3))
    yield make.call(definite(make, 2, 3, 3))


@linalg(
    "linalg.eigvals", "linalg.svd", "svd", "linalg.qr", "qr", "geqrf", gradient=False, layouts=False
)
def _decomposition(make: Maker) -> Iterator[Sample]:
    yield make.call(regular(make, 3, 3))
    yield make.call(make(3))


@linalg("linalg.eig", gradient=False, layouts=False, columns=True)
def _eig(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 3))


@linalg("linalg.ldl_factor", "linalg.ldl_factor_ex", gradient=False, layouts=False)
def _hermitian(make: Maker) -> Iterator[Sample]:
    yield make.call(definite(make, 3, 3))


@linalg("linalg.eigh", gradient=False, layouts=False, columns=True)
def _eigh(make: Maker) -> Iterator[Sample]:
    yield make.call(definite(make, 3, 3))


@linalg("linalg.pinv", "pinverse", "linalg.matrix_rank", layouts=False)
def _rectangular(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make(2, 4, 3))


@linalg("linalg.matrix_power", "matrix_power")
def _power(make: Maker) -> Iterator[Sample]:
    for n in (0, 1, 3, -1):
        yield make.call(regular(make, 3, 3), n)


@linalg("linalg.solve", "linalg.solve_ex")
def _solve(make: Maker) -> Iterator[Sample]:
    yield make.call(regular(make, 3, 3), make(3, 2))
    yield make.call(regular(make, 2, 3, 3), make(2, 3))
    yield make.call(regular(make, 3, 3), make(2, 3), left=False)
    yield make.call(regular(make, 3, 3), make(2, 2))


@linalg("linalg.solve_triangular")
def _solve_triangular(make: Maker) -> Iterator[Sample]:
    yield make.call(regular(make, 3, 3), make(3, 2), upper=True)
    yield make.call(regular(make, 3, 3), make(3, 2), upper=False, unitriangular=True)


@linalg("triangular_solve", "cholesky_solve", "Tensor.cholesky_solve")
def _right_first(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 2), regular(make, 3, 3))
    yield make.call(make(3, 2), regular(make, 3, 3), True)


@linalg("linalg.lstsq", gradient=False, layouts=False)
def _lstsq(make: Maker) -> Iterator[Sample]:
    yield make.call(make(4, 3), make(4, 2))


@linalg("linalg.ldl_solve", "linalg.lu_solve", layouts=False, errors=False, gradient=False)
def _factored(make: Maker) -> Iterator[Sample]:
    yield make.call(regular(make, 3, 3), make.given([1, 2, 3], "int32"), make(3, 2))


@linalg("lu_solve", layouts=False, errors=False, gradient=False)
def _lu_solve(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 2), regular(make, 3, 3), make.given([1, 2, 3], "int32"))


@linalg("lu_unpack", layouts=False, errors=False)
def _lu_unpack(make: Maker) -> Iterator[Sample]:
    yield make.call(regular(make, 3, 3), make.given([2, 2, 3], "int32"))


@linalg("linalg.householder_product", "orgqr", gradient=False, errors=False)
def _householder(make: Maker) -> Iterator[Sample]:
    yield make.call(make(4, 3, low=-1, high=1), make(3, low=0.2, high=1))


@linalg("ormqr", gradient=False, errors=False)
def _ormqr(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 3, low=-1, high=1), make(3, low=0.2, high=1), make(3, 2))


@linalg("linalg.matrix_norm")
def _matrix_norm(make: Maker) -> Iterator[Sample]:
    for order in ("fro", "nuc", 1, -1, 2, float("inf")):
        yield make.call(regular(make, 3, 3), order)
    yield make.call(make(2, 3, 4), "fro", (0, 1), True)


@linalg("linalg.norm")
def _norm(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make(3), 3)
    yield make.call(regular(make, 3, 3), 1)
    yield make.call(make(3, 4), dim=1, dtype=Named("float64"))


@linalg("linalg.vecdot")
def _vecdot(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(3, 4))
    yield make.call(make(3, 4), make(4))
    yield make.call(make(3, 4), make(3, 4), dim=0)


@linalg("linalg.diagonal")
def _diagonal(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make(2, 3, 4), offset=1)


@linalg("linalg.vander")
def _vander(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3))
    yield make.call(make(2, 3), 2)


@linalg("linalg.tensorinv")
def _tensorinv(make: Maker) -> Iterator[Sample]:
    a = regular(make, 6, 6)
    yield make.call(a.with_(values=a.values.reshape(2, 3, 6)))


@linalg("linalg.tensorsolve")
def _tensorsolve(make: Maker) -> Iterator[Sample]:
    a = regular(make, 6, 6)
    yield make.call(a.with_(values=a.values.reshape(2, 3, 6)), make(2, 3))


@samples("frobenius_norm", factor=16, dtypes=("float64", "float32"))
def _frobenius_norm(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3, 4), (0, 1))
    yield make.call(make(2, 3, 4), 1, keepdim=True)
    yield make.call(make(2, 3, 4), [])


@samples("nuclear_norm", factor=64, dtypes=("float64", "float32"), errors=False)
def _nuclear_norm(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make(2, 3, 4), (0, 2), True)


@samples("norm_except_dim", factor=16, dtypes=("float64", "float32"))
def _norm_except_dim(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3, 4))
    yield make.call(make(2, 3, 4), 2, 1)
    yield make.call(make(2, 3, 4), 3, -1)


@samples("lobpcg", random=True, undefined=True, gradient=False, layouts=False, errors=False,
         dtypes=("float64", "float32"))
def _lobpcg(make: Maker) -> Iterator[Sample]:
    yield make.call(make.given([[float(i == j) * (i + 1) for j in range(9)] for i in range(9)], grad=False), 2)
