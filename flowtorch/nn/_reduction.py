"""Reductions of losses as numbers and as names, for losses that other libraries write."""

from __future__ import annotations

import warnings

from .functional.reduction import NAMES, legacy_reduction, resolve


def get_enum(reduction: str) -> int:
    """The number of a reduction: "none" is 0, "mean" 1, "sum" 2; else ValueError."""
    return NAMES.index(resolve(reduction))


def legacy_get_string(size_average: bool | None, reduce: bool | None, emit_warning: bool = True) -> str:
    """The name of the reduction that the old boolean pair means; None counts as True."""
    if emit_warning:
        return legacy_reduction(size_average, reduce)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return legacy_reduction(size_average, reduce)


def legacy_get_enum(size_average: bool | None, reduce: bool | None, emit_warning: bool = True) -> int:
    """The number of the reduction that the old boolean pair means."""
    return get_enum(legacy_get_string(size_average, reduce, emit_warning))
