"""The processor."""

from __future__ import annotations

import functools


@functools.cache
def get_cpu_capability() -> str:
    """The widest vector instructions that numpy uses here, in PyTorch's words."""
    from numpy._core._multiarray_umath import __cpu_features__ as features

    if features.get("AVX512F"):
        return "AVX512"
    return "AVX2" if features.get("AVX2") else "DEFAULT"
