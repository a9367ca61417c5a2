"""Whether autocast is on, per thread and kind of device, and what it does to the arguments of a call."""
from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from flowtorch import devices, overrides
from flowtorch.autograd.mode import grad_enabled
from flowtorch.dtypes import bfloat16, dtype, float16, float32, float64, promote_types
from flowtorch.ops.autocast import AS_GIVEN, BANNED, FLOAT32, LOW_PRECISION, PROMOTE
from flowtorch.tensor import Tensor

DEVICES = ("cuda", "cpu")
# Where PyTorch has autocast, with the low precision it starts with. The devices that are not here only keep settings.
KINDS = {"cuda": float16, "cpu": bfloat16, "xla": bfloat16, "ipu": float16, "xpu": float16, "mps": float16,
         "hpu": bfloat16, "mtia": float16, "privateuseone": float16, "maia": bfloat16}


class _State(threading.local):
    def __init__(self) -> None:
        self.enabled = dict.fromkeys(KINDS, False)
        self.dtypes = dict(KINDS)
        self.nesting = 0
        self.cache_enabled = True
        self.cache: dict[int, tuple[Tensor, Tensor]] = {}


_state = _State()


def _check(device_type: str, function: str) -> str:
    if not isinstance(device_type, str):
        raise TypeError(f"{function}(): argument 'device_type' (position 1) must be str, not "
                        f"{type(device_type).__name__}")
    if device_type not in KINDS:
        raise RuntimeError(f"unknown device type for autocast in {function}: {device_type}")
    return device_type


def is_autocast_available(device_type: str) -> bool:
    """Whether there is autocast for a kind of device."""
    return devices.device(device_type).type in KINDS


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Whether autocast is on for a kind of device; without one, for CUDA."""
    return _state.enabled[_check("cuda" if device_type is None else device_type, "is_autocast_enabled")]


def set_autocast_enabled(device_type: str | bool, enabled: bool | None = None) -> None:
    """Switch autocast on or off for a kind of device; given a bool alone, for CUDA."""
    if enabled is None:
        device_type, enabled = "cuda", bool(device_type)
    _state.enabled[_check(device_type, "set_autocast_enabled")] = bool(enabled)     # type: ignore[arg-type]
    _watch()


def get_autocast_dtype(device_type: str) -> dtype:
    """The low precision that autocast uses on a kind of device."""
    return _state.dtypes[_check(device_type, "get_autocast_dtype")]


def set_autocast_dtype(device_type: str, dtype: dtype) -> None:
    """Set the low precision that autocast uses on a kind of device."""
    _state.dtypes[_check(device_type, "set_autocast_dtype")] = dtype


def autocast_increment_nesting() -> int:
    """Count one more autocast context; returns how many there are."""
    _state.nesting += 1
    return _state.nesting


def autocast_decrement_nesting() -> int:
    """Count one autocast context less; returns how many are left."""
    _state.nesting -= 1
    return _state.nesting


def is_autocast_cache_enabled() -> bool:
    """Whether parameters are cast once per outermost autocast context instead of at each use."""
    return _state.cache_enabled


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Set whether cast parameters are kept."""
    _state.cache_enabled = bool(enabled)


def clear_autocast_cache() -> None:
    """Forget the cast parameters."""
    _state.cache.clear()


def is_autocast_cpu_enabled() -> bool:
    """Whether autocast is on for the CPU."""
    return is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """Switch autocast on or off for the CPU."""
    set_autocast_enabled("cpu", enabled)


def get_autocast_cpu_dtype() -> dtype:
    """The low precision that autocast uses on the CPU."""
    return get_autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype: dtype) -> None:
    """Set the low precision that autocast uses on the CPU."""
    set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype() -> dtype:
    """The low precision that autocast uses on CUDA devices."""
    return get_autocast_dtype("cuda")


def set_autocast_gpu_dtype(dtype: dtype) -> None:
    """Set the low precision that autocast uses on CUDA devices."""
    set_autocast_dtype("cuda", dtype)


def _deprecated(device_type: str, old: str, new: str) -> str:
    warnings.warn(f"torch.{old} is deprecated. Please use torch.{new} instead.", DeprecationWarning, stacklevel=3)
    return device_type


def is_autocast_xla_enabled() -> bool:
    """Whether autocast is on for XLA devices."""
    return is_autocast_enabled(_deprecated("xla", "is_autocast_xla_enabled()", "is_autocast_enabled('xla')"))


def is_autocast_ipu_enabled() -> bool:
    """Whether autocast is on for IPU devices."""
    return is_autocast_enabled(_deprecated("ipu", "is_autocast_ipu_enabled()", "is_autocast_enabled('ipu')"))


def set_autocast_xla_enabled(enabled: bool) -> None:
    """Switch autocast on or off for XLA devices."""
    kind = _deprecated("xla", "set_autocast_xla_enabled(enabled)", "set_autocast_enabled('xla', enabled)")
    set_autocast_enabled(kind, enabled)


def set_autocast_ipu_enabled(enabled: bool) -> None:
    """Switch autocast on or off for IPU devices."""
    kind = _deprecated("ipu", "set_autocast_ipu_enabled(enabled)", "set_autocast_enabled('ipu', enabled)")
    set_autocast_enabled(kind, enabled)


def get_autocast_xla_dtype() -> dtype:
    """The low precision of autocast on XLA devices."""
    return get_autocast_dtype(_deprecated("xla", "get_autocast_xla_dtype()", "get_autocast_dtype('xla')"))


def get_autocast_ipu_dtype() -> dtype:
    """The low precision of autocast on IPU devices."""
    return get_autocast_dtype(_deprecated("ipu", "get_autocast_ipu_dtype()", "get_autocast_dtype('ipu')"))


def set_autocast_xla_dtype(dtype: dtype) -> None:
    """Set the low precision of autocast on XLA devices."""
    kind = _deprecated("xla", "set_autocast_xla_dtype(dtype)", "set_autocast_dtype('xla', dtype)")
    set_autocast_dtype(kind, dtype)


def set_autocast_ipu_dtype(dtype: dtype) -> None:
    """Set the low precision of autocast on IPU devices."""
    kind = _deprecated("ipu", "set_autocast_ipu_dtype(dtype)", "set_autocast_dtype('ipu', dtype)")
    set_autocast_dtype(kind, dtype)


def _watch() -> None:
    """Have calls shown to `cast_arguments` while autocast is on for this thread."""
    on = any(_state.enabled[device] for device in DEVICES)
    if on == (overrides.state.autocast is not None):
        return
    if on:
        overrides.state.autocast = cast_arguments
        overrides.active.append(cast_arguments)
    else:
        overrides.state.autocast = None
        overrides.active.remove(cast_arguments)


# ---- what a call gets to see

def cast_arguments(name: str, values: Sequence[Any]) -> list[Any] | None:
    """The arguments of a call of the op or function ``name``, cast as the lists say; None if they say nothing."""
    result: list[Any] | None = None
    for device in DEVICES:
        if not _state.enabled[device]:
            continue
        if name in LOW_PRECISION[device]:
            target: Any = _state.dtypes[device]
        elif name in FLOAT32[device]:
            target = float32
        elif name in PROMOTE[device]:
            target = _widest(values, device)
        elif name in BANNED[device]:
            if any(_eligible(t, device) for t in _tensors(values)):
                raise RuntimeError(BANNED[device][name])
            continue
        elif name in AS_GIVEN[device]:
            result = list(result or values)
            continue
        else:
            continue
        result = [_cast(value, target, device) for value in result or values]
    return result


def _tensors(values: Iterable[Any]) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from (item for item in value if isinstance(item, Tensor))


def _eligible(tensor: Tensor, device: str) -> bool:
    kind = tensor._type
    return kind.dtype.is_floating_point and kind.dtype is not float64 and kind.device.type == device


def _widest(values: Sequence[Any], device: str) -> dtype:
    """The low precision, unless an input is wider."""
    widest = _state.dtypes[device]
    for tensor in _tensors(values):
        if tensor._type.device.type == device and tensor._type.dtype.is_floating_point:
            widest = promote_types(widest, tensor._type.dtype)
    return widest


def _cast(value: Any, target: dtype, device: str) -> Any:
    if isinstance(value, Tensor):
        return _cast_tensor(value, target) if _eligible(value, device) else value
    if isinstance(value, (list, tuple)) and any(isinstance(item, Tensor) for item in value):
        return [_cast(item, target, device) for item in value]
    return value


def _cast_tensor(tensor: Tensor, target: dtype) -> Tensor:
    if tensor._type.dtype is target:
        return tensor
    # A parameter is used many times in one forward pass; cast once, it also gets one gradient.
    keep = (_state.cache_enabled and target is not float32 and tensor._type.dtype is float32
            and grad_enabled() and tensor.requires_grad and tensor.is_leaf and tensor._view is None)
    if not keep:
        return tensor.to(target)
    kept = _state.cache.get(id(tensor))
    if kept is None or kept[1]._type.dtype is not target:
        kept = _state.cache[id(tensor)] = tensor, tensor.to(target)
    return kept[1]
