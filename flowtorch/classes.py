"""``torch.classes``: C++ classes that a program has registered, of which there are none."""

from __future__ import annotations

from typing import Any

loaded_libraries: set[str] = set()


class _Namespace:
    """Where a library's classes would be."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise RuntimeError(
            f"Tried to instantiate class '{self._name}.{name}', but it does not exist! flowtorch runs no C++ classes: "
            "write the class in Python"
        )


def load_library(path: str) -> None:
    """OSError: flowtorch loads no C++ libraries."""
    raise OSError(f"Could not load this library: {path} (flowtorch runs no C++ operators or classes)")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Namespace(name)
