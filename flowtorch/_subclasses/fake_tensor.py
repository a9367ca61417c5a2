"""Tensors of shapes alone, made for a tracer: flowtorch makes none; tensors on the device "meta" have shapes alone."""

from __future__ import annotations

from typing import Any

from flowtorch.tensor import Tensor

__all__ = ["FakeTensor", "FakeTensorMode", "is_fake"]

_INSTEAD = 'flowtorch traces no programs. Tensors on the device "meta" have shapes and dtypes, and no data.'


class FakeTensor(Tensor):
    """A tensor without data that says it is on a device: there are none."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"torch._subclasses.FakeTensor: {_INSTEAD}")


class FakeTensorMode:
    """A context that makes tensors without data: not supported."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(f"torch._subclasses.FakeTensorMode: {_INSTEAD}")


def is_fake(x: object) -> bool:
    """Whether ``x`` is a tensor made for a tracer: never."""
    return isinstance(x, FakeTensor)


def __getattr__(name: str) -> Any:
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)
