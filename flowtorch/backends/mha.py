"""Whether layers may take shortcuts in inference: a Transformer's encoder then leaves padding out."""

from __future__ import annotations

_enabled = True


def get_fastpath_enabled() -> bool:
    """Whether the shortcuts are allowed."""
    return _enabled


def set_fastpath_enabled(value: bool) -> None:
    """Allow the shortcuts or not."""
    global _enabled
    _enabled = value
