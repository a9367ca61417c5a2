"""Divergences between multivariate normal distributions.

With covariances P and Q, ``2 KL = log det Q - log det P + tr(Q**-1 P) + |loc difference|_Q**2 - n``.
"""
from __future__ import annotations

from typing import Any

import flowtorch as ft
from flowtorch.tensor import Tensor

from ..lowrank_multivariate_normal import (
    LowRankMultivariateNormal,
    _batch_lowrank_logdet,
    _batch_lowrank_mahalanobis,
)
from ..multivariate_normal import MultivariateNormal, _batch_mahalanobis, _half_log_det
from .registry import pairs


def _sum_of_squares(matrix: Tensor) -> Tensor:
    """``tr(M M')``."""
    return matrix.reshape((*matrix.shape[:-2], -1)).pow(2).sum(-1)


def _check_events(p: Any, q: Any, what: str) -> None:
    if p.event_shape != q.event_shape:
        raise ValueError(f"KL-divergence between two {what} Normals with different event shapes cannot be "
                         f"computed")


def _solve(factor: Tensor, *matrices: Tensor) -> list[Tensor]:
    """``factor**-1 matrix``, their batch dimensions broadcast."""
    batch = ft.broadcast_shapes(factor.shape[:-2], *(m.shape[:-2] for m in matrices))
    factor = factor.expand((*batch, *factor.shape[-2:]))
    return [ft.linalg.solve_triangular(factor, m.expand((*batch, *m.shape[-2:])),
                                       upper=False) for m in matrices]


def _lowrank_terms(p: Any, q: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For q of low rank: its log det, the distance of the means, D, and A with ``Q**-1 = D**-1 - A' A``."""
    W, D = q._parts
    log_det = _batch_lowrank_logdet(W, D, q._capacitance_tril)
    distance = _batch_lowrank_mahalanobis(W, D, q.loc - p.loc, q._capacitance_tril)
    A = ft.linalg.solve_triangular(q._capacitance_tril, W.mT / D.unsqueeze(-2), upper=False)
    return log_det, distance, D, A


@pairs((MultivariateNormal, MultivariateNormal))
def _full_full(p: Any, q: Any) -> Any:
    _check_events(p, q, "Multivariate")
    mine, theirs = p._unbroadcasted_scale_tril, q._unbroadcasted_scale_tril
    trace = _sum_of_squares(*_solve(theirs, mine))
    distance = _batch_mahalanobis(theirs, q.loc - p.loc)
    return _half_log_det(theirs) - _half_log_det(mine) + 0.5 * (trace + distance - p.event_shape[0])


@pairs((LowRankMultivariateNormal, MultivariateNormal))
def _lowrank_full(p: Any, q: Any) -> Any:
    _check_events(p, q, "(Low Rank) Multivariate")
    W, D = p._parts
    theirs = q._unbroadcasted_scale_tril
    log_dets = 2 * _half_log_det(theirs) - _batch_lowrank_logdet(W, D, p._capacitance_tril)
    distance = _batch_mahalanobis(theirs, q.loc - p.loc)
    trace = sum(map(_sum_of_squares, _solve(theirs, W, ft.diag_embed(D.sqrt()))))
    return 0.5 * (log_dets + trace + distance - p.event_shape[0])


@pairs((MultivariateNormal, LowRankMultivariateNormal))
def _full_lowrank(p: Any, q: Any) -> Any:
    _check_events(p, q, "(Low Rank) Multivariate")
    mine = p._unbroadcasted_scale_tril
    log_det, distance, D, A = _lowrank_terms(p, q)
    trace = _sum_of_squares(mine * D.rsqrt().unsqueeze(-1)) - _sum_of_squares(A.matmul(mine))
    return 0.5 * (log_det - 2 * _half_log_det(mine) + trace + distance - p.event_shape[0])


@pairs((LowRankMultivariateNormal, LowRankMultivariateNormal))
def _lowrank_lowrank(p: Any, q: Any) -> Any:
    _check_events(p, q, "Low Rank Multivariate")
    W, D = p._parts
    log_det, distance, E, A = _lowrank_terms(p, q)
    log_dets = log_det - _batch_lowrank_logdet(W, D, p._capacitance_tril)
    trace = ((D / E).sum(-1) + _sum_of_squares(W * E.rsqrt().unsqueeze(-1))
             - _sum_of_squares(A * D.sqrt().unsqueeze(-2)) - _sum_of_squares(A.matmul(W)))
    return 0.5 * (log_dets + trace + distance - p.event_shape[0])
