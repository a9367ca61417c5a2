"""Does it differ, where first, by how much, and who is right: PyTorch's functions held to each other.

``python -m flowtorch difftest --help`` is the command line. Nothing here loads with ``import flowtorch``.
"""

from __future__ import annotations

from typing import Any

_WHERE: dict[str, str] = {
    "DifferenceFound": "checking",
    "Implementation": "implementations",
    "capture": "crossref",
    "check": "checking",
    "crossref": "crossref",
    "make": "implementations",
    "op": "checking",
    "register": "implementations",
}
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _WHERE:
        value = globals()[name] = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
        return value
    if name == "strategies":
        return import_module(f"{__name__}.strategies")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
