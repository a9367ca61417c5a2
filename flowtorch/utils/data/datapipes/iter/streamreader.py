"""The contents of open files as a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flowtorch.utils.data.datapipes._decorator import functional_datapipe
from flowtorch.utils.data.datapipes.datapipe import IterDataPipe

__all__ = ["StreamReaderIterDataPipe"]


@functional_datapipe("read_from_stream")
class StreamReaderIterDataPipe(IterDataPipe):
    """(name, contents) of each (name, open file), in parts of ``chunk`` bytes."""

    def __init__(self, datapipe: Any, chunk: int | None = None) -> None:
        self.datapipe, self.chunk = datapipe, chunk

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for name, stream in self.datapipe:
            while part := stream.read(self.chunk):
                yield name, part
            stream.close()
