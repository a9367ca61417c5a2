"""Which function computes the divergence between two distributions."""
from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

from flowtorch.tensor import Tensor

from ..distribution import Distribution

_KL_REGISTRY: dict[tuple[type, type], Callable] = {}
_KL_MEMOIZE: dict[tuple[type, type], Any] = {}
_FORMULAS = ("same_family", "multivariate", "mixed")
_loaded: list[str] = []


def register_kl(type_p: type, type_q: type) -> Callable:
    """Decorator of a function ``f(p, q)`` that computes the divergence between two classes and their
    subclasses.

    Where several registered pairs fit, the one closest to the arguments' classes is used; a tie is broken in
    favour of ``type_p``, with a warning.
    """
    for name, kind in {"type_p": type_p, "type_q": type_q}.items():
        if not isinstance(kind, type):              # any class will do, as in PyTorch: a mixin, for one
            raise TypeError(f"Expected {name} to be a class but got {kind}")
    _load()         # so that a formula of ours does not replace the caller's later

    def decorator(function: Callable) -> Callable:
        _KL_REGISTRY[type_p, type_q] = function
        _KL_MEMOIZE.clear()
        return function
    return decorator


def pairs(*kinds: tuple[type, type]) -> Callable:
    """Decorator that registers one of this package's own formulas for several pairs of classes."""
    def decorator(function: Callable) -> Callable:
        for pair in kinds:
            _KL_REGISTRY[pair] = function
        return function
    return decorator


def _load() -> None:
    """Import the formulas, and with them all the families, at their first use."""
    if not _loaded:
        _loaded.extend(_FORMULAS)
        for name in _FORMULAS:
            importlib.import_module(f"{__package__}.{name}")


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """The Kullback-Leibler divergence of q from p, ``E_p[log p(x) - log q(x)]``, of shape ``batch_shape``.

    Raises NotImplementedError for pairs of families without a registered formula.
    """
    _load()
    key = type(p), type(q)
    if key not in _KL_MEMOIZE:
        _KL_MEMOIZE[key] = _dispatch_kl(*key)
    function = _KL_MEMOIZE[key]
    if function is NotImplemented:
        raise NotImplementedError(f"No KL(p || q) is implemented for p type {p.__class__.__name__} and q "
                                  f"type "
                                  f"{q.__class__.__name__}")
    return function(p, q)


def _dispatch_kl(type_p: type, type_q: type) -> Any:
    """The function for two classes: the most specific in p first, which should also be so in q first."""
    fits = [(p, q) for p, q in _KL_REGISTRY if issubclass(type_p, p) and issubclass(type_q, q)]
    if not fits:
        return NotImplemented
    by_p, by_q = type_p.__mro__.index, type_q.__mro__.index
    left = min(fits, key=lambda pair: (by_p(pair[0]), by_q(pair[1])))
    right = min(fits, key=lambda pair: (by_q(pair[1]), by_p(pair[0])))
    if _KL_REGISTRY[left] is not _KL_REGISTRY[right]:
        warnings.warn(f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). Please "
                      f"register_kl({left[0].__name__}, {right[1].__name__})", RuntimeWarning, stacklevel=3)
    return _KL_REGISTRY[left]
