"""Programs of all kinds agree with torch in lockstep, and a fault planted in any of them is named at its line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What every program shows without faults, and with each."""
    result = tmp_path_factory.mktemp("programs") / "found.json"
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    argv = [sys.executable, "-W", "ignore", str(HERE / "program_faults.py"), "--json", str(result)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True)
    assert result.exists(), done.stderr
    return json.loads(result.read_text())


def test_programs_without_faults_agree(found):
    assert len(found["clean"]) >= 8
    assert not {k: v for k, v in found["clean"].items() if v is not None}


def test_every_fault_is_named_at_its_call_and_line(found):
    assert len(found["faults"]) >= 20
    assert not {name: first for name, (right, first) in found["faults"].items() if not right}
