"""Arrays of whichever device: the few things that are done to host and device arrays in different ways.

A host array is numpy's; a device array is CuPy's (or numpy's, where Triton's interpreter stands in for a GPU). What is
not here works alike on both: indexing, reshape, transpose, squeeze, swapaxes, view, fill, shape, strides, dtype, size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch import devices

_strided = np.lib.stride_tricks.as_strided
_UNSPELLED = {"<f1": np.uint8, "<W4": np.uint32}    # float8 and complex32 of ml_dtypes: what lies in their place


def on_host(array: Any) -> bool:
    """Whether numpy may work on an array."""
    return isinstance(array, np.ndarray)


def placed(array: Any, device: devices.device) -> Any:
    """A host array in the memory of ``device``: itself where that is the host's."""
    if device.type != "cuda":
        return array
    from flowtorch.array import cuda

    return cuda.to_device(array) if cuda.array_module() is not np and on_host(array) else array


def moved(array: Any, device: devices.device) -> Any:
    """An array in the memory of ``device``, wherever it was; within ``asynchronous`` it may still be on its way."""
    if device.type == "cuda":
        return placed(array, device)
    if on_host(array):
        return array
    from flowtorch.array import cuda, pinned

    if pinned.is_asynchronous() and array.flags.c_contiguous and array.size:
        return pinned.fetch(array)
    return cuda.to_host(array)


def new(shape: tuple, dtype: np.dtype, device: devices.device) -> Any:
    """Uninitialised memory on ``device``."""
    if device.type != "cuda":
        return np.empty(shape, dtype)
    from flowtorch.array.cuda import empty

    return empty(shape, dtype)


def host_strided(array: np.ndarray, shape: Any, strides: Any, writeable: bool = True) -> np.ndarray:
    """``as_strided`` of a numpy array, of the types too that numpy's own function does not know by letter."""
    if array.dtype.str in _UNSPELLED:
        known = array.view(_UNSPELLED[array.dtype.str])
        return _strided(known, shape, strides, writeable=writeable).view(array.dtype)
    return _strided(array, shape, strides, writeable=writeable)


def as_strided(array: Any, shape: Any, strides: Any) -> Any:
    """A view of an array's memory from its first element on; strides in bytes."""
    if isinstance(array, np.ndarray):
        return host_strided(array, shape, strides)
    from flowtorch.array.cuda import strided

    return strided(array, shape, [step // array.itemsize for step in strides])


def contiguous(array: Any) -> Any:
    """A copy whose elements lie in order."""
    if isinstance(array, np.ndarray):
        return np.array(array, order="C")
    made = new(array.shape, array.dtype, devices.device("cuda", 0))
    store(made, array)
    return made


def broadcast(array: Any, shape: tuple) -> Any:
    """The array as one of ``shape``; ValueError if it does not broadcast."""
    if isinstance(array, np.ndarray):
        return np.broadcast_to(array, shape)
    full = np.broadcast_shapes(array.shape, shape)
    if full != shape:
        raise ValueError("shape mismatch")
    missing = len(shape) - array.ndim
    steps = [0 if k < missing or array.shape[k - missing] != n else array.strides[k - missing]
             for k, n in enumerate(shape)]  # fmt: skip
    return as_strided(array, shape, steps)


def store(target: Any, source: Any) -> None:
    """Write ``source``, broadcast and converted, into the memory of ``target``."""
    if isinstance(target, np.ndarray):
        if not on_host(source):
            from flowtorch.array.cuda import to_host

            if _fetched(target, source):
                return
            source = to_host(source)
        np.copyto(target, source, casting="unsafe")
        return
    import importlib

    copies = importlib.import_module("flowtorch.ops.cuda.base")
    copies.copy_into(target, placed(source, devices.device("cuda", 0)))


def _fetched(target: np.ndarray, source: Any) -> bool:
    """Copy device memory into page-locked memory without waiting, where the program asks for it and both lie alike."""
    from flowtorch.array import pinned

    alike = target.dtype == source.dtype and target.shape == source.shape and target.size
    if not (pinned.is_asynchronous() and alike and target.flags.c_contiguous and source.flags.c_contiguous):
        return False
    if pinned.block(target) is None:
        return False
    pinned.fetch(source, target)
    return True
