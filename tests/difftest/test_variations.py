"""Calls made out of the registry's samples find what the samples themselves do not reach."""

import sys
from pathlib import Path

import pytest

import flowtorch

sys.path.insert(0, str(Path(__file__).parent))
import held_out_faults
import mutation

from flowtorch.testing.difftest.rows import run_ops
from flowtorch.testing.difftest.verdict import GOOD

FOUND_BY = {
    "tanh: sign of zero lost": ("tanh", "specials"),
    "_var: of one element is zero": ("var", "sizes"),
    "abs gradient: one at zero": ("abs", "ties"),
    "baddbmm: alpha squared": ("baddbmm", "parameters"),
    "argmin: skips nan": ("argmin", "nans"),
    "exp_: overwrites leaves that require a gradient": ("exp", "autograd"),
    "_cross_entropy: float16 loses three bits": ("nn.functional.cross_entropy", "half"),
    "exp: always one unit too large": ("exp", "sweep"),
}


@pytest.mark.parametrize("fault", FOUND_BY)
def test_each_variation_finds_its_kind_of_fault(fault):
    function, variant = FOUND_BY[fault]

    def bad():
        rows = run_ops([function], "flowtorch", "torch", (variant,)).rows.values()
        return sum(n for row in rows for v, n in row.verdicts.items() if v not in GOOD)

    clean = bad()
    with held_out_faults.FAULTS[fault][2]():
        assert bad() > clean


def test_functions_are_known_by_what_their_derivatives_run(monkeypatch):
    monkeypatch.setattr("flowtorch.testing.samples.SAMPLES", {})
    from flowtorch.testing import samples

    spec = samples.Spec("sigmoid", lambda make: iter([make.call(make(2, 3))]), dtypes=("float64",))
    monkeypatch.setattr(samples, "load", lambda: {"sigmoid": spec})
    assert mutation.functions_that_run()["_sigmoid_backward"] == ["sigmoid"]


@pytest.mark.parametrize("name", ["addcmul", "addcdiv", "lerp"])
def test_operands_that_are_none_are_refused(name):
    x = flowtorch.ones(3)
    for operands in ((x, None, x), (x, x, None)):
        with pytest.raises(TypeError):
            getattr(flowtorch, name)(*operands)
