"""The pipe that others start from."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator

from flowtorch.utils.data.datapipes.datapipe import IterDataPipe
from flowtorch.utils.data.datapipes.utils.common import length

__all__ = ["IterableWrapperIterDataPipe"]


class IterableWrapperIterDataPipe(IterDataPipe):
    """An iterable as a pipe; each iteration reads a copy of it."""

    def __init__(self, iterable: Iterable, deepcopy: bool = True) -> None:
        self.iterable, self.deepcopy = iterable, deepcopy

    def __iter__(self) -> Iterator:
        source = self.iterable
        if self.deepcopy:
            try:
                source = copy.deepcopy(source)
            except TypeError:
                warnings.warn(
                    "The input iterable can not be deepcopied, "
                    "please be aware of in-place modification would affect source data.",
                    stacklevel=2,
                )
        yield from source

    def __len__(self) -> int:
        return length(self, self.iterable)
