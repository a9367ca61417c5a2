"""The pipe that applies a function to each sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowtorch.utils.data.datapipes._decorator import functional_datapipe
from flowtorch.utils.data.datapipes.datapipe import MapDataPipe
from flowtorch.utils.data.datapipes.utils.common import _check_unpickable_fn

__all__ = ["MapperMapDataPipe", "default_fn"]


def default_fn(data: Any) -> Any:
    """The sample itself."""
    return data


@functional_datapipe("map")
class MapperMapDataPipe(MapDataPipe):
    """``fn`` of each sample."""

    def __init__(self, datapipe: Any, fn: Callable = default_fn) -> None:
        _check_unpickable_fn(fn)
        self.datapipe, self.fn = datapipe, fn

    def __len__(self) -> int:
        return len(self.datapipe)

    def __getitem__(self, index: Any) -> Any:
        return self.fn(self.datapipe[index])
