"""The zip container of checkpoints: uncompressed, aligned records, laid out as PyTorch lays them out."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

LOCAL_HEADER = struct.Struct("<4s5H3I2H")
CENTRAL_HEADER = struct.Struct("<4s6H3I5H2I")
UTF8, DESCRIPTOR = 0x0800, 0x0008
LIMIT32 = 0xFFFFFFFF
READ_ERROR = "PytorchStreamReader failed reading"


class ArchiveWriter:
    """Writes records to a stream that need only support ``write``.

    Sizes and checksums stand after the data and in the directory at the end, so nothing is written twice and
    the stream may be a pipe. Data starts at a multiple of ``alignment`` so that files can be mapped into
    memory.
    """

    def __init__(self, stream: Any, name: str = "archive", crc32: bool = True, alignment: int = 64) -> None:
        self.stream, self.name, self.crc32, self.alignment = stream, name, crc32, alignment
        self.position = 0
        self.directory: list[tuple[bytes, int, int, int]] = []  # name, checksum, size, offset of the header
        self.checksums = 0

    def write(self, record: str, data: Any, fill: bool = True) -> None:
        """Add a record; ``fill=False`` leaves its bytes zero."""
        data = memoryview(data).cast("B") if len(data) else memoryview(b"")
        name, size, start = f"{self.name}/{record}".encode(), len(data), self.position
        checksum = zlib.crc32(data) if self.crc32 and fill else 0
        flags = UTF8 | (DESCRIPTOR if size else 0)
        extra = self._padding(name, size)
        self._put(LOCAL_HEADER.pack(b"PK\3\4", 0, flags, 0, 0, 0, 0, 0, 0, len(name), len(extra)) + name + extra)
        if fill:
            self._put(data)
        else:
            self._zeros(size)
        if size:
            wide = size >= LIMIT32 or start >= LIMIT32
            self._put(b"PK\7\x08" + struct.pack("<IQQ" if wide else "<III", checksum, size, size))
        self.directory.append((name, checksum, size, start))
        self.checksums = zlib.crc32(struct.pack("<I", checksum), self.checksums)

    def close(self) -> None:
        """Write the directory; without it the archive cannot be read."""
        start = self.position
        for name, checksum, size, offset in self.directory:
            extra = _wide_fields(size, size, offset)
            self._put(
                CENTRAL_HEADER.pack(
                    b"PK\1\2",
                    0,
                    45 if extra else 0,
                    UTF8 | (DESCRIPTOR if size else 0),
                    *(0, 0, 0),
                    checksum,
                    min(size, LIMIT32),
                    min(size, LIMIT32),
                    len(name),
                    len(extra),
                    *(0, 0, 0, 0),
                    min(offset, LIMIT32),
                )
                + name
                + extra
            )
        end, count = self.position, len(self.directory)
        self._put(struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, end - start, start))
        self._put(struct.pack("<4sIQI", b"PK\6\7", 0, end, 1))
        count, size, start = min(count, 0xFFFF), min(end - start, LIMIT32), min(start, LIMIT32)
        self._put(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, size, start, 0))

    def serialization_id(self) -> str:
        """Forty digits that depend on the names and contents of the records written so far."""
        names = b"\n".join(name for name, *_ in self.directory)
        return f"{zlib.crc32(names):020d}{self.checksums:020d}"

    def _padding(self, name: bytes, size: int) -> bytes:
        wide = _wide_fields(size, size, self.position)
        start = self.position + LOCAL_HEADER.size + len(name) + len(wide) + 4
        gap = -start % self.alignment
        return wide + b"FB" + struct.pack("<H", gap) + b"Z" * gap

    def _put(self, data: Any) -> None:
        self.stream.write(data)
        self.position += len(data)

    def _zeros(self, size: int) -> None:
        block = bytes(1 << 20)
        for start in range(0, size, len(block)):
            self._put(block[: size - start])


def _wide_fields(size: int, packed: int, offset: int) -> bytes:
    """The zip64 field that holds what does not fit 32 bits."""
    values = [value for value in (size, packed, offset) if value >= LIMIT32]
    return struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values) if values else b""


class ArchiveReader:
    """Reads records of an archive that may be damaged or hostile: sizes are checked before memory is used."""

    # A deflated record may be this much larger than its compressed form before it has to be small.
    MAX_RATIO, SMALL = 200, 1 << 26

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        here = stream.tell()
        self.total = stream.seek(0, 2) or stream.tell()
        stream.seek(here)
        infos = _guarded(lambda: zipfile.ZipFile(stream).infolist(), "zip archive", "failed finding central directory")
        if not infos:
            raise RuntimeError(f"{READ_ERROR} zip archive: the archive is empty")
        self.prefix = infos[0].filename.partition("/")[0]
        self.infos: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            self._check(info)
            self.infos[info.filename] = info
        if len(self.infos) != len(infos) or sum(info.compress_size for info in infos) > self.total:
            raise RuntimeError(f"{READ_ERROR} zip archive: records overlap or have the same name")

    def _check(self, info: zipfile.ZipInfo) -> None:
        fault = None
        if info.flag_bits & 1:
            fault = "it is encrypted"
        elif not 0 <= info.header_offset < self.total:
            fault = f"it is said to start at {info.header_offset}"
        elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            fault = f"its compression method {info.compress_type} is not supported"
        elif info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
            fault = "its sizes disagree"
        elif info.file_size > max(self.SMALL, self.MAX_RATIO * info.compress_size):
            fault = f"it claims to grow from {info.compress_size} to {info.file_size} bytes"
        if fault:
            raise RuntimeError(f"{READ_ERROR} file {info.filename}: {fault}")

    def __contains__(self, record: str) -> bool:
        return f"{self.prefix}/{record}" in self.infos

    def records(self) -> list[str]:
        """The names of the records, without the archive's own name."""
        return [name.removeprefix(f"{self.prefix}/") for name in self.infos]

    def size(self, record: str) -> int:
        """The number of bytes of a record."""
        return self._info(record).file_size

    def read(self, record: str) -> bytes:
        """The bytes of a record."""
        data = bytearray(self.size(record))
        self.read_into(record, memoryview(data))
        return bytes(data)

    def read_into(self, record: str, target: memoryview) -> None:
        """Fill ``target`` with the first bytes of a record and compare the checksum of all of it."""
        info = self._info(record)
        if info.compress_type == zipfile.ZIP_STORED:
            self.stream.seek(self.offset(record))
            checksum = _fill(self.stream, target, record)
            left = info.file_size - len(target)
            checksum = zlib.crc32(_exactly(self.stream, left, record), checksum) if left else checksum
        else:
            data = _guarded(lambda: self._inflated(info), f"file {record}", "file read failed")
            target[:] = data[: len(target)]
            checksum = zlib.crc32(data)
        if info.CRC and checksum != info.CRC:
            raise RuntimeError(
                f"{READ_ERROR} file {record}: file read failed, its checksum is {checksum:08x} instead of "
                f"{info.CRC:08x}: the file is damaged"
            )

    def offset(self, record: str) -> int:
        """Where in the stream a stored record's data starts."""
        info = self._info(record)
        self.stream.seek(info.header_offset)
        header = _exactly(self.stream, LOCAL_HEADER.size, record)
        fields = LOCAL_HEADER.unpack(header)
        start = info.header_offset + LOCAL_HEADER.size + fields[-2] + fields[-1]
        if fields[0] != b"PK\3\4" or start + info.compress_size > self.total:
            raise RuntimeError(f"{READ_ERROR} file {record}: its local header is damaged")
        return start

    def _inflated(self, info: zipfile.ZipInfo) -> bytes:
        self.stream.seek(self.offset(info.filename.removeprefix(f"{self.prefix}/")))
        engine = zlib.decompressobj(-15)
        data = engine.decompress(self.stream.read(info.compress_size), info.file_size)
        if len(data) != info.file_size or (not engine.eof and engine.decompress(engine.unconsumed_tail, 1)):
            raise zipfile.BadZipFile(f"it does not expand to {info.file_size} bytes")
        return data

    def _info(self, record: str) -> zipfile.ZipInfo:
        try:
            return self.infos[f"{self.prefix}/{record}"]
        except KeyError:
            raise RuntimeError(f"PytorchStreamReader failed locating file {record}: file not found") from None


def _guarded(action: Callable[[], Any], what: str, why: str) -> Any:
    """Run an action on untrusted bytes; whatever the zip code makes of bad ones becomes one RuntimeError."""
    try:
        return action()
    except (OSError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, NotImplementedError,
            IndexError, OverflowError) as error:  # fmt: skip
        raise RuntimeError(f"{READ_ERROR} {what}: {why} ({error})") from error


def _exactly(stream: Any, size: int, record: str) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise RuntimeError(f"{READ_ERROR} file {record}: file read failed, the file is truncated")
    return data


def _fill(stream: Any, target: memoryview, record: str) -> int:
    """Read straight into memory, in blocks; returns the checksum."""
    checksum, block = 0, 1 << 24
    for start in range(0, len(target), block):
        part = target[start : start + block]
        if hasattr(stream, "readinto"):
            filled = 0
            while filled < len(part):
                got = stream.readinto(part[filled:])
                if not got:
                    _exactly(stream, len(part), record)
                filled += got
        else:
            part[:] = _exactly(stream, len(part), record)
        checksum = zlib.crc32(part, checksum)
    return checksum
