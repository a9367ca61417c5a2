"""The mark by which code that builds on fx says whether a name of its own will stay as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
_BACK_COMPAT_OBJECTS: dict[Any, None] = {}
_MARKED_WITH_COMPATIBILITY: dict[Any, None] = {}


def compatibility(is_backward_compatible: bool) -> Callable[[F], F]:
    """Decorator: note in the docstring, and in the tables here, whether a function or class is to stay stable."""

    def mark(fn: F) -> F:
        said = "guaranteed to be backward compatible" if is_backward_compatible else "NOT guaranteed to stay as it is"
        fn.__doc__ = f"{(fn.__doc__ or '').rstrip()}\n\nThis name is {said}.\n"
        _MARKED_WITH_COMPATIBILITY[fn] = None
        if is_backward_compatible:
            _BACK_COMPAT_OBJECTS[fn] = None
        return fn

    return mark
