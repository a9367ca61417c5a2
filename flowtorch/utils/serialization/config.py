"""``config.save`` and ``config.load``: defaults of ``torch.save`` and ``torch.load``."""

from __future__ import annotations

import mmap as _mmap
from typing import Any


class save:
    """How files are written: checksums, and the alignment of storages in bytes."""

    compute_crc32: bool = True
    use_pinned_memory_for_d2h: bool = False
    storage_alignment: int = 64


class load:
    """How files are read: mapped or not and with which flags, and the byte order of files that do not say."""

    mmap: bool = False
    endianness: Any = None
    mmap_flags: int | None = getattr(_mmap, "MAP_PRIVATE", None)
    calculate_storage_offsets: bool = False
