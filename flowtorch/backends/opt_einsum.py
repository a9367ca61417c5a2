"""Choosing the order in which ``einsum`` multiplies many operands: numpy's search does it."""

from __future__ import annotations

enabled = True
strategy: str | None = "auto"


def is_available() -> bool:
    """Whether the package opt_einsum is used."""
    return False
