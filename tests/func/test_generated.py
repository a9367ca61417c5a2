"""Every public function with samples: gradients of both orders, forward mode, vmap and their compositions.

One small sample per function and dtype; FLOWTORCH_ALL_SAMPLES=1 takes all of them. Where PyTorch cannot do something
either (dynamic shapes under vmap, second derivatives that do not exist), nothing is asked.
"""

import os
import sys
import warnings
from pathlib import Path

import pytest
import torch

import flowtorch
import flowtorch.func
import flowtorch.nn.functional
from flowtorch.func import batched, rules  # noqa: F401
from flowtorch.ops.op import REGISTRY
from flowtorch.testing.samples import find, load

sys.path.insert(0, str(Path(__file__).parent))
from generated import CHECKS, Case, problems

SAMPLES = load()
EXHAUSTIVE = os.environ.get("FLOWTORCH_ALL_SAMPLES") == "1"
NAMES = sorted(
    name
    for name, spec in SAMPLES.items()
    if find(flowtorch, name) is not None and find(torch, name) is not None and not spec.undefined and not spec.random
)
# (function, check): why differences or a loop cannot tell
EXPLAINED = {
    ("ctc_loss", "gradcheck"): "its gradient holds for inputs that log_softmax made, as PyTorch's does",
    ("Tensor.chalf", "gradcheck"): "the result is too coarse for differences",
    ("Tensor.chalf", "forward"): "tangent and gradient are rounded at different places",
    ("Tensor.half", "gradcheck"): "the result is too coarse for differences",
    ("Tensor.bfloat16", "gradcheck"): "the result is too coarse for differences",
    ("Tensor.float", "forward"): "tangent and gradient are rounded at different places",
    ("Tensor.half", "forward"): "tangent and gradient are rounded at different places",
    ("Tensor.bfloat16", "forward"): "tangent and gradient are rounded at different places",
    ("Tensor.bfloat16", "vmap"): "numpy has no such dtype to compare in",
    ("linalg.eigh", "forward"): "eigenvectors have a free phase",
    ("Tensor.resize_", "vmap"): "refused: the memory of examples lies together",
    ("argwhere", "vmap"): "the number of rows depends on values",
}


def candidates(spec, dtype):
    """The samples with a tensor to differentiate in, those that are small but not trivial first."""
    found = []
    for k, sample in enumerate(spec.samples(dtype)):
        n = sum(a.values.size for a in sample.arrays() if a.grad)
        if n:
            found.append((n < 2, n, k, sample))
    return [sample for *_, sample in sorted(found, key=lambda c: c[:3])]


def usable(name, sample):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case = Case(flowtorch, name, sample)
            case(*case.inputs)
    except Exception:  # what the function itself refuses is no case
        return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_transforms(name):
    spec, lines = SAMPLES[name], []
    for dtype in ("float64", "complex128"):
        if dtype in spec.dtypes or (dtype == "complex128" and "complex64" in spec.dtypes):
            chosen = [s for s in candidates(spec, dtype) if usable(name, s)]
            for sample in chosen if EXHAUSTIVE else chosen[:1]:
                checks = [
                    c
                    for c in CHECKS
                    if spec.gradient or c not in ("gradcheck", "gradgradcheck", "forward_over_reverse")
                ]
                for check, problem in problems(flowtorch, torch, name, sample, checks):
                    if (name, check) not in EXPLAINED:
                        lines.append(f"{check} {dtype} {sample}: {problem}")
    assert not lines, "\n".join(lines)


def test_every_op_has_a_batching_rule():
    # Draws into existing memory have a path of their own in `batched.apply`.
    without = [n for n, op in REGISTRY.items() if batched.find_rule(op) is None and op.family.name != "random"]
    assert not without
