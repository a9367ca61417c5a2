"""Decorators of data pipes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flowtorch.utils.data.datapipes.datapipe import IterDataPipe, MapDataPipe


class functional_datapipe:
    """Register a class of pipes as a method ``name`` of the pipes of its family."""

    def __init__(self, name: str, enable_df_api_tracing: bool = False) -> None:
        self.name, self.enable_df_api_tracing = name, enable_df_api_tracing

    def __call__(self, cls: type) -> type:
        for family in (IterDataPipe, MapDataPipe):
            if isinstance(cls, type) and issubclass(cls, family):
                family.register_datapipe_as_function(self.name, cls, self.enable_df_api_tracing)
                return cls
        raise TypeError("functional_datapipe can only decorate IterDataPipe or MapDataPipe")


_determinism = [False]


class guaranteed_datapipes_determinism:
    """Refuse pipes with a random order for the length of a ``with`` block."""

    def __init__(self) -> None:
        self.before = _determinism[0]
        _determinism[0] = True

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        _determinism[0] = self.before


def non_deterministic(arg: Any) -> Any:
    """Mark a class of pipes as random, always or when a function of its arguments says so."""

    def refuse(cls: type) -> None:
        if _determinism[0]:
            raise TypeError(
                f"{cls.__name__} is non-deterministic, but you set 'guaranteed_datapipes_determinism'. "
                "You can turn off determinism for this DataPipe if that is acceptable for your application"
            )

    def mark(cls: type, when: Callable[..., bool]) -> Callable:
        @functools.wraps(cls, updated=())
        def make(*args: Any, **kwargs: Any) -> Any:
            if when(*args, **kwargs):
                refuse(cls)
            return cls(*args, **kwargs)

        return make

    if isinstance(arg, type):
        if not issubclass(arg, IterDataPipe):
            raise TypeError(
                f"Only `IterDataPipe` can be decorated with `non_deterministic`, but {arg.__name__} is found"
            )
        return mark(arg, lambda *args, **kwargs: True)
    if not callable(arg):
        raise TypeError(f"{arg} can not be decorated by non_deterministic")
    return lambda cls: mark(cls, arg)


def argument_validation(f: Callable) -> Callable:
    """Leave a function as it is: argument types are not checked at run time."""
    return f


def runtime_validation(f: Callable) -> Callable:
    """Leave an iterator function as it is: types of samples are not checked at run time."""
    return f


class runtime_validation_disabled:
    """A ``with`` block without checks of types, which there are none of."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        pass
