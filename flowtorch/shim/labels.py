"""Classes and functions that say ``torch`` is their home, while ``import torch`` gives flowtorch.

``__module__`` is what a class shows when printed, what libraries look at that test for a tensor without importing
anything, and what a pickle names: with PyTorch's name in it, PyTorch itself can read the pickle.
"""

from __future__ import annotations

import functools
import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import FunctionType, ModuleType
from typing import Any

from flowtorch.shim import names

REAL = __name__.partition(".")[0]
ALIAS = "torch"
_changed: list[tuple[Any, str]] = []  # what was labelled anew, and its label before


def is_own(module: str) -> bool:
    """Say whether a label is of this library, by whichever name."""
    return module.partition(".")[0] in (REAL, ALIAS)


def label(module: ModuleType) -> None:
    """Give what a module of flowtorch defines the names of PyTorch's modules."""
    start = REAL + "."
    kinds = (type, FunctionType, type(vars(sys.modules[REAL])["add"]))  # of the last kind are fast calls written in C
    for thing in list(vars(module).values()):
        if isinstance(thing, kinds):
            home = thing.__module__
            if home is not None and (home.startswith(start) or home == REAL):
                _label(thing, home)


def _label(thing: Any, home: str) -> None:
    public = public_home(home, thing)
    if public is None or (public != home and isinstance(thing, type) and "__annotations__" in vars(thing)):
        return  # annotations are looked up in the module that a class names: it has to be the true one
    alias = ALIAS + public[len(REAL) :]
    try:
        thing.__module__ = alias
    except TypeError:  # a class written in C
        return
    _changed.append((thing, home))
    if alias not in sys.modules and public in sys.modules:  # where inspect and typing look a label up
        sys.modules[alias] = sys.modules[public]


def public_home(home: str, thing: Any) -> str | None:
    """Return the path that PyTorch knows as well: ``home``, or that of the nearest package around it with the thing.

    flowtorch cuts some of PyTorch's files into several. Where a package is still being loaded, there is no such path
    yet (None): its things are looked at once more when it is complete.
    """
    name = thing.__qualname__
    if home in _paths() and home not in sys.modules:
        return home  # the label that a definition gave itself
    while home and not (home in _paths() and name in vars(sys.modules.get(home, object))):
        home = home.rpartition(".")[0]
    return home if home and vars(sys.modules[home])[name] is thing else None


@functools.cache
def _paths() -> frozenset[str]:
    """The paths that PyTorch has too, as flowtorch's."""
    return frozenset(REAL + name[len(ALIAS) :] for name in names.modules())


def label_all() -> None:
    """Label everything that is loaded."""
    for module in [m for name, m in sys.modules.items() if name.partition(".")[0] == REAL]:
        label(module)


def restore() -> None:
    """Give back the labels from before."""
    while _changed:
        thing, home = _changed.pop()
        thing.__module__ = home


class LabellingLoader(SourceFileLoader):
    """Loads a module of flowtorch as ever, and labels what it defines."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code, and label what is there then."""
        super().exec_module(module)
        label(module)


def labelled(fullname: str, path: Any) -> ModuleSpec | None:
    """Find a module of flowtorch, to be labelled when it is loaded."""
    spec = PathFinder.find_spec(fullname, path)
    if spec is not None and type(spec.loader) is SourceFileLoader:
        spec.loader = LabellingLoader(spec.loader.name, spec.loader.path)
    return spec
