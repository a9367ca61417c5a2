"""How data pipes are connected."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from flowtorch.utils.data.datapipes.datapipe import IterDataPipe, MapDataPipe

__all__ = ["traverse", "traverse_dps"]

DataPipe = IterDataPipe | MapDataPipe
DataPipeGraph = dict[int, tuple[Any, Any]]


def traverse_dps(datapipe: Any) -> DataPipeGraph:
    """The pipes that a pipe reads from, and those that they read from: ``{id: (pipe, graph)}``."""
    return _graph(datapipe, frozenset())


def traverse(datapipe: Any, only_datapipe: bool | None = None) -> DataPipeGraph:
    """The older name of :func:`traverse_dps`."""
    warnings.warn(
        "`traverse` function is deprecated and will be removed after 1.13. Please use `traverse_dps` instead.",
        FutureWarning,
        stacklevel=2,
    )
    return traverse_dps(datapipe)


def _graph(datapipe: Any, above: frozenset[int]) -> DataPipeGraph:
    if not isinstance(datapipe, (IterDataPipe, MapDataPipe)):
        raise RuntimeError(f"Expected `IterDataPipe` or `MapDataPipe`, but {type(datapipe)} is found")
    if id(datapipe) in above:
        return {}
    below: DataPipeGraph = {}
    for value in vars(datapipe).values():
        for pipe in _pipes_in(value):
            below.update(_graph(pipe, above | {id(datapipe)}))
    return {id(datapipe): (datapipe, below)}


def _pipes_in(value: Any) -> Iterator[Any]:
    """The pipes in an attribute: it is one, or holds them."""
    if isinstance(value, (IterDataPipe, MapDataPipe)):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _pipes_in(item)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from _pipes_in(item)
