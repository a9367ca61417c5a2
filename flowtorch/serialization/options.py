"""Settings of ``save`` and ``load``: byte order, checksums, mapping, storages left out."""

from __future__ import annotations

import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any


class _Running(threading.local):
    """What the save or load that runs on this thread was told."""

    map_location: Any = None
    skip_data = False
    # In the legacy format objects come before the data: what has to look at data then waits here. None: it is there.
    later: list[Callable[[], Any]] | None = None


running = _Running()


class SourceChangeWarning(Warning):
    """The source of a pickled class differs from the one at hand (kept for programs that filter it)."""


def check_module_version_greater_or_equal(
    module: Any, req_version_tuple: tuple[int, ...], error_if_malformed: bool = True
) -> bool:
    """Whether a module's ``__version__`` is at least the given one."""
    try:
        parts = module.__version__.split(".")[: len(req_version_tuple)]
        version = tuple(type(wanted)(part) for wanted, part in zip(req_version_tuple, parts, strict=True))
    except Exception as error:
        message = (
            f"'{module.__name__}' module version string is malformed '{module.__version__}' and cannot be compared "
            f"with tuple {req_version_tuple}"
        )
        if error_if_malformed:
            raise RuntimeError(message) from error
        warnings.warn(message + ", but continuing assuming that requirement is met", stacklevel=2)
        return True
    return version >= req_version_tuple


@contextmanager
def mkdtemp() -> Iterator[str]:
    """A temporary directory for the length of a ``with`` block."""
    with tempfile.TemporaryDirectory() as path:
        yield path


class LoadEndianness(Enum):
    """The byte order of files that do not say theirs."""

    NATIVE = 1
    LITTLE = 2
    BIG = 3


def config() -> Any:
    from flowtorch.utils.serialization import config

    return config


def get_default_load_endianness() -> LoadEndianness | None:
    """The byte order assumed of files that do not say theirs; None means little endian."""
    return config().load.endianness


def set_default_load_endianness(endianness: LoadEndianness | None) -> None:
    """Set the byte order assumed of files that do not say theirs."""
    if not isinstance(endianness, LoadEndianness) and endianness is not None:
        raise TypeError("Invalid argument type in function set_default_load_endianness")
    config().load.endianness = endianness


def get_crc32_options() -> bool:
    """Whether ``save`` computes a checksum of each record."""
    return config().save.compute_crc32


def set_crc32_options(compute_crc32: bool) -> None:
    """Choose whether ``save`` computes a checksum of each record; ``load`` then cannot notice damage."""
    config().save.compute_crc32 = compute_crc32


def get_default_mmap_options() -> int | None:
    """The flags with which ``load(mmap=True)`` maps files: ``mmap.MAP_PRIVATE`` unless set."""
    return config().load.mmap_flags


class set_default_mmap_options:
    """Set the flags of ``load(mmap=True)``, for good or for the length of a ``with`` block."""

    def __init__(self, flags: int) -> None:
        import mmap

        if flags not in (mmap.MAP_PRIVATE, mmap.MAP_SHARED):
            raise ValueError(
                "Invalid argument in function set_default_mmap_options, "
                f"expected mmap.MAP_PRIVATE or mmap.MAP_SHARED, but got {flags}"
            )
        self.previous, config().load.mmap_flags = config().load.mmap_flags, flags

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        config().load.mmap_flags = self.previous


class skip_data:
    """Leave storages out: ``save`` writes zeros in their place, ``load`` leaves them unset."""

    def __init__(self, materialize_fake_tensors: bool = False) -> None:
        self.materialize_fake_tensors = materialize_fake_tensors

    def __enter__(self) -> None:
        self.before, running.skip_data = running.skip_data, True

    def __exit__(self, *exc: object) -> None:
        running.skip_data = self.before
