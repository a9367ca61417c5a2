"""Kullback-Leibler divergences."""
from math import inf  # noqa: F401 (a name of PyTorch's module)

from .registry import _KL_MEMOIZE, _KL_REGISTRY, kl_divergence, register_kl  # noqa: F401

__all__ = ["kl_divergence", "register_kl"]
