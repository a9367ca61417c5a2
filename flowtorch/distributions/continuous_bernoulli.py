"""The continuous Bernoulli distribution."""
from __future__ import annotations

import math
from numbers import Number
from typing import Any

import flowtorch as ft
from flowtorch.autograd.mode import no_grad
from flowtorch.tensor import Size, Tensor

from . import constraints
from .exp_family import ExponentialFamily
from .probs_or_logits import ProbsOrLogits, require_one
from .utils import broadcast_all, clamp_probs, lazy_property, logits_to_probs

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(ProbsOrLogits, ExponentialFamily):
    """Density proportional to ``probs**x * (1 - probs)**(1 - x)`` on [0, 1] (Loaiza-Ganem and Cunningham,
    2019).

    ``probs`` is not the mean. Between ``lims``, around 1/2, where the normaliser is 0/0, Taylor series are
    used.
    """

    arg_constraints = {"probs": constraints.unit_interval,
                       "logits": constraints.real}
    support = constraints.unit_interval
    _mean_carrier_measure = 0
    has_rsample = True
    _batched = ("probs", "logits")
    _carried = ("_given", "_lims")

    def __init__(self, probs: Any = None, logits: Any = None, lims: tuple[float, float] = (0.499, 0.501),
                 validate_args: bool | None = None) -> None:
        require_one(probs, logits)
        if probs is not None:
            if isinstance(probs, Number):
                probs, = broadcast_all(probs)
            if validate_args is not None and not constraints.unit_interval.check(probs).all():
                raise ValueError("The parameter probs has invalid values")
            probs = clamp_probs(probs)
        self._take(probs, logits)
        self._lims = lims
        super().__init__(self._param.size(), validate_args=validate_args)

    @lazy_property
    def probs(self) -> Tensor:
        """The parameter as a probability, kept off 0 and 1."""
        return clamp_probs(logits_to_probs(self.logits, is_binary=True))

    def _outside_unstable_region(self) -> Tensor:
        low, high = self._lims
        return (self.probs <= low) | (self.probs > high)

    def _cut_probs(self) -> Tensor:
        """``probs``, with a harmless value inside the unstable region."""
        return ft.where(self._outside_unstable_region(), self.probs, self._lims[0] * ft.ones_like(self.probs))

    def _stable(self, exact: Tensor, taylor: Tensor) -> Tensor:
        return ft.where(self._outside_unstable_region(), exact, taylor)

    def _cont_bern_log_norm(self) -> Tensor:
        """The log of the normalising constant, 2 atanh(1 - 2p) / (1 - 2p)."""
        p = self._cut_probs()
        below = ft.where(p <= 0.5, p, ft.zeros_like(p))
        above = ft.where(p >= 0.5, p, ft.ones_like(p))
        exact = ft.log(ft.abs(ft.log1p(-p) - ft.log(p))) \
            - ft.where(p <= 0.5, ft.log1p(-2.0 * below), ft.log(2.0 * above - 1.0))
        x = ft.pow(self.probs - 0.5, 2)
        return self._stable(exact, math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x)

    @property
    def mean(self) -> Tensor:
        p = self._cut_probs()
        exact = p / (2.0 * p - 1.0) + 1.0 / (ft.log1p(-p) - ft.log(p))
        x = self.probs - 0.5
        return self._stable(exact, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * ft.pow(x, 2)) * x)

    @property
    def variance(self) -> Tensor:
        p = self._cut_probs()
        exact = p * (p - 1.0) / ft.pow(1.0 - 2.0 * p, 2) + 1.0 / ft.pow(ft.log1p(-p) - ft.log(p), 2)
        x = ft.pow(self.probs - 0.5, 2)
        return self._stable(exact, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x)

    @property
    def stddev(self) -> Tensor:
        return ft.sqrt(self.variance)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return self.icdf(ft.rand(shape, dtype=self.probs.dtype, device=self.probs.device))

    def log_prob(self, value: Tensor) -> Tensor:
        logits, value = broadcast_all(self.logits, self._checked(value))
        mass = ft.nn.functional.binary_cross_entropy_with_logits(logits, value, reduction="none")
        return -mass + self._cont_bern_log_norm()

    def cdf(self, value: Tensor) -> Tensor:
        value, p = self._checked(value), self._cut_probs()
        exact = (ft.pow(p, value) * ft.pow(1.0 - p, 1.0 - value) + p - 1.0) / (2.0 * p - 1.0)
        inside = self._stable(exact, value)
        return ft.where(value <= 0.0, ft.zeros_like(value), ft.where(value >= 1.0, ft.ones_like(value),
                                                                     inside))

    def icdf(self, value: Tensor) -> Tensor:
        p = self._cut_probs()
        exact = (ft.log1p(-p + value * (2.0 * p - 1.0)) - ft.log1p(-p)) / (ft.log(p) - ft.log1p(-p))
        return self._stable(exact, value)

    def entropy(self) -> Tensor:
        log0, log1 = ft.log1p(-self.probs), ft.log(self.probs)
        return self.mean * (log0 - log1) - self._cont_bern_log_norm() - log0

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def _log_normalizer(self, x: Tensor) -> Tensor:
        low, high = (limit - 0.5 for limit in self._lims)
        outside = (x <= low) | (x > high)
        cut = ft.where(outside, x, low * ft.ones_like(x))
        exact = ft.log(ft.abs(ft.expm1(cut))) - ft.log(ft.abs(cut))
        return ft.where(outside, exact, 0.5 * x + ft.pow(x, 2) / 24.0 - ft.pow(x, 4) / 2880.0)
