"""One import finder that makes every ``torch`` name the flowtorch module of the same path.

There are no wrappers and no copies: ``torch.nn`` *is* ``flowtorch.nn``, by whichever name it came first.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, ClassVar

from flowtorch.shim import labels
from flowtorch.shim.labels import ALIAS, REAL

STAND_IN = str(Path(__file__).parent / "path")  # holds a torch for child processes, which starts this finder there
VERSION = "2.13.0"


class _Distribution(importlib.metadata.Distribution):
    """What ``importlib.metadata`` says of torch: the version whose behaviour flowtorch follows."""

    files_by_name: ClassVar = {
        "METADATA": f"Metadata-Version: 2.1\nName: {ALIAS}\nVersion: {VERSION}\n",
        "top_level.txt": f"{ALIAS}\n",
        "INSTALLER": f"{REAL}\n",
    }

    def read_text(self, filename: str) -> str | None:
        return self.files_by_name.get(filename)

    def locate_file(self, path: Any) -> Any:
        return Path(__file__).parent / "path" / path


class _AliasLoader(Loader):
    """Hands out the flowtorch module in place of a new one."""

    def __init__(self, real: str):
        self.real = real

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.real)
        self.true_spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # importlib stamps the alias's spec on the module it was given; reload and pickling need the true one.
        module.__spec__ = self.true_spec

    def _true_loader(self) -> Any:
        spec = importlib.util.find_spec(self.real)
        assert spec is not None
        return spec.loader

    # runpy (``-m torch.x``) and inspect ask the loader for these.
    def get_code(self, fullname: str) -> CodeType | None:
        return self._true_loader().get_code(self.real)

    def get_source(self, fullname: str) -> str | None:
        return self._true_loader().get_source(self.real)

    def is_package(self, fullname: str) -> bool:
        return self._true_loader().is_package(self.real)


class TorchFinder(MetaPathFinder):
    """Finds ``torch`` and everything below it in flowtorch, and nowhere else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.startswith(REAL + "."):
            return labels.labelled(fullname, path)
        if fullname != ALIAS and not fullname.startswith(ALIAS + "."):
            return None
        real = REAL + fullname[len(ALIAS) :]
        try:
            found = importlib.util.find_spec(real)
        except ModuleNotFoundError:
            found = None
        if found is None:
            from flowtorch.shim import absent

            empty = absent.module_spec(fullname, sys._getframe(1))
            if empty is not None or absent.probing(sys._getframe(1)):
                return empty
            # The finders after this one would load another torch's file, or flowtorch's own a second time.
            raise ModuleNotFoundError(
                f"No module named {fullname!r} ({REAL} does not provide it).{absent.advice(fullname)}", name=fullname
            )
        places = found.submodule_search_locations
        spec = importlib.machinery.ModuleSpec(
            fullname, _AliasLoader(real), origin=found.origin, is_package=places is not None
        )
        if places is not None:
            spec.submodule_search_locations = list(places)
        spec.has_location = found.has_location
        return spec

    def find_distributions(self, context: Any = None) -> Iterable[importlib.metadata.Distribution]:
        """Yield the stand-in for torch's installed metadata."""
        asked = None if context is None else context.name
        # A list of everything finds the metadata beside the stand-in, which is on the path.
        if (asked is not None and asked.lower() == ALIAS) or (asked is None and STAND_IN not in sys.path):
            yield _Distribution()


_finder = TorchFinder()


def install(force: bool = False) -> None:
    """Make ``import torch``, and every import below it, give flowtorch's modules from now on.

    Raises RuntimeError if another torch is imported already: its objects may be in use. ``force`` replaces.
    """
    present = sys.modules.get(ALIAS)
    own = sys.modules[REAL]
    if present is not None and present is not own and not force:
        where = getattr(present, "__file__", None) or "an unknown place"
        raise RuntimeError(
            f"{REAL}.install(): another torch is imported already (from {where}). "
            f"Call {REAL}.install() before the first 'import torch', or start the program with "
            f"'python -m {REAL} run'."
        )
    for name in [n for n in sys.modules if n == ALIAS or n.startswith(ALIAS + ".")]:
        del sys.modules[name]
    for name in [n for n in sys.modules if n == REAL or n.startswith(REAL + ".")]:
        sys.modules[ALIAS + name[len(REAL) :]] = sys.modules[name]
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    own.__name__ = ALIAS  # what patches by dotted name, and finds modules by it, looks for
    labels.label_all()
    if STAND_IN not in sys.path:
        # Before site-packages, where a real torch may lie: a spawned process is handed this very list.
        sys.path.insert(min(1, len(sys.path)), STAND_IN)
    importlib.invalidate_caches()


def uninstall() -> None:
    """Undo ``install``: later imports of torch find whatever else is there."""
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    sys.modules[REAL].__name__ = REAL
    labels.restore()
    if STAND_IN in sys.path:
        sys.path.remove(STAND_IN)
    for name in [n for n in sys.modules if n == ALIAS or n.startswith(ALIAS + ".")]:
        if sys.modules[name] is sys.modules.get(REAL + name[len(ALIAS) :]):
            del sys.modules[name]


@contextlib.contextmanager
def as_torch() -> Iterator[ModuleType]:
    """Make ``import torch`` give flowtorch inside the block, unless it does so already."""
    fresh = _finder not in sys.meta_path
    install()
    try:
        yield sys.modules[REAL]
    finally:
        if fresh:
            uninstall()
