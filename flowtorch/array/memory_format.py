"""Which results lie in memory with their channels last, because their inputs do."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np


def is_channels_last(array: Any) -> bool:
    """Whether PyTorch takes (N, C, *S) ``array`` for channels-last, gaps allowed; in doubt it does not.

    Three dimensions count as an image of one row.
    """
    if array.ndim < 3:
        return False
    shape, strides, least = array.shape, array.strides, 0
    for d in (1, *range(array.ndim - 1, 1, -1)):
        if strides[d] < least or not shape[d]:
            return False
        least = shape[d] * strides[d]
    return least != strides[1] != 0 and strides[0] >= least and shape[0] > 0


def with_channels_last(array: np.ndarray) -> np.ndarray:
    """``array``, or a copy of it, with its channels last in memory."""
    return np.moveaxis(in_rows(np.moveaxis(array, 1, -1)), -1, 1)


def in_rows(array: np.ndarray) -> np.ndarray:
    """``array``, or a copy of it, in the order of its dimensions: results that never keep the order of their inputs."""
    if array.ndim > 2 and array.strides[1] <= array.strides[-1]:        # strides along single elements shall say it too
        return np.ascontiguousarray(array).reshape(-1).reshape(array.shape)
    return array if array.ndim < 2 or array.flags.c_contiguous else np.ascontiguousarray(array)


def following(op: Any, body: Callable, names: tuple[str, ...]) -> Callable:
    """The kernel ``body`` with its results in channels-last order where one of the inputs ``names`` is."""
    places = tuple(op.names.index(n) for n in names)

    @wraps(body)
    def kernel(*arrays: Any, **options: Any) -> Any:
        for i in places:
            a = arrays[i]
            if a is not None and a.ndim > 2 and a.strides[1] <= a.strides[-1] and is_channels_last(a):
                # the op's present kernel, since the native one may have left this call here for its strides
                result = op.body(*[in_rows(x) if isinstance(x, np.ndarray) else x for x in arrays], **options)
                return _each(with_channels_last, result)
        return body(*arrays, **options)

    return kernel


def _each(f: Callable, result: Any) -> Any:
    return tuple(map(f, result)) if isinstance(result, tuple) else f(result)
