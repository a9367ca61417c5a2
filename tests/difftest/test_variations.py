"""Calls made out of the registry's samples find what the samples themselves do not reach."""

import sys
from pathlib import Path

import pytest

import flowtorch

sys.path.insert(0, str(Path(__file__).parent))
import held_out_faults
import mutation

from flowtorch.testing.difftest import circumstances, objects
from flowtorch.testing.difftest.rows import Recorder, run_ops
from flowtorch.testing.difftest.verdict import GOOD
from flowtorch.testing.samples import load

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
    monkeypatch.setattr(mutation, "classes", dict)
    assert mutation.functions_that_run()["_sigmoid_backward"] == ["sigmoid"]


@pytest.mark.parametrize("name", ["addcmul", "addcdiv", "lerp"])
def test_operands_that_are_none_are_refused(name):
    x = flowtorch.ones(3)
    for operands in ((x, None, x), (x, x, None)):
        with pytest.raises(TypeError):
            getattr(flowtorch, name)(*operands)


# Containers and bases hold nothing of their own; lazy ones are the others after their first call; the rest need more
# than tensors (indices of another call, targets of a shape of their own, another process) and have tests by themselves.
NO_SAMPLES = """
    Module Container Sequential ModuleList ModuleDict ParameterList ParameterDict DataParallel SyncBatchNorm RNNBase
    RNNCellBase NonDynamicallyQuantizableLinear NLLLoss2d AdaptiveLogSoftmaxWithLoss CTCLoss CosineEmbeddingLoss
    FractionalMaxPool2d FractionalMaxPool3d HingeEmbeddingLoss LinearCrossEntropyLoss MarginRankingLoss MaxUnpool1d
    MaxUnpool2d MaxUnpool3d MultiLabelMarginLoss TransformerDecoder TransformerEncoder TripletMarginWithDistanceLoss
"""


def test_every_optimiser_schedule_and_module_is_tried():
    """A new class needs samples, or a place in the list."""
    nn, optim = flowtorch.nn, flowtorch.optim
    modules = {n for n, c in vars(nn).items() if isinstance(c, type) and issubclass(c, nn.Module)}
    modules = {n for n in modules if not n.startswith("Lazy")} - set(NO_SAMPLES.split())
    optimisers = {n for n, c in vars(optim).items() if isinstance(c, type) and issubclass(c, optim.Optimizer)}
    tried = set(objects.load())
    assert {f"nn.{n}" for n in modules} <= tried
    assert {f"optim.{n}" for n in optimisers - {"Optimizer"}} <= tried


def test_numbers_with_all_bits_show_what_passes_through_single_precision():
    """A move through float32 changes none of the samples' own numbers."""
    recorder = Recorder("flowtorch", "torch")

    class Rounded(type(recorder.candidate)):
        def find(self, name):
            return lambda x, *rest: super(Rounded, self).find(name)(x.float(), *rest).to(x.dtype)

    recorder.candidate = Rounded(flowtorch, "rounded")
    spec = load()["flip"]
    assert not list(recorder.compare("flip", spec, next(iter(spec.samples("float64"))), ""))
    recorder.variant = "precise"
    list(circumstances.precise(recorder, spec))
    row = recorder.rows["flip", "precise", "float64", "contiguous"]
    assert row.verdicts["wrong"]
