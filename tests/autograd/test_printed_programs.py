"""Programs that print the same lines here and with torch, one to a file of ``programs/``."""

import contextlib
import io
import re
import warnings
from pathlib import Path

import pytest
import torch

import flowtorch

PROGRAMS = sorted(Path(__file__).with_name("programs").glob("*.py"))


def told(label, f):
    """Print what ``f`` returns, or the type and the beginning of the error that it raises."""
    try:
        print(label, f())
    except Exception as error:
        print(label, type(error).__name__, str(error).split("\n")[0][:54])  # flowtorch says more after that


def printed(source, library):
    """Return the lines that a program prints."""
    out = io.StringIO()
    library.manual_seed(0)
    source = source if library is torch else re.sub(r"\btorch\b", "flowtorch", source)
    scope = {"told": told, "__name__": "program"}
    with contextlib.redirect_stdout(out), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(source, "program", "exec"), scope)
    return re.sub("0x[0-9a-f]+", "0x", out.getvalue().replace("flowtorch", "torch")).splitlines()


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_prints_the_same_as_with_torch(path):
    source = path.read_text()
    if "flow" in source:
        pytest.fail("a program names no library but torch")
    assert printed(source, flowtorch) == printed(source, torch)
