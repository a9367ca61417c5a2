"""The differential tester over the registry: verdicts, the error model, the ledger and its gate, JUnit, exit status."""

import json
import xml.etree.ElementTree

import numpy as np
import pytest
import torch

import flowtorch
from flowtorch.testing import errormodel
from flowtorch.testing.difftest import explained, implementations, verdict
from flowtorch.testing.difftest.cli import main
from flowtorch.testing.difftest.implementations import Library, make
from flowtorch.testing.difftest.oracle import Numbers, Oracle
from flowtorch.testing.difftest.rows import Recorder, names, run_ops, sweep
from flowtorch.testing.outcome import Outcome, cotangent_values
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


def test_a_reference_with_other_rules_has_no_say_on_errors_and_dtypes():
    """numpy multiplies matrices of two dtypes, and computes exp of bools in half precision."""
    recorder = run_ops(["matmul", "exp"], "flowtorch", "numpy", ("values",))
    assert {row.worst for row in recorder.rows.values()} <= verdict.GOOD | {"unsupported"}


def test_truths_written_over_numbers_are_compared_as_numbers():
    """ge with out= of floats gives 0.0 and 1.0, and the oracle True and False."""
    zeros, ones = np.zeros(3, np.float32), np.ones(3, np.float32)
    for correct in (False, True):
        found = verdict.values(zeros, ones, "float32", lambda: (zeros != 0, np.zeros(3)), correct=correct)
        assert found.verdict == "wrong"


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


@pytest.fixture
def rough_tanh():
    """A candidate whose tanh is off by a thousandth."""
    rough = Altered("tanh", lambda r: r * 1.001 if r.is_floating_point() or r.is_complex() else r)
    implementations.register("flowtorch-rough")(lambda: rough)
    yield "flowtorch-rough"
    del implementations.KNOWN["flowtorch-rough"]


def test_the_command_gates_on_its_ledger(tmp_path, capsys, rough_tanh):
    book, report = tmp_path / "ledger.json", tmp_path / "junit.xml"
    names = ["exp", "tanh", "-j1", "--variants", "values,errors", "--candidate", rough_tanh]
    assert main(["ops", *names, "--ledger", str(book)]) == 1
    assert main(["ops", *names, "--gate", str(book), "--junit", str(report)]) == 0
    known = json.loads(book.read_text())
    assert known["ops"]["tanh"]["bad"]
    del known["ops"]["tanh"]["bad"]
    book.write_text(json.dumps(known))
    assert main(["ops", *names, "--gate", str(book), "--junit", str(report)]) == 1
    assert "worse: tanh" in capsys.readouterr().out
    suite = xml.etree.ElementTree.parse(report).getroot()
    assert {c.get("name") for c in suite if c.find("failure") is not None} == {"tanh"}


def test_what_a_table_explains_is_no_failure_and_may_not_grow(tmp_path, capsys, rough_tanh):
    table, book = tmp_path / "explained.toml", tmp_path / "ledger.json"
    entry = '[[difference]]\nfunctions = "tanh"\nchecks = "values"\ntext = "differ"\n'
    table.write_text(entry + 'whose = "candidate"\nreason = "it is rough on purpose"\n')
    command = ["ops", "tanh", "-j1", "--variants", "values", "--candidate", rough_tanh, "--explained", str(table)]
    assert main([*command, "--ledger", str(book)]) == 0
    assert "explained" in capsys.readouterr().out
    known = json.loads(book.read_text())
    assert known["explained"]["it is rough on purpose"] > 3 and "bad" not in known["ops"]["tanh"]
    assert main([*command, "--gate", str(book)]) == 0
    known["ops"]["tanh"]["explained"]["values"] = 1
    book.write_text(json.dumps(known))
    assert main([*command, "--gate", str(book)]) == 1
    assert main([*command[:-1], "none"]) == 1
    table.write_text(entry + 'whose = "somebody"\nreason = "?"\n')
    assert main(command) == 2
    assert "whose must be one of" in capsys.readouterr().err


def test_reasons_that_explain_nothing_are_named():
    table = explained.read()
    assert len({e.reason for e in table.entries}) > 20
    counts = {e.reason: 1 for e in table.entries}
    assert explained.stale(table, counts) == []
    lost = counts.popitem()[0]
    assert [line for line in explained.stale(table, counts) if line.endswith(lost)]


@pytest.mark.parametrize(
    ("candidate", "found"),
    [([2, 0], "exact"), ([0, 2], "exact"), ([1, 0], "wrong"), ([2, 3], "wrong")],
)
def test_an_index_is_right_if_it_names_an_equal_element(candidate, found):
    sample = Sample((Array(np.array([5.0, 3.0, 5.0]), "float32"), 2), {})
    recorder = Recorder(Altered("topk", lambda r: (r[0], flowtorch.tensor(candidate))), "torch")
    list(recorder.compare("topk", load()["topk"], sample, ""))
    (row,) = recorder.rows.values()
    assert row.worst == found


def test_an_index_of_another_dimension_names_nothing():
    x, first = np.zeros((2, 3)), np.zeros((2, 3), np.int64)
    along_rows = np.broadcast_to(np.arange(3), (2, 3))
    assert not names(x, 0, first, None, along_rows)
    assert names(x, 1, first, None, along_rows)


def test_derivatives_of_functions_of_numbers_are_judged_by_mpmath():
    numbers = Numbers()
    sample = Sample((Array(np.array([0.5, 1.5]), "float64", grad=True),), {})
    (_, first, second), _ = numbers.gradients("digamma", sample, True)
    trigamma = [4.934802200544679, 0.9348022005446793]
    np.testing.assert_allclose(first, trigamma * cotangent_values((2,), 0), rtol=1e-14)
    assert (
        np.isfinite(second).all()
        and numbers.gradients("digamma", sample.map_arrays(lambda a: a.with_(dtype="float32")), True) is None
    )
    recorder = run_ops(["digamma"], "flowtorch", "torch", ("first_gradients",))
    assert recorder.rows["digamma", "first_gradients", "float64", "contiguous"].worst == "reference worse"


def test_nan_of_the_oracle_speaks_for_whoever_agrees_with_it():
    e, g, o = np.array([1.0, np.nan, 2.0]), np.array([np.nan, np.nan, np.nan]), np.array([np.nan, np.nan, 2.0])
    known = verdict.values(e[:2], g[:2], "float32", lambda: (o[:2], np.zeros(2)))
    assert known.verdict == "reference worse"
    assert verdict.values(e, g, "float32", lambda: (o, np.zeros(3))).verdict == "wrong"
    blind = verdict.values(e[:2], g[:2], "float32", lambda: (o[:2], np.full(2, np.nan)))
    assert blind.verdict == "wrong"  # nothing is known there, so the reference decides


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["ops", "gelu"], "there are nn.functional.gelu"),
        (["ops", "exp", "--variants", "value"], "--variants: no check value; there are values, "),
        (["ops", "-k", "("], "is no regular expression"),
        (["ops", "-k", "nothing like it"], "no name matches"),
        (["run"], "name a script to run"),
        (["run", "--pack", "nowhere"], "nowhere is no pack"),
        (["run", "nothere.py"], "no such file: nothere.py"),
    ],
)
def test_misuse_is_answered_with_what_to_do(capsys, argv, says):
    assert main(argv) == 2
    assert says in capsys.readouterr().err


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
