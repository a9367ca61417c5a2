"""A sample of all functions compiled for three architectures; the whole table is made by benchmarks/aot.py --registry.

Run: python -m pytest tests/gpu_kernels/test_compile_registry.py
"""

import importlib.util
import json
import re
import sys
import zlib
from pathlib import Path

import pytest

pytest.importorskip("triton.language")

from flowtorch.testing import samples

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
PART = 40
"""One function in so many is compiled here; which ones, their names decide."""
SAMPLED = sorted(name for name in samples.load() if zlib.crc32(name.encode()) % PART == 0)
TARGETS = ("sm_90", "gfx942", "sm_80")
SPILLING = re.compile(
    r"(sin|cos|tan|sinc|exp|digamma|polygamma|bessel_[jy][01]|spherical_bessel_j0|airy_ai|_gamma_grad|"
    r"_dirichlet_gradient)_\w+|input_gradient|weight_gradient|key_gradient|forward"
)
"""Kernels that may keep a few bytes in local memory: CUDA's reduction of large angles, and convolutions of volumes."""


@pytest.fixture(scope="module")
def aot():
    spec = importlib.util.spec_from_file_location("aot", FOLDER / "aot.py")
    module = sys.modules["aot"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", SAMPLED)
def test_a_function_compiles_for_one_architecture(name, aot):
    target = TARGETS[zlib.crc32(name.encode()) // PART % len(TARGETS)]
    said = []
    rows, failed = aot.compiled({name: aot.registry()[name]}, [target], said.append)
    assert not failed, said
    for row in rows[target]:
        assert not row["spilled"] or (SPILLING.fullmatch(row["kernel"]) and row["spilled"] <= 64), row


@pytest.mark.parametrize("target", TARGETS)
def test_the_committed_tables_say_what_kernels_use(target):
    rows = json.loads((FOLDER / "results" / f"aot-{target}.json").read_text())
    assert len(rows) > 150
    assert {"matmul bfloat16", "attention", "optimizer AdamW", "conv2d"} <= {row["call"] for row in rows}
    for row in rows:
        assert not row["spilled"] or SPILLING.fullmatch(row["kernel"]), row
        assert row["registers"] <= (512 if target == "gfx942" else 255) and row["shared"] <= 160 * 1024
