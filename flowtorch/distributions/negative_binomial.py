"""The negative binomial distribution."""
from __future__ import annotations

from typing import Any

import flowtorch as ft
from flowtorch.autograd.mode import no_grad
from flowtorch.tensor import Size, Tensor

from . import constraints
from .distribution import Distribution
from .gamma import Gamma
from .probs_or_logits import ProbsOrLogits
from .utils import lazy_property

__all__ = ["NegativeBinomial"]


class NegativeBinomial(ProbsOrLogits, Distribution):
    """The number of successes, of probability ``probs`` each, before ``total_count`` failures."""

    arg_constraints = {"total_count": constraints.greater_than_eq(0),
                       "probs": constraints.half_open_interval(0.0, 1.0), "logits": constraints.real}
    support = constraints.nonnegative_integer
    _batched = ("total_count", "probs", "logits")
    _carried = ("_given",)

    def __init__(self, total_count: Any, probs: Any = None, logits: Any = None,
                 validate_args: bool | None = None) -> None:
        count, = self._take(probs, logits, total_count)
        self.total_count = count.type_as(self._param)
        super().__init__(self._param.size(), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.total_count * ft.exp(self.logits)

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Tensor:
        return self.mean / ft.sigmoid(-self.logits)

    @lazy_property
    def _gamma(self) -> Gamma:
        # A count of zero has no gamma distribution, but samples of zero all the same.
        return Gamma(concentration=self.total_count, rate=ft.exp(-self.logits), validate_args=False)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        with no_grad():
            return ft.poisson(self._gamma.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        value, n, logits = self._checked(value), self.total_count, self.logits
        logsigmoid = ft.nn.functional.logsigmoid
        normalizer = -ft.lgamma(n + value) + ft.lgamma(1.0 + value) + ft.lgamma(n)
        normalizer = normalizer.masked_fill(n + value == 0.0, 0.0)      # -inf + inf
        return n * logsigmoid(-logits) + value * logsigmoid(logits) - normalizer
