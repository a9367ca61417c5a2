"""``PyTorchFileReader`` and ``PyTorchFileWriter``: a checkpoint's zip archive, record by record."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from flowtorch.serialization.archive import ArchiveReader, ArchiveWriter


class PyTorchFileReader:
    """Reads the records of an archive: a path, or a binary stream that can seek."""

    def __init__(self, name_or_buffer: Any) -> None:
        self._own = isinstance(name_or_buffer, (str, os.PathLike))
        self._stream = open(name_or_buffer, "rb") if self._own else name_or_buffer  # noqa: SIM115
        self._archive = ArchiveReader(self._stream)

    def __del__(self) -> None:
        if getattr(self, "_own", False) and hasattr(self, "_stream"):
            self._stream.close()

    def has_record(self, name: str) -> bool:
        """Whether there is a record."""
        return name in self._archive

    def get_all_records(self) -> list[str]:
        """The names of all records."""
        return self._archive.records()

    def get_record(self, name: str) -> bytes:
        """The bytes of a record."""
        return self._archive.read(name)

    def get_record_size(self, name: str) -> int:
        """The number of bytes of a record."""
        return self._archive.size(name)

    def get_record_offset(self, name: str) -> int:
        """Where a record's bytes start in the file."""
        return self._archive.offset(name)

    def get_storage_from_record(self, name: str, numel: int, dtype: Any) -> Any:
        """A tensor of a record's first elements."""
        from flowtorch.ops.factory import frombuffer

        size = numel * dtype.itemsize
        data = bytearray(self._archive.read(name)[:size])
        return frombuffer(data, dtype=dtype) if size else frombuffer(np.zeros(1), dtype=dtype)[:0]

    def serialization_id(self) -> str:
        """The number under which the archive was written, or an empty text."""
        record = ".data/serialization_id"
        return self.get_record(record).decode() if self.has_record(record) else ""


class PyTorchFileWriter:
    """Writes records to an archive, a path or a binary stream; ``write_end_of_file`` makes it complete."""

    def __init__(self, name_or_buffer: Any, compute_crc32: bool = True, storage_alignment: int = 64) -> None:
        self._own = isinstance(name_or_buffer, (str, os.PathLike))
        self._stream = open(name_or_buffer, "wb") if self._own else name_or_buffer  # noqa: SIM115
        name = os.path.splitext(os.path.basename(name_or_buffer))[0] if self._own else "archive"
        self._archive = ArchiveWriter(self._stream, name, compute_crc32, storage_alignment)
        self._names: list[str] = []

    def archive_name(self) -> str:
        """The folder in which all records stand."""
        return self._archive.name

    def write_record(self, name: str, data: Any, size: int) -> None:
        """Add a record: the first ``size`` bytes of ``data``."""
        view = data if isinstance(data, (bytes, bytearray, memoryview, str)) else memoryview(data.numpy())
        view = view.encode() if isinstance(view, str) else view
        self._archive.write(name, memoryview(view).cast("B")[:size] if size else b"")
        self._names.append(name)

    def get_all_written_records(self) -> list[str]:
        """The names of the records written so far."""
        return list(self._names)

    def serialization_id(self) -> str:
        """A number that depends on the records written so far."""
        return self._archive.serialization_id()

    def write_end_of_file(self) -> None:
        """Write what makes the archive readable, and close a file that was opened here."""
        for name, text in (("version", "3\n"), (".data/serialization_id", self.serialization_id())):
            if name not in self._names:
                self.write_record(name, text, len(text))
        self._archive.close()
        if self._own:
            self._stream.close()
