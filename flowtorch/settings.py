"""Switches of the whole library that stand in ``torch`` itself."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType
from typing import Any

from flowtorch import devices, dtypes

_MODES = ("default", "warn", "error")
_state: dict[str, Any] = {"matmul": "highest", "product": "none", "warn_always": False}


def get_float32_matmul_precision() -> str:
    """What ``set_float32_matmul_precision`` set, at first "highest"."""
    return _state["matmul"]


def set_float32_matmul_precision(precision: str) -> None:
    """Say how exact float32 products have to be: "highest", "high" or "medium".

    On a CUDA device all but "highest" allow TensorFloat-32; on the CPU products are always exact.
    """
    if precision not in ("highest", "high", "medium"):
        warnings.warn(
            f"{precision} is not one of 'highest', 'high', or 'medium'; the current "
            "setFloat32MatmulPrecision call has no effect.",
            stacklevel=2,
        )
        return
    _state["matmul"], _state["product"] = precision, "ieee" if precision == "highest" else "tf32"


def product_precision() -> str:
    """What float32 products are computed in on a device: "ieee", "tf32", or "none" while nobody has said."""
    return _state["product"]


def set_product_precision(precision: str) -> None:
    """Set ``product_precision``, and what ``get_float32_matmul_precision`` says with it."""
    if precision not in ("ieee", "tf32", "none"):
        raise RuntimeError(f"Unknown precision: {precision}; float32 products know 'ieee', 'tf32' and 'none'")
    _state["matmul"], _state["product"] = "high" if precision == "tf32" else "highest", precision


def is_warn_always_enabled() -> bool:
    """What ``set_warn_always`` set."""
    return _state["warn_always"]


def set_warn_always(b: bool, /) -> None:
    """Say whether warnings that come once should come every time; Python's own filters decide here."""
    if not isinstance(b, bool):
        raise TypeError(f"setWarnOnlyOnce expects a bool, but got {type(b).__name__}")
    _state["warn_always"] = b


def set_flush_denormal(mode: bool, /) -> bool:
    """Ask for denormal numbers to be taken for zero: returns False, numpy cannot."""
    return False


def get_deterministic_debug_mode() -> int:
    """0: any algorithm, 1: warn of those that are not deterministic, 2: refuse them."""
    from flowtorch.ops import queries

    if not queries.are_deterministic_algorithms_enabled():
        return 0
    return 1 if queries.is_deterministic_algorithms_warn_only_enabled() else 2


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """Choose between "default", "warn" and "error", or 0, 1 and 2."""
    from flowtorch.ops import queries

    if not isinstance(debug_mode, (int, str)):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    if isinstance(debug_mode, str):
        if debug_mode not in _MODES:
            raise RuntimeError(
                f"invalid value of debug_mode, expected one of `default`, `warn`, `error`, but got {debug_mode}"
            )
        debug_mode = _MODES.index(debug_mode)
    if debug_mode not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode, expected 0, 1, or 2, but got {debug_mode}")
    queries.use_deterministic_algorithms(debug_mode > 0, warn_only=debug_mode == 1)


def set_default_tensor_type(t: Any, /) -> None:
    """Choose the dtype (and with it the device) of new float tensors by one of the old tensor types, or its name."""
    if isinstance(t, str):
        module, _, name = t.rpartition(".")
        t = getattr(importlib.import_module(module.replace("torch", "flowtorch", 1) if module else t), name)
    dtype = getattr(t, "dtype", None)
    if isinstance(t, dtypes.dtype) or not isinstance(dtype, dtypes.dtype):
        raise TypeError("invalid type object: only floating-point types are supported as the default type")
    if not dtype.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    if getattr(t, "is_cuda", False) and not importlib.import_module("flowtorch.cuda").is_available():
        raise TypeError(f"type torch.cuda.{t.__name__} not available. Torch not compiled with CUDA enabled.")
    dtypes.set_default_dtype(dtype)


def get_device_module(device: Any = None) -> ModuleType:
    """The module of a device's type: ``torch.cpu``, ``torch.cuda``, ..."""
    kind = devices.device("cpu" if device is None else device).type
    try:
        return importlib.import_module(f"flowtorch.{kind}")
    except ModuleNotFoundError:
        raise RuntimeError(
            f"Device '{kind}' does not have a corresponding module registered as 'torch.{kind}'."
        ) from None


def set_anomaly_enabled(mode: bool, check_nan: bool = True) -> None:
    """Switch anomaly detection on or off."""
    from flowtorch.autograd import anomaly

    anomaly.set_detect_anomaly(mode, check_nan)


def compiled_with_cxx11_abi() -> bool:
    """Whether extensions would be built with the new C++ ABI."""
    return True


def is_vulkan_available() -> bool:
    """Whether there is a Vulkan device: no."""
    return False


def _running_with_deploy() -> bool:
    return False


def _is_functional_tensor(t: Any) -> bool:
    return False
