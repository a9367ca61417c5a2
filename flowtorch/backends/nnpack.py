"""NNPACK, which flowtorch does not use: its flag is kept for programs that set it."""

from __future__ import annotations

import contextlib
import sys

from . import switches

enabled = True


def is_available() -> bool:
    """Whether NNPACK is there."""
    return False


def set_flags(_enabled: bool) -> tuple[bool]:
    """Set the flag and return its former value."""
    return (switches.set_all(sys.modules[__name__], {"enabled": _enabled})["enabled"],)


def flags(enabled: bool = False) -> contextlib.AbstractContextManager[None]:
    """Set the flag for the length of a ``with`` block."""
    return switches.held(sys.modules[__name__], {"enabled": enabled})
