"""The pipe that gathers samples."""

from __future__ import annotations

from typing import Any

from flowtorch.utils.data.datapipes._decorator import functional_datapipe
from flowtorch.utils.data.datapipes.datapipe import DataChunk, MapDataPipe
from flowtorch.utils.data.datapipes.utils.common import length

__all__ = ["BatcherMapDataPipe"]


@functional_datapipe("batch")
class BatcherMapDataPipe(MapDataPipe):
    """Lists of ``batch_size`` samples."""

    def __init__(
        self, datapipe: Any, batch_size: int, drop_last: bool = False, wrapper_class: type = DataChunk
    ) -> None:
        if batch_size <= 0:
            raise AssertionError("Batch size is required to be larger than 0!")
        self.datapipe, self.batch_size = datapipe, batch_size
        self.drop_last, self.wrapper_class = drop_last, wrapper_class

    def __getitem__(self, index: Any) -> Any:
        batch = []
        try:
            for i in range(index * self.batch_size, (index + 1) * self.batch_size):
                batch.append(self.datapipe[i])
        except IndexError as error:
            if self.drop_last or not batch:
                raise IndexError(f"Index {index} is out of bound.") from error
        return self.wrapper_class(batch)

    def __len__(self) -> int:
        whole, rest = divmod(length(self, self.datapipe), self.batch_size)
        return whole + (1 if rest and not self.drop_last else 0)
