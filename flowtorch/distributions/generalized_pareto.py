"""The generalised Pareto distribution."""
from __future__ import annotations

from typing import Any

import flowtorch as ft
from flowtorch.tensor import Size, Tensor

from . import constraints
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["GeneralizedPareto"]

_INF, _NAN = float("inf"), float("nan")


class GeneralizedPareto(Distribution):
    """The excesses over a threshold ``loc``: exponential for concentration 0, heavier-tailed above, bounded
    below."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive,
                       "concentration": constraints.real}
    has_rsample = True
    _batched = ("loc", "scale", "concentration")

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.size(), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        end = self.loc - self.scale / self.concentration
        return constraints.interval(self.loc, ft.where(self.concentration < 0, end, _INF))

    def _split(self) -> tuple[Tensor, Tensor]:
        """Where the concentration is zero, and the concentration with a harmless value there."""
        zero = ft.isclose(self.concentration, ft.zeros_like(self.concentration))
        return zero, ft.where(zero, ft.ones_like(self.concentration), self.concentration)

    def _z(self, x: Tensor) -> Tensor:
        return (x - self.loc) / self.scale

    @property
    def mean(self) -> Tensor:
        exists = self.concentration < 1
        safe = ft.where(exists, self.concentration, 0.5)
        return ft.where(exists, self.loc + self.scale / (1 - safe), _NAN)

    @property
    def variance(self) -> Tensor:
        exists = self.concentration < 0.5
        safe = ft.where(exists, self.concentration, 0.25)
        return ft.where(exists, self.scale ** 2 / ((1 - safe) ** 2 * (1 - 2 * safe)), _NAN)

    @property
    def mode(self) -> Tensor:
        return self.loc

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return self.icdf(ft.rand(shape, dtype=self.loc.dtype, device=self.loc.device))

    def log_prob(self, value: Tensor) -> Tensor:
        z = self._z(self._checked(value))
        zero, safe = self._split()
        power = 1 / safe + ft.ones_like(z)
        general = ft.where(power == 0, power, power * ft.log1p(safe * z))
        return -self.scale.log() - ft.where(zero, z, general)

    def log_survival_function(self, value: Tensor) -> Tensor:
        """The log of the probability of a sample above ``value``."""
        z = self._z(self._checked(value))
        zero, safe = self._split()
        return ft.where(zero, -z, -ft.log1p(safe * z) / safe)

    def log_cdf(self, value: Tensor) -> Tensor:
        """The log of the probability of a sample at most ``value``."""
        return ft.log1p(-ft.exp(self.log_survival_function(value)))

    def cdf(self, value: Tensor) -> Tensor:
        return ft.exp(self.log_cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        zero, safe = self._split()
        log_survival = ft.log1p(-value)
        general = self.loc + self.scale / safe * ft.expm1(-safe * log_survival)
        return ft.where(zero, self.loc - self.scale * log_survival, general)

    def entropy(self) -> Tensor:
        return ft.broadcast_to(ft.log(self.scale) + self.concentration + 1, self._batch_shape)
