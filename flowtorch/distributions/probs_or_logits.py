"""What the families share that take either probabilities or logits."""
from __future__ import annotations

from typing import Any

from flowtorch.tensor import Size, Tensor

from .utils import broadcast_all, lazy_property, logits_to_probs, probs_to_logits


def require_one(probs: Any, logits: Any) -> None:
    """Raise unless exactly one of the two is given."""
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")


class ProbsOrLogits:
    """The attributes ``probs`` and ``logits``: the one that was given, the other computed when it is asked
    for."""

    _is_binary = True
    _given: str
    __dict__: dict[str, Any]

    def _take(self, probs: Any, logits: Any, *beside: Any) -> tuple[Tensor, ...]:
        """Set the one that is given, broadcast with other parameters; returns those."""
        require_one(probs, logits)
        self._given = "logits" if probs is None else "probs"
        *others, value = broadcast_all(*beside, logits if probs is None else probs)
        setattr(self, self._given, value)
        return tuple(others)

    @property
    def _param(self) -> Tensor:
        return getattr(self, self._given)

    @property
    def param_shape(self) -> Size:
        """The shape of ``probs`` and ``logits``."""
        return self._param.size()

    def _new(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._param.new(*args, **kwargs)

    @lazy_property
    def logits(self) -> Tensor:
        """The log odds, or the log probabilities."""
        return probs_to_logits(self.probs, is_binary=self._is_binary)

    @lazy_property
    def probs(self) -> Tensor:
        """The probabilities."""
        return logits_to_probs(self.logits, is_binary=self._is_binary)
