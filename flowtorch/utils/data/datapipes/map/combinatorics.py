"""The pipe that reads an indexed pipe in random order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from flowtorch.utils.data.datapipes.datapipe import IterDataPipe, MapDataPipe
from flowtorch.utils.data.sampler import random_seed

__all__ = ["ShufflerIterDataPipe"]


class ShufflerIterDataPipe(IterDataPipe):
    """The samples of an indexed pipe (at given indices) in random order."""

    def __init__(self, datapipe: Any, *, indices: list | None = None) -> None:
        self.datapipe = datapipe
        self.indices = list(range(len(datapipe))) if indices is None else indices
        self._enabled = True
        self._seed: int | None = None
        self._rng = random.Random()

    def set_shuffle(self, shuffle: bool = True) -> ShufflerIterDataPipe:
        """Switch shuffling on or off."""
        self._enabled = shuffle
        return self

    def set_seed(self, seed: int) -> ShufflerIterDataPipe:
        """Set the seed of the next iteration."""
        self._seed = seed
        return self

    def reset(self) -> None:
        """Draw a new order."""
        seed = random_seed() if self._enabled and self._seed is None else self._seed
        self._rng.seed(seed)
        self._seed = None
        self._shuffled_indices = self._rng.sample(self.indices, len(self.indices))

    def __iter__(self) -> Iterator:
        if not self._enabled:
            for index in self.indices:
                yield self.datapipe[index]
        while self._enabled and self._shuffled_indices:
            yield self.datapipe[self._shuffled_indices.pop()]

    def __len__(self) -> int:
        return len(self.datapipe)


MapDataPipe.register_datapipe_as_function("shuffle", ShufflerIterDataPipe)
