"""The names of ``torch.package``. Archives that carry code are not written or read here; ``save`` and ``load`` are."""
from __future__ import annotations

from typing import Any

__all__ = [
    "EmptyMatchError", "Importer", "ObjMismatchError", "ObjNotFoundError", "OrderedImporter", "PackageExporter",
    "PackageImporter", "PackagingError", "is_from_package", "sys_importer",
]


class PackagingError(Exception):
    """Raised for an archive that cannot be written."""


class EmptyMatchError(Exception):
    """Raised for a pattern that matches no module."""


class ObjNotFoundError(Exception):
    """Raised for an object that its module does not have."""


class ObjMismatchError(Exception):
    """Raised for an object that is not the one of its name."""


class _Unsupported:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(f"torch.package.{type(self).__name__} packs code beside tensors, which flowtorch "
                                  "does not do; save the state_dict with torch.save and ship the code as a module")


class PackageExporter(_Unsupported):
    """Writes archives of code and tensors: not supported."""


class PackageImporter(_Unsupported):
    """Reads archives of code and tensors: not supported."""


class Importer:
    """Finds modules by their names."""

    def import_module(self, module_name: str) -> Any:
        """The module of this name."""
        import importlib

        return importlib.import_module(module_name)


class OrderedImporter(Importer):
    """Asks one importer after the other."""

    def __init__(self, *importers: Importer) -> None:
        self._importers = list(importers)

    def import_module(self, module_name: str) -> Any:
        """The module of this name, from the first importer that has it."""
        last: ModuleNotFoundError | None = None
        for importer in self._importers:
            try:
                return importer.import_module(module_name)
            except ModuleNotFoundError as error:
                last = error
        raise last or ModuleNotFoundError(module_name)


sys_importer = Importer()


def is_from_package(obj: Any) -> bool:
    """Whether an object's code came from an archive: never, here."""
    return False
