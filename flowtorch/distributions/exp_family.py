"""Exponential families, whose entropy follows from their log normaliser."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flowtorch as ft
from flowtorch.tensor import Tensor

from .distribution import Distribution

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """A family with density ``exp(<t(x), theta> - F(theta) + k(x))``.

    A subclass gives theta as ``_natural_params``, F as ``_log_normalizer`` and the mean of k as
    ``_mean_carrier_measure``.
    """

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def _log_normalizer(self, *args: Any, **kwargs: Any) -> Tensor:
        raise NotImplementedError

    if TYPE_CHECKING:
        _mean_carrier_measure: Any
    else:
        @property
        def _mean_carrier_measure(self) -> float:
            raise NotImplementedError

    def entropy(self) -> Tensor:
        """The entropy, from the log normaliser and its derivative: a Bregman divergence."""
        result: Any = -self._mean_carrier_measure
        params = [p.detach().requires_grad_() for p in self._natural_params]
        normalizer = self._log_normalizer(*params)
        gradients = ft.autograd.grad(normalizer.sum(), params, create_graph=True)
        result = result + normalizer
        for p, g in zip(params, gradients, strict=True):
            result = result - (p * g).reshape((*self._batch_shape, -1)).sum(-1)
        return result
