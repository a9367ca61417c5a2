"""Flags that are set together for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


def set_all(module: Any, flags: dict[str, Any]) -> dict[str, Any]:
    """Set the flags of a module that are not None; return their former values."""
    chosen = {name: value for name, value in flags.items() if value is not None}
    former = {name: getattr(module, name) for name in chosen}
    for name, value in chosen.items():
        setattr(module, name, value)
    return former


@contextlib.contextmanager
def held(module: Any, flags: dict[str, Any]) -> Iterator[None]:
    """Set flags for the length of a ``with`` block."""
    former = set_all(module, flags)
    try:
        yield
    finally:
        set_all(module, former)
