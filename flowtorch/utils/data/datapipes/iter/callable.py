"""Pipes that apply a function to each sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flowtorch.utils.data._utils.collate import default_collate
from flowtorch.utils.data.datapipes._decorator import functional_datapipe
from flowtorch.utils.data.datapipes.datapipe import IterDataPipe
from flowtorch.utils.data.datapipes.utils.common import _check_unpickable_fn, length, selected, validate_input_col

__all__ = ["CollatorIterDataPipe", "MapperIterDataPipe"]


@functional_datapipe("map")
class MapperIterDataPipe(IterDataPipe):
    """``fn`` of each sample, or of its columns ``input_col``, stored in ``output_col`` (-1 appends)."""

    def __init__(self, datapipe: Any, fn: Callable, input_col: Any = None, output_col: Any = None) -> None:
        _check_unpickable_fn(fn)
        if input_col is None and output_col is not None:
            raise ValueError("`output_col` must be None when `input_col` is None.")
        if isinstance(output_col, (list, tuple)):
            if len(output_col) > 1:
                raise ValueError("`output_col` must be a single-element list or tuple")
            output_col = output_col[0]
        validate_input_col(fn, input_col)
        self.datapipe, self.fn, self.input_col, self.output_col = datapipe, fn, input_col, output_col

    def _apply_fn(self, data: Any) -> Any:
        result = self.fn(*selected(data, self.input_col))
        if self.input_col is None:
            return result
        columns = list(data) if isinstance(data, tuple) else data
        if self.output_col == -1:
            columns.append(result)
        elif self.output_col is not None:
            columns[self.output_col] = result
        elif isinstance(self.input_col, (list, tuple)):
            # The result takes the place of the first column, the others are used up.
            columns[self.input_col[0]] = result
            for column in sorted(self.input_col[1:], reverse=True):
                del columns[column]
        else:
            columns[self.input_col] = result
        return tuple(columns) if isinstance(data, tuple) else columns

    def __iter__(self) -> Iterator:
        for data in self.datapipe:
            yield self._apply_fn(data)

    def __len__(self) -> int:
        return length(self, self.datapipe)


@functional_datapipe("collate")
class CollatorIterDataPipe(MapperIterDataPipe):
    """Each batch put together, by ``default_collate`` unless a function is given."""

    def __init__(
        self, datapipe: Any, conversion: Callable | None = default_collate, collate_fn: Callable | None = None
    ) -> None:
        fn = conversion if collate_fn is None else collate_fn
        if isinstance(fn, dict):
            raise NotImplementedError("collate by a dict of conversions needs data frames, which are not supported")
        super().__init__(datapipe, fn=fn)  # type: ignore[arg-type]
