"""The names of torch.package exist; what it cannot do is said."""

import math

import pytest

import flowtorch


def test_archives_are_refused_with_advice():
    for name in ("PackageExporter", "PackageImporter"):
        with pytest.raises(NotImplementedError, match=r"torch\.save"):
            getattr(flowtorch.package, name)("file.pt")


def test_importers_find_modules():
    ordered = flowtorch.package.OrderedImporter(flowtorch.package.sys_importer)
    assert ordered.import_module("math") is math
    with pytest.raises(ModuleNotFoundError):
        ordered.import_module("no_such_module_here")
    assert not flowtorch.package.is_from_package(math)
