"""``functionalize`` and ``debug_unwrap``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flowtorch.autograd.levels import Wrapped
from flowtorch.tensor import Tensor


def functionalize(func: Callable, *, remove: str = "mutations") -> Callable:
    """``func`` with its in-place ops taken for what they compute.

    Nothing is traced here, so there is no program from which they could be removed: the result calls ``func``.
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            f"functionalize(f, remove='mutations'): received invalid argument for remove={remove}. Valid "
            f"options "
            "are:\n     remove='mutations': all inplace and out= operators will be removed from the program, "
            "and "
            "replaced with their out-of-place equivalents.\n     remove='mutations_and_views': In addition "
            "to the "
            "above, all aliasing operators {view} will be replaced with their non-aliasing counterparts, "
            "{view}_copy.\n"
        )

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)

    return wrapped


def debug_unwrap(tensor: Tensor, *, recurse: bool = True) -> Tensor:
    """What a tensor inside a transform wraps (all the way down with ``recurse``), for looking at it while debugging."""
    while type(tensor) is not Tensor and issubclass(type(tensor), Wrapped):
        tensor = tensor.value  # type: ignore[attr-defined]
        if not recurse:
            break
    return tensor
