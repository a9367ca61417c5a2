"""MIOpen, which flowtorch does not call: the setting can be read and set."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

immediate = False


def set_flags(_immediate: bool) -> tuple[bool]:
    """Set the setting; returns what it was."""
    global immediate
    before, immediate = immediate, _immediate
    return (before,)


@contextlib.contextmanager
def flags(immediate: bool = False) -> Iterator[None]:
    """A context with another setting."""
    before = set_flags(immediate)
    try:
        yield
    finally:
        set_flags(*before)
