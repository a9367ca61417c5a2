"""The tester is tested: planted faults are found, and their removal leaves the clean tree."""

import sys
from collections import Counter
from pathlib import Path

import pytest

import flowtorch
from flowtorch import overrides

sys.path.insert(0, str(Path(__file__).parent))
import faults
import fourth_faults
import held_out_faults
import mutation
import third_faults

# One of each kind; `python tests/difftest/mutation.py` plants all of them.
SAMPLE = {
    "exp: wrong constant": "exp",
    "maximum: nan swallowed": "maximum",
    "true_divide: wrong promotion": "true_divide",
    "mul gradient: a factor too much": "mul",
    "exp gradient: not differentiable again": "exp",
    "sum: low-precision accumulation": "sum",
    "expand: aliasing lost": "Tensor.expand",
    "unfold: off-by-one stride": "Tensor.unfold",
    "uniform_: stale random state": "Tensor.uniform_",
    "missing broadcast reduction in gradients": "add",
    "SGD: one group's rate for all": "optim.SGD",
    "OneCycleLR: momentum not cycled": "optim.lr_scheduler.OneCycleLR",
    "Softmax: along the last dimension": "nn.Softmax",
    "mse_loss in low precision": "nn.functional.mse_loss",
    "exponential_: a generator of the caller's is ignored": "Tensor.exponential_",
}
ALL = faults.FAULTS | fourth_faults.FAULTS


@pytest.mark.parametrize("book", [faults.FAULTS, held_out_faults.FAULTS, third_faults.FAULTS, fourth_faults.FAULTS])
def test_there_are_faults_of_all_families(book):
    assert len(book) >= 50
    assert len(Counter(family for family, _, _ in book.values())) >= 9


@pytest.mark.parametrize("name", SAMPLE)
def test_a_planted_fault_is_found(name):
    fault = ALL[name]
    found, _ = mutation.hunt(fault, {op: [SAMPLE[name]] for op in fault[1]}, {})
    assert found, name
    assert not [a for a in overrides.active if a == "fault"]


def test_a_fault_goes_when_it_is_taken_out():
    x = flowtorch.linspace(-1, 1, 7)
    before = x.exp()
    with faults.FAULTS["exp: wrong constant"][2]():
        assert not flowtorch.equal(x.exp(), before)
    assert flowtorch.equal(x.exp(), before)
