"""``torch.jit.isinstance``: types with parameters, looked into element by element."""

from __future__ import annotations

import types
import typing
from typing import Any


def matches(value: Any, wanted: Any) -> bool:
    """Say whether a value is of a type, of one of a tuple of types, or of one with parameters."""
    if isinstance(wanted, tuple):
        return any(matches(value, one) for one in wanted)
    if wanted is None:
        return value is None
    if wanted is Any:
        return True
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted in (list, dict, tuple, typing.List, typing.Dict, typing.Tuple, typing.Optional):  # noqa: UP006
        raise RuntimeError(
            f"Attempted to use {getattr(wanted, '__name__', wanted)} without a contained type. Please add a contained "
            f"type, e.g. {getattr(wanted, '__name__', wanted).capitalize()}[int]"
        )
    if origin in (typing.Union, types.UnionType):
        return any(matches(value, one) for one in inner)
    if origin is list:
        return isinstance(value, list) and all(matches(v, inner[0]) for v in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            matches(k, inner[0]) and matches(v, inner[1]) for k, v in value.items()
        )
    if origin is tuple:
        if inner[-1:] == (...,):
            inner = inner[:1] * len(value) if isinstance(value, tuple) else ()
        return isinstance(value, tuple) and len(value) == len(inner) and all(map(matches, value, inner))
    if wanted is type(None):
        return value is None
    return isinstance(value, wanted)
