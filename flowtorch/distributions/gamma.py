"""The gamma distribution."""
from __future__ import annotations

from typing import Any

import flowtorch as ft
from flowtorch.tensor import Size, Tensor

from . import constraints
from .exp_family import ExponentialFamily
from .utils import broadcast_all

__all__ = ["Gamma"]


class Gamma(ExponentialFamily):
    """Density proportional to ``x**(concentration - 1) * exp(-rate * x)``."""

    arg_constraints = {"concentration": constraints.positive,
                       "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0
    _batched: tuple[str, ...] = ("concentration", "rate")

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.size(), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        return ((self.concentration - 1) / self.rate).clamp(min=0)  # type: ignore[attr-defined]

    @property
    def variance(self) -> Tensor:
        return self.concentration / self.rate.pow(2)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        value = ft._standard_gamma(self.concentration.expand(shape)) / self.rate.expand(shape)
        value.detach().clamp_(min=ft.finfo(value.dtype).tiny)       # a rounded-off zero has no log density
        return value

    def log_prob(self, value: Tensor) -> Tensor:
        value = self._checked(ft.as_tensor(value, dtype=self.rate.dtype, device=self.rate.device))
        return (ft.xlogy(self.concentration, self.rate) + ft.xlogy(self.concentration - 1, value)
                - self.rate * value - ft.lgamma(self.concentration))

    def cdf(self, value: Tensor) -> Tensor:
        return ft.special.gammainc(self.concentration, self.rate * self._checked(value))

    def entropy(self) -> Tensor:
        a = self.concentration
        return a - ft.log(self.rate) + ft.lgamma(a) + (1.0 - a) * ft.digamma(a)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return self.concentration - 1, -self.rate  # type: ignore[return-value]

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:
        return ft.lgamma(x + 1) + (x + 1) * ft.log(-y.reciprocal())
