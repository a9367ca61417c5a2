"""Memory that arrays have given back stays with the process, so that the next arrays need no fresh pages.

By default glibc returns blocks of some hundred kilobytes to the system at once. A training step then spends a fifth of
its time in page faults, ten thousand of them for a small transformer.
"""

from __future__ import annotations

import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LARGEST = 1 << 30  # larger blocks go back as before; and so does what is free beyond as much


def keep_memory() -> bool:
    """Set the C library's allocator up; ``FLOWTORCH_MALLOC=0`` and the library's own variables leave it alone."""
    if os.environ.get("FLOWTORCH_MALLOC") == "0" or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        import ctypes

        mallopt = ctypes.CDLL(None).mallopt
    except (ImportError, OSError, AttributeError, TypeError):  # another C library
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST)) and bool(mallopt(_TRIM_THRESHOLD, _LARGEST))
