"""The functions of ``torch`` that PyTorch writes in Python, by the module that defines them there."""

from __future__ import annotations

from typing import Any

_NAMES = [
    "align_tensors", "atleast_1d", "atleast_2d", "atleast_3d", "block_diag", "broadcast_shapes", "broadcast_tensors",
    "cartesian_prod", "cdist", "chain_matmul", "einsum", "istft", "lu", "meshgrid", "norm", "split", "stft",
    "tensordot", "unique", "unique_consecutive", "unravel_index",
]  # fmt: skip
__all__ = list(_NAMES)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        import flowtorch

        return getattr(flowtorch, name)
    raise AttributeError(f"module 'torch.functional' has no attribute '{name}'")
