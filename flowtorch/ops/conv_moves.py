"""Copies of images for a convolution: moved by every kernel position, with zeros where they come from outside.

The copies have the image's size, as with "same" padding. So all rows of an image move in one run of memory, however
short they are; what came from a neighbouring row then lies in the columns at the edge, and is cleared.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np


class Moves:
    """How to fill (*positions, *lead, *size) ``copies``, made of zeros, from (*lead, *size) images.

    ``shifts`` has for every dimension of an image, and every position along it: how far from there the copy begins.
    """

    def __init__(self, copies: np.ndarray, shifts: Sequence[Sequence[int]]) -> None:
        dims = len(shifts)
        size = copies.shape[-dims:]
        self.shape = (*copies.shape[dims:-dims], prod(size))
        self.runs = [(copies[position].reshape(self.shape)[..., target], source)
                     for position in product(*(range(len(s)) for s in shifts))
                     for target, source in [_run(size, [s[i] for s, i in zip(shifts, position, strict=True)])]]
        self.edges = []
        for d in range(1, dims):
            before, after = [slice(None)] * d, [slice(None)] * (dims - d - 1)
            columns = ((i, column) for i, shift in enumerate(shifts[d]) for column in _outside(size[d], shift))
            for i, column in columns:
                where: Any = (*before, i, ..., column, *after)
                self.edges.append(copies[where])

    def fill(self, images: np.ndarray) -> None:
        flat = images.reshape(self.shape)
        for target, source in self.runs:
            np.copyto(target, flat[..., source])
        for edge in self.edges:
            edge.fill(0)


def _run(size: tuple, shift: list) -> tuple[slice, slice]:
    """Where the numbers of a moved copy lie in it and in the image; what is outside in the first dimension is left out.
    """
    steps = [prod(size[d + 1 :]) for d in range(len(size))]
    by = sum(a * b for a, b in zip(shift, steps, strict=True))
    first, last = (min(max(n, 0), size[0]) * steps[0] for n in (-shift[0], size[0] - shift[0]))
    first, last = max(first, -by), min(last, prod(size) - by)
    last = max(first, last)
    return slice(first, last), slice(first + by, last + by)


def _outside(n: int, shift: int) -> range:
    return range(max(n - shift, 0), n) if shift > 0 else range(min(-shift, n))
