"""Size: the tuple of ints that is a tensor's shape."""
from __future__ import annotations

from typing import Any

import numpy as np


class Size(tuple):
    """A tensor's shape: a tuple of ints.

    >>> torch.zeros(2, 3).shape
    torch.Size([2, 3])
    >>> torch.Size([2, 3]).numel()
    6
    """

    __slots__ = ()

    def __new__(cls, sizes: Any = ()) -> Size:
        self = tuple.__new__(cls, sizes)
        for n in self:
            if type(n) is not int and not (isinstance(n, (int, np.integer)) or hasattr(n, "__index__")):
                raise TypeError(f"torch.Size() takes an iterable of 'int' (item 0 is '{type(n).__name__}')")
        return self

    def numel(self) -> int:
        """The number of elements of a tensor of this shape."""
        n = 1
        for s in self:
            n *= s
        return n

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(repr, self))}])"

    __str__ = __repr__

    def __getitem__(self, index: Any) -> Any:
        r = tuple.__getitem__(self, index)
        return make_size(r) if type(index) is slice else r

    def __add__(self, other: Any) -> Any:
        return make_size(tuple.__add__(self, other)) if isinstance(other, tuple) else NotImplemented

    def __radd__(self, other: Any) -> Any:
        return make_size(tuple.__add__(tuple(other), self)) if isinstance(other, tuple) else NotImplemented

    def __mul__(self, n: Any) -> Any:
        return make_size(tuple.__mul__(self, n))

    __rmul__ = __mul__

    def __reduce__(self) -> tuple:
        return Size, (tuple(self),)


Size.__module__ = "flowtorch"


def make_size(shape: tuple) -> Size:
    """``Size(shape)`` without checks, for shapes that come from an array."""
    return tuple.__new__(Size, shape)


known_sizes: dict[tuple, Size] = {}         # by the shapes of arrays: finding one takes half as long as making it


def note_size(shape: tuple) -> Size:
    """The Size of a new shape, kept in ``known_sizes``."""
    if len(known_sizes) > 4096:             # shapes that come and go must not stay for ever
        known_sizes.clear()
    size = known_sizes[shape] = make_size(shape)
    return size
