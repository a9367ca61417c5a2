"""The CUDA runtime as programs reach it through ``torch.cuda``: errors, handles, debugging of synchronisation."""

from __future__ import annotations

from typing import Any

from flowtorch import cuda

SYNC_MODES = {"default": 0, "warn": 1, "error": 2}
_sync_mode = [0]


def _need() -> None:
    if not cuda.is_available():
        raise AssertionError("Torch not compiled with CUDA enabled: there is no CUDA device")


class cudaStatus:
    """Codes of the CUDA runtime."""

    SUCCESS, ERROR_NOT_READY = 0, 34


class CudaError(RuntimeError):
    """An error of the CUDA runtime, by its code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"CUDA runtime error ({code})")


def check_error(res: int) -> None:
    """Raise CudaError unless a code says success."""
    if res != cudaStatus.SUCCESS:
        raise CudaError(res)


def cudart() -> Any:
    """The CUDA runtime's functions, as CuPy offers them."""
    _need()
    module = cuda.cupy()
    return None if module is None else module.cuda.runtime


def current_blas_handle() -> int:
    """The handle of cuBLAS that CuPy uses."""
    _need()
    return cuda.cupy().cuda.device.get_cublas_handle()


def current_solver_handle() -> int:
    """The handle of cuSOLVER that CuPy uses."""
    _need()
    return cuda.cupy().cuda.device.get_cusolver_handle()


def get_sync_debug_mode() -> int:
    """What was set by ``set_sync_debug_mode``: 0 default, 1 warn, 2 error."""
    _need()
    return _sync_mode[0]


def set_sync_debug_mode(debug_mode: int | str) -> None:
    """Note what to do about calls that wait for the device. None is looked for."""
    _need()
    if isinstance(debug_mode, str):
        if debug_mode not in SYNC_MODES:
            raise RuntimeError("invalid value of debug_mode, expected one of `default`, `warn`, `error`")
        debug_mode = SYNC_MODES[debug_mode]
    _sync_mode[0] = debug_mode


def get_stream_from_external(data_ptr: int, device: Any = None) -> Any:
    """A stream that another library made, by its address."""
    _need()
    module = cuda.cupy()
    return cuda.Stream(native=None if module is None else module.cuda.ExternalStream(data_ptr))


def get_gencode_flags() -> str:
    """The options by which kernels were compiled beforehand: there are none, kernels are compiled when they run."""
    return ""


def is_tf32_supported() -> bool:
    """Whether the device multiplies in TensorFloat-32."""
    return cuda.is_available() and cuda.get_device_capability()[0] >= 8


class GreenContext:
    """A part of a device's multiprocessors as a context: not supported."""

    @staticmethod
    def create(num_sms: int, device_id: int = 0) -> Any:
        """RuntimeError: parts of a device cannot be set apart."""
        raise RuntimeError("Green Contexts are not supported: kernels run on the whole device")
