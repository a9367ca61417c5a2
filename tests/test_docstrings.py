"""Docstrings: what the most used names must have, and that every example does what it shows."""

import doctest
import inspect
from pathlib import Path

import pytest

import flowtorch
import flowtorch.user_kernels

# Names of PyTorch in the order in which a survey of public programs met them.
MOST_USED = (Path(__file__).parent / "names" / "most_used.txt").read_text().split()
PLACES = [
    "torch", "torch.Tensor", "torch.nn", "torch.nn.functional", "torch.nn.init", "torch.nn.utils", "torch.optim",
    "torch.optim.lr_scheduler", "torch.linalg", "torch.fft", "torch.special", "torch.autograd", "torch.func",
    "torch.utils.data", "torch.distributions", "torch.amp", "torch.cuda", "torch.distributed", "torch.user_kernels",
]  # fmt: skip


def found(name):
    """Return what a dotted name of PyTorch stands for here."""
    value = flowtorch
    for part in name.split(".")[1:]:
        value = getattr(value, part)
    return value


def is_constant(value):
    return isinstance(value, (flowtorch.dtype, str, bool, int, float))


def documented():
    """Return docstring -> name for all public docstrings that have examples, each once."""
    names = [f"{place}.{name}" for place in PLACES for name in dir(found(place)) if not name.startswith("_")]
    documents = {}
    for name in [*MOST_USED, *names]:
        text = inspect.getdoc(found(name))
        if text and ">>>" in text:
            documents.setdefault(text, name)
    return documents


def failures(text, name):
    """Return what doctest says about the examples of a docstring."""
    report: list[str] = []
    test = doctest.DocTestParser().get_doctest(text, {"torch": flowtorch}, name, None, 0)
    doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    return "".join(report)


def test_the_most_used_names_are_documented_with_an_example():
    lacking = [n for n in MOST_USED if not is_constant(found(n)) and ">>>" not in (inspect.getdoc(found(n)) or "")]
    assert not lacking, f"without a docstring that has an example: {lacking}"


def test_every_example_does_what_it_shows():
    documents = documented()
    assert len(documents) > 150
    with flowtorch.random.fork_rng():
        wrong = [report for text, name in documents.items() if (report := failures(text, name))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("text", [">>> 1 + 1\n3", ">>> torch.nothing_of_this_name"])
def test_a_wrong_example_is_found(text):
    assert "Failed example" in failures(text, "text")
