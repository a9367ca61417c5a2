"""Copies of whole arrays: as they lie in memory, one behind the other, and of the slices that an index names."""

from __future__ import annotations

from typing import Any

import numpy as np


def duplicate(array: np.ndarray) -> np.ndarray:
    """A copy whose dimensions follow each other in memory as those of ``array`` do."""
    return array.copy(order="K")


def concatenate(arrays: Any, dim: int) -> np.ndarray:
    """``arrays`` of one dtype behind each other along ``dim``."""
    return np.concatenate(arrays, dim)


def take(array: np.ndarray, index: np.ndarray, dim: int) -> np.ndarray:
    """The slices of ``array`` along ``dim`` that ``index`` names, its dimensions in the place of that one."""
    return array.take(index, axis=dim)
