"""The multinomial distribution."""
from __future__ import annotations

import math
from typing import Any

import flowtorch as ft
from flowtorch.tensor import Size, Tensor

from . import constraints
from .binomial import Binomial
from .categorical import Categorical
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["Multinomial"]


class Multinomial(Distribution):
    """How often each of K outcomes occurs among ``total_count`` draws with probabilities ``probs`` (...,
    K)."""

    arg_constraints = {"probs": constraints.simplex,
                       "logits": constraints.real_vector}
    _batched = ("_categorical",)
    _carried = ("total_count",)

    def __init__(self, total_count: int = 1, probs: Any = None, logits: Any = None,
                 validate_args: bool | None = None) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs=probs, logits=logits)
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:],
                         validate_args=validate_args)

    def _new(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._categorical._new(*args, **kwargs)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    @property
    def logits(self) -> Tensor:
        """The log probabilities."""
        return self._categorical.logits

    @property
    def probs(self) -> Tensor:
        """The probabilities."""
        return self._categorical.probs

    @property
    def param_shape(self) -> Size:
        """The shape of ``probs`` and ``logits``."""
        return self._categorical.param_shape

    @property
    def mean(self) -> Tensor:
        return self.probs * self.total_count  # type: ignore[return-value]

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)  # type: ignore[return-value]

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        sample_shape = Size(sample_shape)
        drawn = self._categorical.sample(Size((self.total_count, *sample_shape)))
        drawn = drawn.permute((*range(1, drawn.dim()), 0))
        counts = drawn.new_zeros(self._extended_shape(sample_shape))
        counts.scatter_add_(-1, drawn, ft.ones_like(drawn))
        return counts.type_as(self.probs)

    def log_prob(self, value: Tensor) -> Tensor:
        logits, value = broadcast_all(self.logits, self._checked(value))
        orders = ft.lgamma(value.sum(-1) + 1) - ft.lgamma(value + 1).sum(-1)
        # An impossible outcome that does not occur leaves 0 * -inf.
        logits = logits.masked_fill((value == 0) & (logits == -math.inf), 0.0)
        return orders + (logits * value).sum(-1)

    def entropy(self) -> Tensor:
        n = self.total_count
        binomial = Binomial(total_count=n, probs=self.probs)
        counts = binomial.enumerate_support(expand=False)[1:]
        expected = ft.exp(binomial.log_prob(counts)) * ft.lgamma(counts + 1)
        return n * self._categorical.entropy() - math.lgamma(n + 1) + expected.sum([0, -1])
