"""The table of configurations: what is looked up, what is measured, and what is written.

Run: python -m pytest tests/gpu_kernels/test_compile_tuning.py
"""

import importlib
import importlib.util

import pytest

pytest.importorskip("triton.language")

from flowtorch.array.cuda import _package
from flowtorch.ops.cuda import tune


def module(name):
    return importlib.import_module(f"{_package().__name__}.{name}")


@pytest.fixture
def tuning(monkeypatch):
    found = module("tuning")
    monkeypatch.setattr(found, "MEASURED", {})
    monkeypatch.setattr(found, "architecture", "sm_test")
    return found


def test_classes_are_coarse(tuning):
    assert tuning.matmul_class("bfloat16", 64, 65, 4096) == "bfloat16 sml"
    assert tuning.find("matmul", "bfloat16 lll") == {"library": True} and tuning.find("matmul", "bfloat16 ssl") == {}
    tuning.MEASURED["sm_test"] = {"matmul": {"bfloat16 lll": {"tile": (64, 64, 32), "warps": 4, "stages": 2}}}
    assert tuning.find("matmul", "bfloat16 lll")["warps"] == 4


def test_a_kernel_takes_its_configuration_and_no_larger_tile_than_the_matrix(tuning):
    tuning.MEASURED["sm_test"] = {"matmul": {"float16 mml": {"tile": (128, 256, 64), "warps": 8, "stages": 4}}}
    prepare = module("matmul").prepare
    kernel = prepare(("float16",) * 3, (100, 1024, 4096), ((4096, 1), (1024, 1), (1024, 1))).kernel
    assert kernel.constants == {"ROWS": 128, "COLS": 256, "INNER": 64} and (kernel.warps, kernel.stages) == (8, 4)
    kernel = prepare(("float16",) * 3, (100, 70, 4096), ((4096, 1), (70, 1), (70, 1))).kernel
    assert kernel.constants["COLS"] == 128
    other = prepare(("float16",) * 3, (4096, 4096, 4096), ((4096, 1),) * 3).kernel
    assert other.stages == 3


def test_the_fastest_that_runs_is_taken(tuning):
    def measure(dtype, sizes, candidate):
        assert (dtype, sizes) == ("float32", (64, 512, 4096))
        if candidate.get("stages") == 4:
            raise RuntimeError("too many resources requested for launch")
        return 5.0 if "library" in candidate else 4.0 + candidate["warps"] / 100 - candidate["tile"][0] / 64

    candidates = list(tuning.matmul_candidates("float32"))
    best, times = tune.fastest("float32", (64, 512, 4096), iter(candidates), measure)
    assert best["tile"][0] == 64 and best["warps"] == 4 and len(times) < len(candidates)


def test_what_is_written_can_be_read(tuning, tmp_path):
    path = tmp_path / "tuned.py"
    tune.write("sm_test", {"float32 lll": {"tile": (64, 64, 32), "warps": 4, "stages": 3}}, path)
    spec = importlib.util.spec_from_file_location("written", path)
    written = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(written)
    assert written.MEASURED["sm_test"]["matmul"]["float32 lll"]["tile"] == (64, 64, 32)
    assert written.__doc__ == module("tuned").__doc__


def test_without_a_gpu_the_command_says_so(monkeypatch, capsys):
    monkeypatch.delenv("FLOWTORCH_CUDA", raising=False)
    assert tune.main([]) == 1 and "no GPU" in capsys.readouterr().err
