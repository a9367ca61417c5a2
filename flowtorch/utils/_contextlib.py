"""The base class of context managers that also decorate functions, under the name by which programs subclass it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowtorch.autograd.mode import _DecoratorContext

__all__: list[str] = []


class _DecoratorContextManager(_DecoratorContext):
    """A context manager that decorates functions and generators too; ``clone`` makes the one that a call enters."""


class _NoParamDecoratorContextManager(_DecoratorContextManager):
    """The same, also written as a decorator without parentheses."""

    def __new__(cls, orig_func: Callable | None = None) -> Any:
        self = object.__new__(cls)
        return self if orig_func is None else self(orig_func)
