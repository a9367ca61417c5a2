"""What optimisers outside PyTorch use to step many tensors at once."""

from __future__ import annotations

from typing import Any

from flowtorch.tensor import Tensor

Groups = dict[tuple, tuple[list[list[Any]], list[int]]]


def _get_fused_kernels_supported_devices() -> list[str]:
    """Devices with optimisers in one kernel."""
    return ["cpu", "cuda"]


def _get_foreach_kernels_supported_devices() -> list[str]:
    """Devices on which lists of tensors are worked on at once."""
    return ["cuda"]


def _group_tensors_by_device_and_dtype(tensorlistlist: list[list[Tensor | None]], with_indices: bool = False) -> Groups:
    """Lists of equal length (or empty), cut up alike by the device and dtype of the first list's tensors.

    Each group is the lists' parts, and with ``with_indices`` the positions that they had.
    """
    first = tensorlistlist[0]
    if not first:
        raise RuntimeError("_group_tensors_by_device_and_dtype: the first list of tensors is empty")
    if any(len(tensors) not in (0, len(first)) for tensors in tensorlistlist):
        raise RuntimeError("_group_tensors_by_device_and_dtype: the lists of tensors have unequal lengths")
    groups: Groups = {}
    for at, tensor in enumerate(first):
        if tensor is None:
            raise RuntimeError("_group_tensors_by_device_and_dtype: the first list holds tensors only")
        parts, places = groups.setdefault((tensor.device, tensor.dtype), ([[] for _ in tensorlistlist], []))
        for part, tensors in zip(parts, tensorlistlist, strict=True):
            part += tensors[at : at + 1]
        if with_indices:
            places.append(at)
    return groups
