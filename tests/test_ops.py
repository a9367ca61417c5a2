"""Every public function against torch: values, layouts, variants, out=, gradients, special values, errors, accuracy.

The samples come from ``flowtorch.testing.samples``, the checks from ``flowtorch.testing.checks``; here stand which
functions there are, what is known to differ (``differences.py``), and that nothing is left out. One function:
``pytest tests/test_ops.py -k "[add]"``. With ``FLOWTORCH_FAST_PATH=0`` a smaller part runs.
"""

import re

import pytest
import torch
from differences import DIFFERENCES, UNTESTED, UNTESTED_PRIMITIVES

import flowtorch
import flowtorch.autograd
import flowtorch.nn.functional
from flowtorch import overrides
from flowtorch.ops import dispatch
from flowtorch.ops.op import COMPOSITES, REGISTRY
from flowtorch.testing import checks
from flowtorch.testing.outcome import gradients, run
from flowtorch.testing.samples import find, load

SAMPLES = load()
PAIR = checks.Pair(flowtorch, torch)
FAST = not overrides.active
CHECKED = list(checks.CHECKS) if FAST else ["values", "first_gradients"]
COMPARED = sorted(n for n in SAMPLES if find(flowtorch, n) is not None and find(torch, n) is not None)
used: set[int] = set()
ran: set[tuple] = set()


def explained(check, name, line):
    """Say whether the table of differences explains a line."""
    found = False
    for k, (where, who, what, _) in enumerate(DIFFERENCES):
        if re.fullmatch(where, check) and re.fullmatch(who, name) and re.search(what, line):
            used.add(k)
            found = True
    return found


@pytest.mark.parametrize("name", COMPARED)
@pytest.mark.parametrize("check", CHECKED)
def test_function(check, name):
    ran.add((check, name))
    lines = [line for line in checks.CHECKS[check](PAIR, SAMPLES[name]) if not explained(check, name, line)]
    assert not lines, f"{len(lines)} differences\n" + "\n".join(lines[:20])


def test_every_known_difference_still_exists():
    if len(ran) < len(COMPARED) * len(checks.CHECKS):
        pytest.skip("only a part of the matrix ran")
    stale = [DIFFERENCES[k] for k in range(len(DIFFERENCES)) if k not in used]
    assert not stale, "take out of differences.py:\n" + "\n".join(map(str, stale))


def public_names():
    """Return the public name of every op and composite."""
    names = set(COMPOSITES)
    prefixes = {"torch": "", "Tensor": "Tensor."}
    for name, op in REGISTRY.items():
        if not name.startswith("_") and not op.namespace.startswith("_"):
            names.add(prefixes.get(op.namespace, op.namespace + ".") + name)
    return names


def test_every_public_function_has_samples():
    missing = public_names() - set(SAMPLES) - set(UNTESTED)
    assert not missing, f"write samples in flowtorch/testing for: {sorted(missing)}"


def test_every_primitive_is_executed(monkeypatch):
    executed = set()
    compute = dispatch.compute

    def noting(op, values, *rest):
        executed.add(op.name)
        return compute(op, values, *rest)

    monkeypatch.setattr(dispatch, "compute", noting)
    overrides.active.append("test")  # the fast path would go round it
    try:
        for spec in SAMPLES.values():
            function = find(flowtorch, spec.name)
            for dtype in {spec.dtypes[0], *({"float64", "int64", "uint8", "complex64"} & set(spec.dtypes))}:
                for sample in spec.samples(dtype) if function else ():
                    run(flowtorch, function, sample, spec.random)
                    if spec.gradient:
                        gradients(flowtorch, function, sample, spec.random, double=True)
    finally:
        overrides.active.remove("test")
    missing = set(REGISTRY) - executed - set(UNTESTED_PRIMITIVES)
    assert not missing, f"no sample executes: {sorted(missing)}"


@pytest.mark.parametrize("name", ["add", "sum", "transpose", "exp", "Tensor.fill_"])
def test_the_matrix_sees_a_wrong_function(name, monkeypatch):
    class Broken(checks.Pair):
        def functions(self, name):
            ours, theirs = super().functions(name)
            return (lambda *args, **kwargs: self.candidate.library.as_tensor(ours(*args, **kwargs)) * 1.001), theirs

    assert any(checks.values(Broken(flowtorch, torch), SAMPLES[name]))
