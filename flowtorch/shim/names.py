"""The modules and public names of the PyTorch that flowtorch follows, from a list that travels with the package."""

from __future__ import annotations

import functools
import re
from pathlib import Path


@functools.cache
def _listed() -> dict[str, frozenset[str]]:
    table = {}
    for line in _text().splitlines():
        if not line.startswith("#"):
            module, _, names = line.partition(":")
            table[module] = frozenset(names.split())
    return table


@functools.cache
def public() -> dict[str, frozenset[str]]:
    """Return the public names by module or class; without the modules of which no names are listed."""
    return {module: names for module, names in _listed().items() if names}


@functools.cache
def modules() -> frozenset[str]:
    """Return the full names of PyTorch's modules."""
    return frozenset(re.findall(r"^([\w.]+):", _text(), re.MULTILINE))


def _text() -> str:
    return (Path(__file__).parent / "torch_names.txt").read_text()
