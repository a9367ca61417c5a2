"""Intel's MKL, which flowtorch does not use: numpy brings its own BLAS."""

from __future__ import annotations

VERBOSE_OFF, VERBOSE_ON = 0, 1


def is_available() -> bool:
    """Whether MKL is there."""
    return False
