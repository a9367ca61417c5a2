"""The Dirichlet distribution."""
from __future__ import annotations

from typing import Any

import flowtorch as ft
from flowtorch.tensor import Size, Tensor

from . import constraints
from .exp_family import ExponentialFamily

__all__ = ["Dirichlet"]


class Dirichlet(ExponentialFamily):
    """Density proportional to ``prod x**(concentration - 1)`` on the simplex; ``concentration`` is (...,
    K)."""

    arg_constraints = {"concentration": constraints.independent(constraints.positive,
                                                                1)}
    support = constraints.simplex
    has_rsample = True
    _batched = ("concentration",)

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self) -> Tensor:
        excess = (self.concentration - 1).clamp(min=0.0)  # type: ignore[attr-defined]
        mode = excess / excess.sum(-1, True)
        corner = (self.concentration < 1).all(dim=-1)       # type: ignore[attr-defined]  # the density has its poles at the corners
        mode[corner] = ft.nn.functional.one_hot(mode[corner].argmax(dim=-1), excess.shape[-1]).to(mode)
        return mode

    @property
    def variance(self) -> Tensor:
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        return ft._sample_dirichlet(self.concentration.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        alpha = self.concentration
        return (ft.xlogy(alpha - 1.0, self._checked(value)).sum(-1)
                + ft.lgamma(alpha.sum(-1)) - ft.lgamma(alpha).sum(-1))

    def entropy(self) -> Tensor:
        alpha, total = self.concentration, self.concentration.sum(-1)
        return (ft.lgamma(alpha).sum(-1) - ft.lgamma(total) - (alpha.size(-1) - total) * ft.digamma(total)
                - ((alpha - 1.0) * ft.digamma(alpha)).sum(-1))

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.concentration,)

    def _log_normalizer(self, x: Tensor) -> Tensor:
        return x.lgamma().sum(-1) - ft.lgamma(x.sum(-1))
