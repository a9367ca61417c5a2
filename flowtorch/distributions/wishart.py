"""The Wishart distribution."""
from __future__ import annotations

import math
import warnings
from numbers import Number
from typing import Any

import flowtorch as ft
from flowtorch.tensor import Size, Tensor

from . import constraints
from .chi2 import Chi2
from .exp_family import ExponentialFamily
from .multivariate_normal import _half_log_det, _precision_to_scale_tril
from .utils import lazy_property

__all__ = ["Wishart"]

_LOG_2 = math.log(2)


def _mvdigamma(x: Tensor, p: int) -> Tensor:
    """The derivative of the log of the multivariate gamma function."""
    if not x.gt((p - 1) / 2).all():
        raise AssertionError("Wrong domain for multivariate digamma function.")
    steps = ft.arange(p, dtype=x.dtype, device=x.device).div(2)
    return ft.digamma(x.unsqueeze(-1) - steps.expand((*x.shape, -1))).sum(-1)


class Wishart(ExponentialFamily):
    """The sum of ``df`` outer products of normal vectors of covariance Sigma, given as covariance, as its
    inverse or as its Cholesky factor (..., p, p)."""

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0
    _batched = ("_unbroadcasted_scale_tril", "df", "covariance_matrix", "scale_tril", "precision_matrix",
                "_dist_chi2")

    def __init__(self, df: Any, covariance_matrix: Tensor | None = None,
                 precision_matrix: Tensor | None = None, scale_tril: Tensor | None = None,
                 validate_args: bool | None = None) -> None:
        given = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix,
                 "scale_tril": scale_tril}
        given = {name: matrix for name, matrix in given.items() if matrix is not None}
        if len(given) != 1:
            raise AssertionError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be "
                                 "specified.")
        (name, matrix), = given.items()
        if matrix.dim() < 2:
            raise ValueError("scale_tril must be at least two-dimensional, with optional leading batch "
                             "dimensions")
        if isinstance(df, Number):
            batch_shape = Size(matrix.shape[:-2])
            self.df = ft.tensor(df, dtype=matrix.dtype, device=matrix.device)  # type: ignore[operator]
        else:
            batch_shape = ft.broadcast_shapes(matrix.shape[:-2], df.shape)
            self.df = df.expand(batch_shape)
        event_shape = matrix.shape[-2:]
        p = event_shape[-1]
        if self.df.le(p - 1).any():
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {p - 1}.")
        if self.df.lt(p).any():
            warnings.warn("Low df values detected. Singular samples are highly likely to occur for ndim - 1 "
                          "< df < "
                          "ndim.", stacklevel=2)
        matrix = matrix.expand((*batch_shape, -1, -1))
        setattr(self, name, matrix)
        super().__init__(batch_shape, event_shape, validate_args=validate_args)
        if name == "scale_tril":
            self._unbroadcasted_scale_tril = matrix
        elif name == "covariance_matrix":
            self._unbroadcasted_scale_tril = ft.linalg.cholesky(matrix)
        else:
            self._unbroadcasted_scale_tril = _precision_to_scale_tril(matrix)
        steps = ft.arange(p, dtype=matrix.dtype, device=matrix.device).expand((*batch_shape, -1))
        self._dist_chi2 = Chi2(df=self.df.unsqueeze(-1) - steps)

    @property
    def arg_constraints(self) -> dict[str, Any]:
        return {"covariance_matrix": constraints.positive_definite,
                "precision_matrix": constraints.positive_definite, "scale_tril": constraints.lower_cholesky,
                "df": constraints.greater_than(self.event_shape[-1] - 1)}

    def _as_matrix(self, matrix: Tensor) -> Tensor:
        return matrix.expand(self._batch_shape + self._event_shape)

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The Cholesky factor of the covariance."""
        return self._as_matrix(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """The covariance of the normal vectors."""
        return self._as_matrix(self._unbroadcasted_scale_tril @ self._unbroadcasted_scale_tril.transpose(-2,
                                                                                                         -1))

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        L = self._unbroadcasted_scale_tril
        identity = ft.eye(self._event_shape[-1], device=L.device, dtype=L.dtype)
        return self._as_matrix(ft.cholesky_solve(identity, L))

    def _scaled(self, factor: Tensor) -> Tensor:
        return factor.view((*self._batch_shape, 1, 1))

    @property
    def mean(self) -> Tensor:
        return self._scaled(self.df) * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        factor = self.df - self.covariance_matrix.shape[-1] - 1
        return self._scaled(factor.masked_fill(factor <= 0, math.nan)) * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        V = self.covariance_matrix
        diagonal = V.diagonal(dim1=-2, dim2=-1)
        return self._scaled(self.df) * (V.pow(2) + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def _bartlett_sampling(self, sample_shape: Any = Size()) -> Tensor:
        """Samples by Bartlett's decomposition: chi-squared numbers on the diagonal, normal ones below."""
        p = self._event_shape[-1]
        roots = self._dist_chi2.rsample(sample_shape).sqrt()
        noise = roots.clamp(min=ft.finfo(roots.dtype).eps).diag_embed(dim1=-2, dim2=-1)
        i, j = ft.tril_indices(p, p, offset=-1)
        noise[..., i, j] = ft.randn((*sample_shape, *self._batch_shape, p * (p - 1) // 2), dtype=noise.dtype,
                                    device=noise.device)
        factor = self._unbroadcasted_scale_tril @ noise
        return factor @ factor.transpose(-2, -1)

    def _is_singular(self, sample: Tensor) -> Tensor:
        """Which samples are singular; a sample over the batch counts as one."""
        bad = ~self.support.check(sample)
        return bad.flatten(-len(self._batch_shape)).any(-1) if self._batch_shape else bad

    def rsample(self, sample_shape: Any = Size(), max_try_correction: int | None = None) -> Tensor:
        """Draw differentiable samples; singular ones are drawn anew up to ``max_try_correction`` (10)
        times."""
        sample_shape = Size(sample_shape)
        sample = self._bartlett_sampling(sample_shape)
        # PyTorch replaces the samples that are not singular once, which takes more numbers from the stream.
        good = ~self._is_singular(sample)
        if good.any():
            sample[good] = self._bartlett_sampling(good[good].shape)
        singular = self._is_singular(sample)
        for _ in range(10 if max_try_correction is None else max_try_correction):
            if not singular.any():
                return sample
            sample[singular] = self._bartlett_sampling(singular[singular].shape)
            singular = self._is_singular(sample)
        if singular.any():
            warnings.warn("Singular sample detected.", stacklevel=2)
        return sample

    def log_prob(self, value: Tensor) -> Tensor:
        value, nu, p, L = self._checked(value), self.df, self._event_shape[-1], self._unbroadcasted_scale_tril
        trace = ft.cholesky_solve(value, L).diagonal(dim1=-2, dim2=-1).sum(dim=-1)
        return (-nu * (p * _LOG_2 / 2 + _half_log_det(L)) - ft.mvlgamma(nu / 2, p=p)
                + (nu - p - 1) / 2 * ft.linalg.slogdet(value).logabsdet - trace / 2)

    def entropy(self) -> Tensor:
        nu, p = self.df, self._event_shape[-1]
        half_log_det = _half_log_det(self._unbroadcasted_scale_tril)
        return ((p + 1) * (p * _LOG_2 / 2 + half_log_det) + ft.mvlgamma(nu / 2, p=p)
                - (nu - p - 1) / 2 * _mvdigamma(nu / 2, p=p) + nu * p / 2)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:
        p = self._event_shape[-1]
        half = y + (p + 1) / 2
        return half * (-ft.linalg.slogdet(-2 * x).logabsdet + _LOG_2 * p) + ft.mvlgamma(half, p=p)
