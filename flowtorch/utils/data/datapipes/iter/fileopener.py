"""Open files as a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flowtorch.utils.data.datapipes._decorator import functional_datapipe
from flowtorch.utils.data.datapipes.datapipe import IterDataPipe
from flowtorch.utils.data.datapipes.utils.common import StreamWrapper, length

__all__ = ["FileOpenerIterDataPipe"]


@functional_datapipe("open_files")
class FileOpenerIterDataPipe(IterDataPipe):
    """(name, open file) of each name."""

    def __init__(self, datapipe: Iterable[str], mode: str = "r", encoding: str | None = None, length: int = -1) -> None:
        if mode not in ("b", "t", "rb", "rt", "r"):
            raise ValueError(f"Invalid mode {mode}")
        if "b" in mode and encoding is not None:
            raise ValueError("binary mode doesn't take an encoding argument")
        self.datapipe, self.encoding, self.length = datapipe, encoding, length
        self.mode = f"r{mode}" if mode in ("b", "t") else mode

    def __iter__(self) -> Iterator[tuple[str, StreamWrapper]]:
        for name in self.datapipe:
            if not isinstance(name, str):
                raise TypeError(f"Expected string type for pathname, but got {type(name)}")
            yield name, StreamWrapper(open(name, self.mode, encoding=self.encoding))  # noqa: SIM115

    def __len__(self) -> int:
        return length(self, None) if self.length == -1 else self.length
