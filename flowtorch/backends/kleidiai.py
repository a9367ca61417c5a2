"""Arm's KleidiAI, which flowtorch does not call."""

from __future__ import annotations


def is_available() -> bool:
    """Whether KleidiAI is used: no."""
    return False
