"""``torch.Stream`` and ``torch.Event`` whatever the device: queues of work, and marks in them.

On host memory everything has run when a call returns, so that a stream has nothing to wait for and marks nothing.
On CUDA they are a stream or an event of ``torch.cuda``.
"""

from __future__ import annotations

from typing import Any, NoReturn

from flowtorch import accelerator, devices

# PyTorch's numbers of the kinds of device.
_KINDS = ("cpu", "cuda", "mkldnn", "opengl", "opencl", "ideep", "hip", "fpga", "maia", "xla", "vulkan", "metal",
          "xpu", "mps", "meta", "hpu", "ve", "lazy", "ipu", "mtia", "privateuseone")  # fmt: skip


def _device(device: Any) -> devices.device:
    if device is None:
        return accelerator.current_accelerator() or devices.device("cpu")
    if isinstance(device, int):
        if not accelerator.is_available():
            raise RuntimeError("Cannot access accelerator device when none is available.")
        return devices.device("cuda", device)
    found = device if isinstance(device, devices.device) else devices.device(device)
    if found.type == "cuda" and not accelerator.is_available():
        raise RuntimeError("PyTorch is not linked with support for cuda devices")
    return found


class _OfDevice(type):
    """Gives the stream or event of ``torch.cuda`` for that device."""

    cuda_name: str

    def __call__(cls, device: Any = None, **options: Any) -> Any:
        if device is None and "device_type" in options:
            kind, index = _KINDS[options.pop("device_type")], options.pop("device_index", -1)
            device = devices.device(kind) if index < 0 else devices.device(kind, index)
        found = _device(device)
        if found.type == "cuda":
            from flowtorch import cuda

            options.pop("stream_id", None)
            return getattr(cuda, cls.cuda_name)(**options)
        return super().__call__(found, **options)

    def __instancecheck__(cls, instance: Any) -> bool:
        if super().__instancecheck__(instance):
            return True
        from flowtorch import cuda

        return isinstance(instance, getattr(cuda, cls.cuda_name))


class Stream(metaclass=_OfDevice):
    """A queue of work on ``device``: the accelerator's by default, else the host's.

    >>> import flowtorch as torch
    >>> torch.Stream("cpu").query()
    True
    """

    cuda_name = "Stream"

    def __init__(self, device: Any = None, *, priority: int = 0, stream_id: int = 0) -> None:
        self.device, self.stream_id = device, stream_id

    @property
    def device_type(self) -> int:
        """PyTorch's number of the kind of device."""
        return _KINDS.index(self.device.type)

    @property
    def device_index(self) -> int:
        """The index of the device, -1 where it has none."""
        return -1 if self.device.index is None else self.device.index

    @property
    def native_handle(self) -> NoReturn:
        """RuntimeError: there is no handle."""
        raise RuntimeError("Backend doesn't support getting stream native handle.")

    def query(self) -> bool:
        """Whether everything queued has run: always."""
        return True

    def synchronize(self) -> None:
        """Wait until everything queued has run."""

    def wait_event(self, event: Any) -> None:
        """Let what is queued from now on wait for ``event``."""

    def wait_stream(self, stream: Any) -> None:
        """RuntimeError: waiting for a stream takes an event."""
        _no_events(self.device)

    def record_event(self, event: Any = None) -> Any:
        """RuntimeError: there are no marks in a queue that is always empty."""
        _no_events(self.device)

    def is_capturing(self) -> bool:
        """Whether a graph is being recorded: never."""
        return False

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        return (
            f"torch.Stream device_type={self.device.type}, device_index={self.device_index}, stream_id={self.stream_id}"
        )


class Event(metaclass=_OfDevice):
    """A mark in the stream of a device: the accelerator's by default, else the host's, which takes none."""

    cuda_name = "Event"

    def __init__(
        self,
        device: Any = None,
        *,
        enable_timing: bool = False,
        blocking: bool = False,
        interprocess: bool = False,
    ) -> None:
        self.device, self.event_id, self._timing = device, 0, enable_timing

    def record(self, stream: Any = None) -> None:
        """RuntimeError: there are no marks in a queue that is always empty."""
        _no_events(self.device)

    def query(self) -> bool:
        """Whether everything before the mark has run: always."""
        return True

    def wait(self, stream: Any = None) -> None:
        """Let a stream wait for the mark."""

    def synchronize(self) -> None:
        """Wait until everything before the mark has run."""

    def elapsed_time(self, other: Event) -> float:
        """Milliseconds between two marks, which the host does not have."""
        if not (self._timing and other._timing):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        raise ValueError("Both events must be recorded before calculating elapsed time.")

    def ipc_handle(self) -> NoReturn:
        """NotImplementedError: events stay in their process."""
        raise NotImplementedError("torch.Event ipc is not supported yet")

    @classmethod
    def from_ipc_handle(cls, device: Any, handle: bytes) -> NoReturn:
        """NotImplementedError: events stay in their process."""
        raise NotImplementedError("torch.Event ipc is not supported yet")

    def __repr__(self) -> str:
        index = -1 if self.device.index is None else self.device.index
        return (
            f"torch.Event device_type={self.device.type}, device_index={index}, event_flag={int(self._timing)}, "
            f"event_id={self.event_id}"
        )


def _no_events(device: devices.device) -> NoReturn:
    raise RuntimeError(f"{device.type} backend doesn't support events.")


Stream.__module__ = Event.__module__ = "torch"
