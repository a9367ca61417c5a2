"""Device objects, the device of new tensors, and what devices this process has."""
from __future__ import annotations

import functools
import os
import threading
from typing import Any

_TYPES = ("cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "maia", "xla",
          "lazy", "vulkan", "mps", "meta", "hpu", "mtia", "privateuseone")


class device:
    """Where a tensor's memory is: ``device("cpu")``, ``device("cuda", 1)``, ``device("cuda:1")``, ``device("meta")``.

    As a context manager (or a decorator) it sets the device of tensors made without one.

    >>> torch.device("cuda:1").index
    1
    >>> with torch.device("meta"):
    ...     torch.empty(1000, 1000).device
    device(type='meta')
    """

    __slots__ = ("_previous", "index", "type")

    type: str
    index: int | None

    def __new__(cls, type: Any = None, index: int | None = None, *, device: Any = None) -> device:
        spec = device if type is None else type
        if spec.__class__ is cls and index is None:
            return spec
        self = object.__new__(cls)
        if isinstance(spec, int) and not isinstance(spec, bool):
            if index is not None:
                raise TypeError("device(): argument 'type' must be str, not int")
            return cls("cuda", int(spec))
        if not isinstance(spec, str):
            raise TypeError(f"device(): argument 'type' must be str, not {spec.__class__.__name__}")
        name, colon, number = spec.partition(":")
        if colon:
            if index is not None:
                raise RuntimeError("type (string) must not include an index because index was passed "
                                   f"explicitly: {spec}")
            if not number.isascii() or not number.isdigit() or (len(number) > 1 and number[0] == "0"):
                raise RuntimeError(f"Invalid device string: '{spec}'")
            index = int(number)
        if name not in _TYPES:
            raise RuntimeError(f"Expected one of {', '.join(_TYPES)} device type at start of device string: {name}")
        if index is not None and index < 0:
            raise RuntimeError(f"Device index must not be negative, got {index}")
        self.type, self.index = name, index
        return self

    def __eq__(self, other: object) -> bool:
        return other.__class__ is device and self.type == other.type and self.index == other.index  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __repr__(self) -> str:
        return (
            f"device(type='{self.type}')" if self.index is None else f"device(type='{self.type}', index={self.index})"
        )

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __reduce__(self) -> tuple:
        return device, (self.type,) if self.index is None else (self.type, self.index)

    def __enter__(self) -> device:
        _stack.devices.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _stack.devices.pop()

    def __call__(self, func: Any) -> Any:
        """Decorate ``func`` so that it runs with this device as the default."""
        import functools

        @functools.wraps(func)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)
        return wrapped


device.__module__ = "flowtorch"


class _Stack(threading.local):
    def __init__(self) -> None:
        self.devices: list[device] = []


_stack = _Stack()
cpu = device("cpu")
meta = device("meta")
_default = cpu


def default_device() -> device:
    """The device of tensors made without one."""
    d = _stack.devices[-1] if _stack.devices else _default
    return _cuda0 if d.type == "cuda" and d.index is None else d


def get_default_device() -> device:
    """The device that new tensors get when none is named."""
    return default_device()


def set_default_device(device: Any) -> None:
    """Make ``device`` the device of tensors made without one; ``None`` sets the CPU again."""
    global _default
    _default = cpu if device is None else _device(device)


_device = device


def interpreted_cuda() -> bool:
    """Whether device "cuda" is host memory with kernels run by Triton's interpreter (``FLOWTORCH_CUDA=interpret``)."""
    return os.environ.get("FLOWTORCH_CUDA") == "interpret"


def cuda_count() -> int:
    """How many CUDA devices flowtorch can use: one, or none. Looks for CuPy and a GPU when it is first asked."""
    return 1 if interpreted_cuda() else min(_gpus(), 1)


@functools.cache
def _gpus() -> int:
    import importlib.util

    if importlib.util.find_spec("cupy") is None:
        return 0
    try:
        import cupy

        return int(cupy.cuda.runtime.getDeviceCount())
    except Exception:  # CuPy is there, a driver or a GPU is not
        return 0


def resolve(d: Any) -> device:
    """The device object for a ``device=`` argument: None, a string, an index or a device. Refuses absent devices."""
    if d is None:
        return default_device()
    if d.__class__ is not device:
        d = device(d)
    if d.type == "cpu":                           # one of each, whatever the index says
        return cpu
    if d.type == "meta":
        return meta
    if d.type == "cuda":
        if cuda_count():
            if d.index and not interpreted_cuda():
                raise RuntimeError(f"flowtorch runs on cuda:0 alone, not on {d}; CUDA_VISIBLE_DEVICES chooses the GPU")
            return d if d.index is not None else _cuda0
        raise RuntimeError("No CUDA device is available: flowtorch runs on cuda with the extra 'cuda12' or 'cuda13' "
                           "(cupy and triton) and a GPU, or with FLOWTORCH_CUDA=interpret on host memory")
    raise NotImplementedError(f"Could not run a function that makes tensors with arguments from the '{d.type.upper()}' "
                              "backend: flowtorch does not support it; use 'cpu', 'cuda' or 'meta'")


_cuda0 = device("cuda", 0)
