"""Apple's GPUs, which flowtorch does not use."""

from __future__ import annotations


def is_built() -> bool:
    """Whether there are kernels for Apple's GPUs."""
    return False


def is_available() -> bool:
    """Whether there is an Apple GPU to use."""
    return False


def is_macos_or_newer(major: int, minor: int) -> bool:
    """Whether this is macOS of at least this version, with a GPU to use."""
    raise RuntimeError("Cannot execute isOnMacOSorNewer() without MPS backend.")


def is_macos13_or_newer(minor: int = 0) -> bool:
    """Whether this is macOS 13 or newer, with a GPU to use."""
    return is_macos_or_newer(13, minor)
