"""What ordinary calls launch, compiled for an H100: it compiles, spills nothing, and uses what the hardware has.

Run: python -m pytest tests/gpu_kernels/test_compile_calls.py (about a minute, seconds with a warm cache)
"""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton.language")

SPILLS = {
    "weight_gradient": 8, "bessel_j0": 32, "exp": 32, "polygamma": 48, "_gamma_grad": 48, "_dirichlet_gradient": 48,
    "airy_ai": 64, "key_gradient": 8,
}  # fmt: skip
"""Bytes that kernels are known to keep in local memory: most are for the reduction of large angles by CUDA; attention's
gradient in its keys keeps one offset there at 128 numbers a head."""
WIDE = (
    "attention", "matmul", "layer_norm", "cross", "softmax", "gelu", "sum", "cumsum", "optimizer", "foreach",
)  # fmt: skip
"""Calls that move 16 bytes per access."""
PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "aot.py"


@pytest.fixture(scope="module")
def aot():
    spec = importlib.util.spec_from_file_location("aot", PATH)
    module = sys.modules["aot"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.collector = module.install()
    return module


def names():
    text = PATH.read_text()
    return re.findall(r'^        "([A-Za-z_0-9 ]+)": (?:lambda|backward|stepped)', text, re.MULTILINE)


def rows(aot, name):
    before = set(aot.collector.kernels)
    aot.calls()[name]()
    kernels = [kernel for key, kernel in aot.collector.kernels.items() if key not in before]
    return [aot.measure(kernel, aot.target("sm_90")) for kernel in kernels]


def test_the_names_are_those_of_the_calls(aot):
    assert set(names()) == set(aot.calls())


@pytest.mark.parametrize("name", names())
def test_calls_compile_without_spilling(name, aot):
    for row in rows(aot, name):
        kernel = re.sub("_[0-9a-f]{12}$", "", row["kernel"])
        assert row["spilled"] <= SPILLS.get(kernel, 0), row
        assert row["shared"] <= 160 * 1024, row
        if row["kernel"].startswith(("forward", "query_gradient", "key_gradient", "matmul")) and "float32" not in name:
            if "fp16" in row["types"] or "bf16" in row["types"]:
                assert row["tensor_cores"], row
        if name.startswith(WIDE):
            # beside the call's own kernels there are those that add up a few partial results
            assert row["widest_access"] == 16 or kernel in ("sum", "formula", "fill", "norms"), row
