"""The tester's device mode under Triton's interpreter: a snippet that differs there alone is found, with a script.

Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_difftest.py
"""

import numpy as np
import pytest

import flowtorch as torch
from flowtorch.testing import difftest

X = np.random.default_rng(0).standard_normal((3, 4)).astype("float32")


def test_a_snippet_gives_there_what_it_gives_here():
    found = difftest.check(lambda x: torch.softmax(x * 2, -1).exp().sum(0), samples=[(X,)], modes=("values", "device"))
    assert {r.variant for r in found.rows} == {"values", "device"}
    assert difftest.check(lambda x: torch.expm1(x), np.expm1, [(X,)], modes=("device",)).rows


def test_what_differs_there_alone_is_found():
    def off(x):
        return x.exp() * (1.001 if x.is_cuda else 1)

    with pytest.raises(difftest.DifferenceFound, match="off in mode device: wrong") as found:
        difftest.check(off, samples=[(X,)], modes=("device",))
    assert '.to("cuda")' in found.value.script
    assert difftest.check(off, samples=[(X,)], modes=("values", "layouts"))
