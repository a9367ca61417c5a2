"""OpenMP."""

from __future__ import annotations


def is_available() -> bool:
    """Whether kernels may use OpenMP: those of the native tier do."""
    return True
