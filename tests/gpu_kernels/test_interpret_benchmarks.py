"""The benchmarks for a GPU run once with tiny sizes, so that they still run when there is one.

Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_benchmarks.py
"""

import importlib.util
import json
import sys
from pathlib import Path

import flowtorch as ft

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_everything_that_is_measured_runs(tmp_path):
    path = tmp_path / "results.json"
    loaded("gpu").main(["--dry-run", "--json", str(path)])
    found = json.loads(path.read_text())["cases"]
    assert len(found) > 25 and not any("error" in key for row in found.values() for key in row)
    assert {"copy", "matmul float32", "overhead of add (host)", "GPT-2 small bfloat16, eager"} <= set(found)


def test_models_learn():
    models = loaded("gpu_models")
    for name, make in models.steps(ft, models.TINY).items():
        ft.manual_seed(0)
        step = make("float32")
        losses = [step().item() for _ in range(4)]
        assert losses[-1] < losses[0], name
