"""Exchange of memory with other libraries by the DLPack protocol."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from flowtorch.ops.memory import from_dlpack

__all__ = ["DLDeviceType", "from_dlpack", "to_dlpack"]


class DLDeviceType(enum.IntEnum):
    """The kinds of devices that DLPack knows."""

    kDLCPU = 1
    kDLCUDA = 2
    kDLCUDAHost = 3
    kDLOpenCL = 4
    kDLVulkan = 7
    kDLMetal = 8
    kDLVPI = 9
    kDLROCM = 10
    kDLROCMHost = 11
    kDLExtDev = 12
    kDLCUDAManaged = 13
    kDLOneAPI = 14
    kDLWebGPU = 15
    kDLHexagon = 16
    kDLMAIA = 17


def to_dlpack(tensor: Any, /) -> Any:
    """A DLPack capsule over the tensor's memory; it can be used once."""
    return tensor.__dlpack__()


class _Held:
    """A capsule that somebody has taken already, as an object that hands it out."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return DLDeviceType.kDLCPU, 0


def exchanged(source: Any, copy: bool | None = None) -> np.ndarray:
    """The numpy array over the memory that ``source``, an array of another library or a capsule, offers."""
    capsule = type(source).__name__ == "PyCapsule"
    if capsule:
        source = _Held(source)
    if not hasattr(source, "__dlpack__"):
        raise RuntimeError(
            f"from_dlpack received an invalid capsule: {type(source).__name__} has no __dlpack__. Note that DLTensor "
            "capsules can be consumed only once, so you might have already constructed a tensor from it once."
        )
    try:
        array = np.from_dlpack(source) if copy is None else np.from_dlpack(source, copy=copy)
    except ValueError as error:
        raise RuntimeError(f"from_dlpack received an invalid capsule: {error}") from error
    # Capsules of the old kind cannot say whether they may be written to; numpy then assumes the worst.
    return _writable(array) if capsule and not array.flags.writeable else array


def _writable(array: np.ndarray) -> np.ndarray:
    interface = dict(array.__array_interface__)
    interface["data"] = (interface["data"][0], False)

    class View:
        __array_interface__ = interface
        owner = array

    return np.asarray(View())
