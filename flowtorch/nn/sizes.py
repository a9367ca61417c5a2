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


# PyTorch's names for them, which libraries take from nn.modules.utils.


def _ntuple(n: int, name: str = "parse"):
    def parse(value):
        return ntuple(value, n)

    parse.__name__ = name
    return parse


_single, _pair, _triple, _quadruple = single, pair, triple, _ntuple(4, "_quadruple")
_reverse_repeat_tuple = reverse_repeat


def _list_with_default(out_size, defaults: list):
    if isinstance(out_size, int):
        return out_size
    if len(defaults) <= len(out_size):
        raise ValueError(f"Input dimension should be at least {len(out_size) + 1}")
    return [d if v is None else v for v, d in zip(out_size, defaults[-len(out_size) :], strict=True)]
