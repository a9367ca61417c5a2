"""The investigations of the documentation run, and find what it says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("gelu_tail", "-6.0   -5.91953e-09             -0   1.33e+07"),
        ("smallest_call", ".expand((2, 1))"),
        ("ported_model", "first divergence: forward flip at port.py:11"),
    ],
)
def test_the_investigation_finds_it(name, found):
    path = ROOT / "examples" / "investigations" / f"{name}.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, env=environment)
    assert found in done.stdout, done.stdout + done.stderr
