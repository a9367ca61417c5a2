"""Triton's interpreter replaces its compiler for the whole process, so each side of these tests has its own.

Interpreted:  FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_*.py
Compiled:     python -m pytest tests/gpu_kernels/test_compile.py tests/gpu_kernels/test_launch.py
"""

import importlib.util
import os

import pytest


def installed():
    try:  # "triton" alone would find this folder
        return importlib.util.find_spec("triton.language") is not None
    except ModuleNotFoundError:
        return False


def pytest_collection_modifyitems(items):
    missing = not installed()
    interpreting = os.environ.get("TRITON_INTERPRET") == "1" and os.environ.get("FLOWTORCH_CUDA") == "interpret"
    for item in items:
        if "tests/gpu_kernels" not in item.path.as_posix():
            continue
        wants_interpreter = "interpret" in item.path.name
        if missing:
            item.add_marker(pytest.mark.skip(reason="triton is not installed"))
        elif wants_interpreter != interpreting:
            reason = "needs TRITON_INTERPRET=1 FLOWTORCH_CUDA=interpret" if wants_interpreter else "needs a compiler"
            item.add_marker(pytest.mark.skip(reason=f"{reason}: run in its own process, see conftest.py"))
