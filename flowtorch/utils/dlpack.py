"""Exchange of memory with other libraries by the DLPack protocol."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from flowtorch import dtypes
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


# DLPack's kinds of numbers that numpy does not know; it is shown unsigned integers of their size in their place.
KINDS = {
    "bfloat16": 4, "float8_e4m3fn": 10, "float8_e4m3fnuz": 11, "float8_e5m2": 12, "float8_e5m2fnuz": 13,
    "float8_e8m0fnu": 14,
}  # fmt: skip
_UNSIGNED = 1


def _kind(capsule: Any) -> Any:
    """The byte of a capsule's description that holds the kind of its numbers."""
    import ctypes

    api: Any = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    name = api.PyCapsule_GetName(capsule)
    if name not in (b"dltensor", b"dltensor_versioned"):
        raise RuntimeError(f"from_dlpack received an invalid capsule, named {name!r}: a capsule can be used only once")
    # DLTensor: data (8 bytes), device (8), ndim (4), dtype. Before it, if versioned: version, context, deleter, flags.
    start = api.PyCapsule_GetPointer(capsule, name) + (32 if name.endswith(b"versioned") else 0)
    return ctypes.c_uint8.from_address(start + 20)


def offered(array: np.ndarray, dtype: Any, **options: Any) -> Any:
    """A capsule over an array's memory, for numbers of a dtype that numpy may not know."""
    if dtype.name not in KINDS:
        if dtype.numpy.kind in "biufc":
            return array.__dlpack__(**options)
        raise BufferError(f"Can't export tensors of dtype {dtype} by DLPack: it has no such kind of numbers")
    capsule = array.view(f"u{array.itemsize}").__dlpack__(**options)
    _kind(capsule).value = KINDS[dtype.name]
    return capsule


def _taken(source: Any, copy: bool | None) -> np.ndarray:
    """The array over the memory of numbers that numpy does not know."""
    try:
        capsule = source.__dlpack__(max_version=(1, 0))  # of this kind one learns whether it may be written to
    except TypeError:
        capsule = source.__dlpack__()
    kind = _kind(capsule)
    names = [name for name, code in KINDS.items() if code == kind.value]
    if not names:
        raise RuntimeError(f"from_dlpack: numbers of DLPack's kind {kind.value} are not supported")
    kind.value = _UNSIGNED
    array = np.from_dlpack(_Held(capsule))
    array = _writable(array) if isinstance(source, _Held) and not array.flags.writeable else array
    array = array.view(dtypes.PUBLIC[names[0]].numpy)
    return array.copy() if copy else array


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
    if not capsule and source.__dlpack_device__()[0] == DLDeviceType.kDLCUDA:
        return _on_device(source, copy)
    try:
        array = np.from_dlpack(source) if copy is None else np.from_dlpack(source, copy=copy)
    except ValueError as error:
        raise RuntimeError(f"from_dlpack received an invalid capsule: {error}") from error
    except RuntimeError as error:
        if "dtype" not in str(error):
            raise
        return _taken(source, copy)
    # Capsules of the old kind cannot say whether they may be written to; numpy then assumes the worst.
    return _writable(array) if capsule and not array.flags.writeable else array


def _on_device(source: Any, copy: bool | None) -> Any:
    """CuPy's array over the memory of another library's array on the device."""
    from flowtorch import cuda

    cupy = cuda.cupy()
    if cupy is None:
        raise BufferError("from_dlpack: in Triton's interpreter the memory of device 'cuda' is the host's")
    array = cupy.from_dlpack(source)
    return array.copy() if copy else array


def _writable(array: np.ndarray) -> np.ndarray:
    interface = dict(array.__array_interface__)
    interface["data"] = (interface["data"][0], False)

    class View:
        __array_interface__ = interface
        owner = array

    return np.asarray(View())
