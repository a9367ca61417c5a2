"""benchmarks/dataloader.py reads the same epochs from both libraries."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import dataloader


@pytest.mark.parametrize("case", ["tensors, workers", "images, no workers"])
def test_both_sides_are_measured_on_equal_epochs(case):
    row = dataloader.measure(case, epochs=1, workers=1, batch=500)
    assert row["ours"] > 100
    assert row["theirs"] > 100
