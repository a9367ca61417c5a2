"""``difftest.check`` and ``difftest.op``: snippets, strategies, shrinking, scripts, the database of failures."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import find, given, settings

import flowtorch
from flowtorch.testing import difftest, samples
from flowtorch.testing.difftest import encoding, reproducer, strategies
from flowtorch.testing.difftest.cli import main
from flowtorch.testing.difftest.failures import Database
from flowtorch.testing.difftest.implementations import Library
from flowtorch.testing.difftest.rows import Recorder
from flowtorch.testing.difftest.shrink import shrink
from flowtorch.testing.samples import Array, Named, Sample

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


def run_script(source, library):
    return subprocess.run([sys.executable, "-c", source, library], capture_output=True, text=True, check=True).stdout


@difftest.op(samples=[(X,)])
def test_snippet_in_every_mode(torch, x):
    return torch.exp(-x).sum(-1) * torch.tanh(x).mean()


def test_a_registered_name_needs_no_samples():
    report = difftest.check("nn.functional.softplus")
    assert report.ok and {"outs", "variants", "errors", "promotion", "specials"} & {r.variant for r in report.rows}


@pytest.mark.parametrize(
    ("snippet", "strategy"),
    [
        (lambda x, y: torch.softmax(x @ y, -1), strategies.matrices(low=-3, high=3)),
        (lambda x, y: torch.where(x > y, x, y).cumsum(0) if x.ndim and y.ndim else x + y, strategies.pointwise(2)),
        (lambda x, dim, **k: x.sum(dim, **k), strategies.reductions()),
    ],
)
def test_snippets_on_drawn_tensors(snippet, strategy):
    report = difftest.check(snippet, samples=strategy, ignore=["stride mismatch"], examples=40)
    assert {"values", "layouts", "dtypes", "double_gradients"} <= {r.variant for r in report.rows}


def test_a_function_of_numpy_arrays_can_be_the_reference():
    assert difftest.check(lambda x: torch.expm1(x), np.expm1, [(X,)], modes=["values", "layouts"]).ok
    with pytest.raises(difftest.DifferenceFound, match="wrong"):
        difftest.check(lambda x: torch.expm1(x), np.exp, [(X,)], modes=["values"])


class Faulty(Library):
    """flowtorch, whose relu lets numbers below -2 pass."""

    def run(self, what, sample, random=False):
        relu = flowtorch.relu
        flowtorch.relu = lambda x: flowtorch.where(x < -2, x, relu(x))
        try:
            return super().run(what, sample, random)
        finally:
            flowtorch.relu = relu


def test_hypothesis_makes_the_call_small_and_the_script_shows_it():
    with pytest.raises(difftest.DifferenceFound) as found:
        difftest.check(
            lambda x: torch.relu(x), None, strategies.pointwise(1), candidate=Faulty(flowtorch), modes=["values"]
        )
    (array,) = found.value.sample.arrays()
    assert array.values.size == 1 and array.layout == "contiguous" and array.values.item() < -2
    source = found.value.script
    assert len(source.strip().split("\n")) <= 10
    assert run_script(source, "torch") == run_script(source, "flowtorch") == "tensor(0.)\n".replace("0.", "0.")


def test_shrinking_keeps_what_fails():
    start = Sample((Array(np.arange(60.0).reshape(3, 4, 5), "float64", layout="strided"), 1), {"keepdim": True})
    small = shrink(start, lambda s: s.arrays()[0].values.size >= 1 and s.arrays()[0].values.max() >= 42)
    (array,) = small.arrays()
    assert array.values.size == 1 and array.layout == "contiguous" and small.kwargs == {} and array.dtype == "float32"


@settings(max_examples=30, deadline=None)
@given(strategies.pointwise(2, specials=True))
def test_samples_survive_json(sample):
    again = encoding.decode(json.loads(json.dumps(encoding.encode(sample))))
    assert repr(again) == repr(sample)
    for a, b in zip(sample.arrays(), again.arrays(), strict=True):
        assert a.values.tobytes() == b.values.tobytes() and a.layout == b.layout


def test_arguments_of_every_kind_survive_json():
    sample = Sample(
        (slice(1, None, 2), [1, (2.5, None)], 1j, float("nan"), ...), {"dtype": Named("int64"), "a": {"b": True}}
    )
    assert repr(encoding.decode(json.loads(json.dumps(encoding.encode(sample))))) == repr(sample)


@settings(max_examples=60, deadline=None)
@given(strategies.pointwise(1, dtype=("float32", "bfloat16", "float64"), specials=True))
def test_a_script_makes_the_same_tensor_in_both_libraries(sample):
    (array,) = sample.arrays()
    made = {}
    for library in (torch, flowtorch):
        made[library] = eval(reproducer.literal(array), {"torch": library, "np": np})
        direct = array.build(library)
        assert (not direct.numel() or made[library].stride() == direct.stride()) and made[library].dtype == direct.dtype
        assert np.array_equal(made[library].float().numpy(), direct.float().numpy(), equal_nan=True)


def test_overlapping_memory_overlaps():
    array = samples.laid_out(Array(np.arange(6.0).reshape(2, 3), "float32"), "overlapping")
    for library in (torch, flowtorch):
        t = array.build(library)
        assert t.stride() == (1, 1) and t.numpy().tolist() == array.values.tolist()
        assert t.untyped_storage().nbytes() == 4 * 4


def test_more_elements_than_32_bits_count():
    array = find(strategies.huge(), lambda a: True)
    snippet = lambda x: x.flatten()[-1] if False else (x.select(x.shape.index(max(x.shape)), -1) + 1)  # noqa: E731
    assert array.values.size > 2**31
    assert difftest.check(snippet, samples=[Sample((array,), {})], modes=["values"]).ok


def test_memory_that_runs_backwards():
    a = strategies.backwards(np.arange(4.0))
    assert a.strides[0] < 0 and a.tolist() == [0, 1, 2, 3]
    for library in (torch, flowtorch):
        with pytest.raises(ValueError, match="negative"):
            library.from_numpy(a)


def test_failures_are_kept_shrunk_and_replayed_first(tmp_path, capsys, monkeypatch):
    right = flowtorch.exp2
    monkeypatch.setattr(flowtorch, "exp2", lambda *args, **kwargs: right(*args, **kwargs) * 1.5)
    folder = tmp_path / "failures"
    argv = ["ops", "exp2", "-j1", "--variants", "layouts", "--database", str(folder)]
    assert main(argv) == 1
    scripts = sorted(folder.glob("*.py"))
    assert scripts and all(len(s.read_text().strip().split("\n")) <= 10 for s in scripts)
    assert "replayed" not in capsys.readouterr().out
    assert main(argv) == 1
    assert f"replayed {len(scripts)} failures of before: {len(scripts)} fail still" in capsys.readouterr().out


def test_what_is_mended_leaves_the_database(tmp_path):
    database, specs = Database(tmp_path), samples.load()
    path = database.add("exp", "values", "exp", Sample((Array(np.ones(2), "float32"),), {}), "wrong", "it was")
    count, lines = database.replay(Recorder("flowtorch", "torch"), specs)
    assert (count, lines) == (1, []) and not path.exists()


def softened(x, *, out=None):
    return torch.mul(torch.sigmoid(x), 2, out=out)


def test_one_line_gives_every_mode():
    report = difftest.check(softened, samples=[(X,)], ignore=["stride mismatch"])  # of overlapping memory
    assert report.ok
    ran = {r.variant for r in report.rows}
    assert {
        "values",
        "layouts",
        "views",
        "dtypes",
        "double_gradients",
        "outs",
        "compiled",
        "traced",
        "interpret",
    } <= ran
    assert {r.variant for r in difftest.check(softened, samples=[(X,)], modes=["inplace"]).rows} == {"inplace"}


class BadOut(Library):
    """flowtorch, whose mul forgets out=."""

    def run(self, what, sample, random=False):
        mul = flowtorch.mul
        flowtorch.mul = lambda *args, out=None: mul(*args)
        try:
            return super().run(what, sample, random)
        finally:
            flowtorch.mul = mul


def test_a_fault_of_one_mode_is_found_in_that_mode():
    bad = BadOut(flowtorch)
    assert difftest.check(softened, samples=[(X,)], candidate=bad, modes=["values", "compiled"]).ok
    with pytest.raises(difftest.DifferenceFound, match="in mode outs: alias mismatch"):
        difftest.check(softened, samples=[(X,)], candidate=bad, modes=["values", "outs"])


def test_the_script_of_a_layout_makes_that_layout():
    class Straight(Library):
        def run(self, what, sample, random=False):
            scattered = any(a.layout == "strided" for a in sample.arrays())
            return super().run((lambda x: what(x) * 1.01) if scattered else what, sample, random)

    with pytest.raises(difftest.DifferenceFound, match="in mode layouts: wrong") as found:
        difftest.check(lambda x: torch.exp(x), samples=[(X,)], candidate=Straight(flowtorch), modes=["layouts"])
    assert "[..., ::2]" in found.value.script


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: difftest.check("no_such_function"), ValueError, "no function 'no_such_function'"),
        (lambda: difftest.check(3, samples=[(np.ones(2),)]), TypeError, "a public name or a function, not int"),
        (lambda: difftest.check(abs, samples=[]), ValueError, "samples is empty"),
        (lambda: difftest.check(abs), ValueError, "a snippet needs samples"),
        (lambda: difftest.check(abs, samples=[(np.ones(2),)], modes=("value",)), ValueError, "no mode 'value'"),
        (lambda: difftest.check(abs, "nobody", [(np.ones(2),)]), ValueError, "nobody"),
    ],
)
def test_misuse_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
