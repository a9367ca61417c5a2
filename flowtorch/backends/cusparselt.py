"""cuSPARSELt, which flowtorch does not call."""

from __future__ import annotations


def is_available() -> bool:
    """Whether cuSPARSELt is used: no."""
    return False


def version() -> int | None:
    """The version of cuSPARSELt: None, for there is none."""


def get_max_alg_id() -> int | None:
    """The number of its algorithms: None, for there is none."""
