"""The differential tester over the registry: verdicts, the error model, the ledger and its gate, JUnit, exit status."""

import json
import xml.etree.ElementTree

import numpy as np
import pytest
import torch

import flowtorch
from flowtorch.testing import errormodel
from flowtorch.testing.difftest import implementations, verdict
from flowtorch.testing.difftest.cli import main
from flowtorch.testing.difftest.implementations import Library, make
from flowtorch.testing.difftest.oracle import Numbers, Oracle
from flowtorch.testing.difftest.rows import Recorder, run_ops, sweep
from flowtorch.testing.outcome import Outcome
from flowtorch.testing.samples import Array, Sample, load


class Altered(Library):
    """flowtorch, with what one function gives passed through another."""

    def __init__(self, name, change):
        super().__init__(flowtorch)
        self.altered, self.change = name, change

    def find(self, name):
        found = super().find(name)
        if name != self.altered:
            return found
        return lambda *args, **kwargs: self.change(found(*args, **kwargs))


def verdicts(name, change, variants=("values",)):
    recorder = run_ops([name], Altered(name, change), "torch", variants)
    return {v for row in recorder.rows.values() for v in row.verdicts}


def test_units_are_those_of_the_dtype():
    x = np.array([1.0, 1.5, 2.0, 1e-40, 3e38, 0.0])
    assert errormodel.unit(x, "float32").tolist() == np.spacing(x.astype(np.float32)).tolist()
    below = np.nextafter(np.float32(1), np.float32(0))
    assert errormodel.signed_units(below, np.float32(1), "float32") == -0.5
    assert errormodel.signed_units(np.array([np.nan]), np.array([1.0]), "float32").tolist() != [0.0]


@pytest.mark.parametrize(
    ("inputs", "outputs", "length"),
    [
        ([(3, 4)], [(3,)], 4),
        ([(2, 8), (8, 5)], [(2, 5)], 8),
        ([(3, 4)], [(3, 4)], 1),
        ([()], [()], 1),
        ([(0, 3)], [(3,)], 1),
    ],
)
def test_the_length_of_a_reduction_follows_from_the_shapes(inputs, outputs, length):
    assert errormodel.reduction_length(inputs, outputs) == pytest.approx(length)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda r: r, set()),
        (lambda r: r * 1.001, {"wrong"}),
        (lambda r: r.double() if r.dtype is flowtorch.float32 else r, {"dtype mismatch"}),
        (lambda r: r[None], {"shape mismatch"}),
        (lambda r: r.new_empty((0,)) if r.numel() else r.item(), {"shape mismatch", "error mismatch"}),
    ],
)
def test_a_verdict_names_what_is_wrong(change, expected):
    assert expected <= verdicts("sigmoid", change)
    assert not expected or verdicts("sigmoid", lambda r: r) <= verdict.GOOD


def test_strides_aliases_and_missing_functions_are_told_apart():
    assert "stride mismatch" in verdicts("exp", lambda r: r.t().contiguous().t() if r.ndim == 2 else r)
    assert "alias mismatch" in verdicts("transpose", lambda r: r.clone(memory_format=flowtorch.preserve_format))

    def refuse(r):
        raise NotImplementedError("not yet")

    assert "unsupported" in verdicts("exp", refuse)


def test_a_result_that_changes_from_call_to_call_is_seen():
    rng = np.random.default_rng(0)
    noisy = Altered("exp", lambda r: r * (1 + 2.0**-23 * int(rng.integers(2))) if r.is_floating_point() else r)
    recorder = run_ops(["exp"], noisy, "torch", ("values",), reruns=3)
    assert any("nondeterministic" in row.verdicts for row in recorder.rows.values())


def test_the_reference_can_be_the_one_that_is_wrong():
    off = Altered("exp", lambda r: r * 1.001 if r.is_floating_point() or r.is_complex() else r)
    recorder = run_ops(["exp"], "flowtorch", off, ("sweep",))
    assert recorder.rows["exp", "sweep", "float32", "contiguous"].worst == "reference worse"


def test_the_sweep_finds_that_torch_loses_gelu_below_minus_five_and_a_half():
    recorder = Recorder("flowtorch", "torch")
    lines = list(sweep(recorder, load()["nn.functional.gelu"], Numbers()))
    row = recorder.rows["nn.functional.gelu", "sweep", "float32", "contiguous"]
    text = " ".join([*lines, *row.examples.values()])
    assert "reference is wrong" in text or "reference worse" in row.verdicts
    assert row.measure.reference_units > 1e6


def test_mpmath_agrees_with_torch_in_double():
    numbers, specs = Numbers(), load()
    for name in numbers.table:
        if name in ("polygamma", "special.airy_ai") or name not in specs:  # torch's airy_ai: see below
            continue
        sample = next(iter(specs[name].samples("float64")))
        exact, _ = numbers.exact(name, sample.args[0].values)
        theirs = make("torch").run(implementations.find_name(torch, name), sample).results[0].values
        known = np.isfinite(exact)
        np.testing.assert_allclose(theirs[known], exact[known], rtol=1e-6, atol=1e-12, err_msg=name)


def test_the_oracle_sees_the_inputs_that_the_candidate_sees():
    sample = Sample((Array(np.array([0.1, 1 / 3]), "float32"),), {})
    (values,), (spread,) = Oracle().exact(torch.exp, sample)
    assert values.tolist() == np.exp(np.float32([0.1, 1 / 3]).astype(np.float64)).tolist()
    np.testing.assert_allclose(spread, values * [0.1, 1 / 3], rtol=1e-3)


def test_another_process_gives_what_this_one_gives():
    other = make("flowtorch-plain")
    sample = Sample((Array(np.ones((2, 3)), "bfloat16"), 1), {})
    here, there = make("flowtorch").run(flowtorch.sum, sample), other.run(other.find("sum"), sample)
    assert there.results[0].values.tolist() == here.results[0].values.tolist() == [3, 3]
    assert other.find("no_such_function") is None
    refused = other.run("sum", Sample((Array(np.ones(3), "float32"), 7), {}))
    assert isinstance(refused.error, IndexError)
    other.close()


def test_an_error_of_another_library_keeps_its_name():
    from flowtorch.testing.difftest.process import portable, revived

    class OddError(Exception):
        pass

    assert type(revived(portable(Outcome(OddError("x")))).error).__name__ == "OddError"


def test_the_command_gates_on_its_ledger(tmp_path, capsys):
    book, report = tmp_path / "ledger.json", tmp_path / "junit.xml"
    names = ["exp", "median", "-j1"]
    assert main(["ops", *names, "--ledger", str(book)]) == 1  # torch reads past an expanded median's memory
    assert main(["ops", *names, "--gate", str(book), "--junit", str(report)]) == 0
    known = json.loads(book.read_text())
    assert known["ops"]["median"]["bad"]
    del known["ops"]["median"]["bad"]
    book.write_text(json.dumps(known))
    assert main(["ops", *names, "--gate", str(book), "--junit", str(report)]) == 1
    assert "worse: median" in capsys.readouterr().out
    suite = xml.etree.ElementTree.parse(report).getroot()
    assert {c.get("name") for c in suite if c.find("failure") is not None} == {"median"}


def test_misuse_has_its_own_status(capsys):
    assert main(["ops", "exp", "--reference", "nobody"]) == 2
    assert main(["ops", "exp", "--reference", "onnxruntime"]) == 3
    capsys.readouterr()


def test_what_only_other_values_bring_out_is_counted(capsys):
    def wrong_elsewhere(r):
        usual = {tuple(s.arrays()[0].values.shape): s.arrays()[0].values for s in load()["exp"].samples("float32")}
        values = usual.get(tuple(r.shape))
        same = values is None or np.allclose(np.exp(values), r.detach().numpy(), rtol=1e-3)
        return r if same else r * 1.001

    implementations.register("flowtorch-elsewhere")(lambda: Altered("exp", wrong_elsewhere))
    try:
        assert main(["seeds", "exp", "tanh", "-n", "2", "-j1"]) == 0
        assert "0 alarms over 2 seeds of 2 functions" in capsys.readouterr().out
        assert main(["seeds", "exp", "tanh", "-n", "2", "-j1", "--candidate", "flowtorch-elsewhere"]) == 1
        assert "exp values float32 contiguous seed 1: wrong" in capsys.readouterr().out
    finally:
        del implementations.KNOWN["flowtorch-elsewhere"]


def test_functions_of_numbers_have_exact_values_where_torch_is_off():
    exact, _ = Numbers().exact("special.airy_ai", np.array([-2.336]))
    ours = flowtorch.special.airy_ai(flowtorch.tensor([-2.336], dtype=flowtorch.float64)).numpy()
    theirs = torch.special.airy_ai(torch.tensor([-2.336], dtype=torch.float64)).numpy()
    assert abs(ours - exact) < 1e-12 < abs(theirs - exact)
