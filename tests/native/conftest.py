"""The extension under test, built before the first test that asks for it."""

import sysconfig
from pathlib import Path

import pytest

from flowtorch import native
from flowtorch.codegen import folders
from flowtorch.native import build, cache

NEEDED = folders.compiler() is not None and Path(sysconfig.get_path("include"), "Python.h").exists()


@pytest.fixture(scope="session")
def kernels():
    """The extension's module; what stands in the place of numpy kernels is left as it is."""
    if not NEEDED:
        pytest.skip("no C compiler or no Python.h")
    return native.module or cache.load(build.build())
