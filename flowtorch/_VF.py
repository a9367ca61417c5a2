"""Functions that scripted code takes from here: those of ``torch``."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    import flowtorch

    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(flowtorch, name)
