"""Sizes given as one number or one per spatial dimension."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["ntuple", "pair", "reverse_repeat", "single", "triple"]


def ntuple(value, n: int) -> tuple:
    """``value`` repeated ``n`` times, or a tuple of what it already iterates over."""
    return tuple(value) if isinstance(value, Iterable) else (value,) * n


def single(value) -> tuple:
    """A one-tuple from a number or an iterable."""
    return ntuple(value, 1)


def pair(value) -> tuple:
    """A pair from a number or an iterable."""
    return ntuple(value, 2)


def triple(value) -> tuple:
    """A triple from a number or an iterable."""
    return ntuple(value, 3)


def reverse_repeat(values, times: int) -> tuple:
    """Each value ``times`` times, last value first: the order in which ``F.pad`` wants paddings."""
    return tuple(v for v in reversed(values) for _ in range(times))
