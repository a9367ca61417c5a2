"""Copies of images for a convolution: moved by every kernel position, with zeros where they come from outside.

The copies have the image's size, as with "same" padding. So all rows of an image move in one run of memory, however
short they are; what came from a neighbouring row then lies in the columns at the edge, and is cleared.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np


class Moves:
    """How to fill (*positions, *lead, *size) ``copies`` from (*lead, *size) images.

    ``shifts`` has for every dimension of an image, and every position along it: how far from there the copy begins;
    from one position to the next these are equal steps. In ``copies`` the images have no gaps.
    """

    def __init__(self, copies: np.ndarray, shifts: Sequence[Sequence[int]]) -> None:
        dims, item = len(shifts), copies.itemsize
        lead, size = copies.shape[dims:-dims], copies.shape[-dims:]
        area = prod(size)
        steps = [prod(size[d + 1 :]) for d in range(dims)]
        first, last = (sum(s[end] * step for s, step in zip(shifts, steps, strict=True)) for end in (0, -1))
        margin = max(-first, last, 0)           # what is read there is cleared again
        room = np.empty(prod(lead) * area + 2 * margin, copies.dtype)
        self.images = room[margin : len(room) - margin].reshape(*lead, *size)
        by_position = [(s[-1] - s[0]) // max(len(s) - 1, 1) * step for s, step in zip(shifts, steps, strict=True)]
        by_lead = [prod(lead[d + 1 :]) * area for d in range(len(lead))]
        strides = [n * item for n in (*by_position, *by_lead, 1)]
        shape = (*copies.shape[:-dims], area)
        self.source = np.ndarray(shape, room.dtype, room, (margin + first) * item, strides)
        self.target = copies.reshape(shape)
        self.edges = [copies[where] for where in _edges(size, shifts)]

    def fill(self, images: np.ndarray) -> None:
        """Make the copies of all images, or of the first ones if there are fewer along the first dimension."""
        np.copyto(self.images[: len(images)], images)
        np.copyto(self.target, self.source)
        for edge in self.edges:
            edge.fill(0)


def _edges(size: tuple, shifts: Sequence[Sequence[int]]) -> Any:
    """Where copies would show what lies outside the image: rows at once, columns one by one, which is faster."""
    dims = len(size)
    for d, n in enumerate(size):
        for i, shift in enumerate(shifts[d]):
            outside = range(max(n - shift, 0), n) if shift > 0 else range(min(-shift, n))
            places = outside if d else [slice(outside.start, outside.stop)] if outside else []
            for place in places:
                yield (*[slice(None)] * d, i, ..., place, *[slice(None)] * (dims - d - 1))
