"""oneDNN, which flowtorch does not use: its flags are kept for programs that set them."""

from __future__ import annotations

import contextlib
import sys

from . import switches

enabled = True
deterministic = False
allow_tf32 = True
fp32_precision = "none"
VERBOSE_OFF, VERBOSE_ON, VERBOSE_ON_CREATION = 0, 1, 2


def is_available() -> bool:
    """Whether oneDNN is there."""
    return False


def flags(
    enabled: bool = False, deterministic: bool = False, allow_tf32: bool = True, fp32_precision: str = "none"
) -> contextlib.AbstractContextManager[None]:
    """Set flags for the length of a ``with`` block."""
    return switches.held(sys.modules[__name__], dict(locals()))
