"""The multivariate normal distribution."""
from __future__ import annotations

import math
from typing import Any

import flowtorch as ft
from flowtorch.tensor import Size, Tensor

from . import constraints
from .distribution import Distribution
from .utils import _standard_normal, lazy_property

__all__ = ["MultivariateNormal"]


def _batch_mv(bmat: Tensor, bvec: Tensor) -> Tensor:
    """Matrices times vectors, both with batch dimensions that broadcast."""
    return ft.matmul(bmat, bvec.unsqueeze(-1)).squeeze(-1)


def _batch_mahalanobis(bL: Tensor, bx: Tensor) -> Tensor:
    """``x' (L L')**-1 x`` for lower triangular L (..., n, n) and vectors (..., n).

    L may lack leading batch dimensions of x. Those are solved for at once, as columns of one right-hand side.
    """
    n = bx.size(-1)
    batch = bx.shape[:-1]
    extra = len(batch) - (bL.dim() - 2)
    # Split each batch dimension of x into the factor that L lacks and the one that it shares.
    sizes = [(size // shared, shared) for size, shared in zip(batch[extra:], bL.shape[:-2], strict=True)]
    split = bx.reshape((*batch[:extra], *(s for pair in sizes for s in pair), n))
    outer = [*range(extra), *range(extra, extra + 2 * len(sizes), 2)]
    inner = [*range(extra + 1, extra + 2 * len(sizes), 2)]
    columns = split.permute((*outer, *inner, split.dim() - 1))
    shape = columns.shape[:-1]
    flat_L = bL.reshape((-1, n, n))
    flat_x = columns.reshape((-1, flat_L.size(0), n)).permute((1, 2, 0))
    squares = ft.linalg.solve_triangular(flat_L, flat_x, upper=False).pow(2).sum(-2).t().reshape(shape)
    back = list(range(extra))
    for i in range(len(sizes)):
        back += [extra + i, extra + len(sizes) + i]
    return squares.permute(back).reshape(batch)


def _precision_to_scale_tril(P: Tensor) -> Tensor:
    """The Cholesky factor of the inverse of P: that of P itself, turned around, and inverted."""
    factor = ft.linalg.cholesky(ft.flip(P, (-2, -1)))
    inverse = ft.transpose(ft.flip(factor, (-2, -1)), -2, -1)
    identity = ft.eye(P.shape[-1], dtype=P.dtype, device=P.device)
    return ft.linalg.solve_triangular(inverse, identity, upper=False)


def _half_log_det(scale_tril: Tensor) -> Tensor:
    return scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)


class MultivariateNormal(Distribution):
    """Normal vectors with mean ``loc`` (..., n), and one of covariance, its inverse or its Cholesky
    factor."""

    arg_constraints = {"loc": constraints.real_vector,
                       "covariance_matrix": constraints.positive_definite,
                       "precision_matrix": constraints.positive_definite,
                       "scale_tril": constraints.lower_cholesky}
    support = constraints.real_vector
    has_rsample = True
    _batched = ("loc", "covariance_matrix", "scale_tril", "precision_matrix")
    _carried = ("_unbroadcasted_scale_tril",)

    def __init__(self, loc: Tensor, covariance_matrix: Tensor | None = None,
                 precision_matrix: Tensor | None = None, scale_tril: Tensor | None = None,
                 validate_args: bool | None = None) -> None:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        given = {"scale_tril": scale_tril, "covariance_matrix": covariance_matrix,
                 "precision_matrix": precision_matrix}
        given = {name: matrix for name, matrix in given.items() if matrix is not None}
        if len(given) != 1:
            raise ValueError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be "
                             "specified.")
        (name, matrix), = given.items()
        if matrix.dim() < 2:
            raise ValueError(f"{name}{' matrix' if name == 'scale_tril' else ''} must be at least "
                             f"two-dimensional, "
                             "with optional leading batch dimensions")
        batch_shape = ft.broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        setattr(self, name, matrix.expand((*batch_shape, -1, -1)))
        self.loc = loc.expand((*batch_shape, -1))
        super().__init__(batch_shape, self.loc.shape[-1:], validate_args=validate_args)
        if name == "scale_tril":
            self._unbroadcasted_scale_tril = matrix
        elif name == "covariance_matrix":
            self._unbroadcasted_scale_tril = ft.linalg.cholesky(matrix)
        else:
            self._unbroadcasted_scale_tril = _precision_to_scale_tril(matrix)

    def _as_matrix(self, matrix: Tensor) -> Tensor:
        return matrix.expand(self._batch_shape + self._event_shape + self._event_shape)

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The Cholesky factor of the covariance."""
        return self._as_matrix(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """The covariance."""
        return self._as_matrix(ft.matmul(self._unbroadcasted_scale_tril, self._unbroadcasted_scale_tril.mT))

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        return self._as_matrix(ft.cholesky_inverse(self._unbroadcasted_scale_tril))

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self._unbroadcasted_scale_tril.pow(2).sum(-1).expand(self._batch_shape + self._event_shape)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        eps = _standard_normal(self._extended_shape(sample_shape), self.loc.dtype, self.loc.device)
        return self.loc + _batch_mv(self._unbroadcasted_scale_tril, eps)

    def log_prob(self, value: Tensor) -> Tensor:
        distance = _batch_mahalanobis(self._unbroadcasted_scale_tril, self._checked(value) - self.loc)
        n = self._event_shape[0]
        return -0.5 * (n * math.log(2 * math.pi) + distance) - _half_log_det(self._unbroadcasted_scale_tril)

    def entropy(self) -> Tensor:
        entropy = (0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi))
                   + _half_log_det(self._unbroadcasted_scale_tril))
        return entropy.expand(self._batch_shape) if self._batch_shape else entropy
