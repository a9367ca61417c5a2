"""The CPU as a device among others (``torch.cpu``): always there, and never anything to wait for."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = [
    "Event", "Stream", "StreamContext", "current_device", "current_stream", "device_count", "get_capabilities",
    "is_available", "is_initialized", "set_device", "stream", "synchronize",
]  # fmt: skip


class Stream:
    """The one order in which calls run."""

    def __init__(self, priority: int = -1) -> None:
        pass

    def wait_stream(self, stream: Any) -> None:
        """There is nothing to wait for."""

    def record_event(self, event: Any = None) -> None:
        """Nothing is recorded."""

    def wait_event(self, event: Any) -> None:
        """There is nothing to wait for."""


class Event:
    """A moment in a stream, which has always passed."""

    def query(self) -> bool:
        """Whether it has passed: yes."""
        return True

    def record(self, stream: Any = None) -> None:
        """Nothing is recorded."""

    def synchronize(self) -> None:
        """There is nothing to wait for."""

    def wait(self, stream: Any = None) -> None:
        """There is nothing to wait for."""


_current = Stream()


class StreamContext(contextlib.AbstractContextManager):
    """A context in which a stream is the current one."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __enter__(self) -> None:
        global _current
        self._before = _current
        if self.stream is not None:
            _current = self.stream

    def __exit__(self, *exc: object) -> None:
        global _current
        _current = self._before


def is_available() -> bool:
    """Whether there is a CPU."""
    return True


def is_initialized() -> bool:
    """Whether it can be used."""
    return True


def synchronize(device: Any = None) -> None:
    """There is nothing to wait for."""


def current_stream(device: Any = None) -> Any:
    """The current stream."""
    return _current


def stream(stream: Any) -> StreamContext:
    """A context in which ``stream`` is the current one."""
    return StreamContext(stream)


def device_count() -> int:
    """The number of CPU devices: 1."""
    return 1


def set_device(device: Any) -> None:
    """There is only one."""


def current_device() -> str:
    """The current device: "cpu"."""
    return "cpu"


def get_capabilities() -> Mapping[str, Any]:
    """What numpy found the processor to be capable of, by the names of its features in lower case."""
    import numpy as np

    features: Any = np._core._multiarray_umath.__cpu_features__  # type: ignore[attr-defined]
    return MappingProxyType({name.lower(): bool(there) for name, there in features.items()})



def __getattr__(name: str) -> Any:
    if name == "amp":
        return importlib.import_module("flowtorch.cpu.amp")
    raise AttributeError(f"module 'torch.cpu' has no attribute '{name}'")
