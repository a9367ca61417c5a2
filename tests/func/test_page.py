"""docs/transforms.md runs, and what it computes is what the reference computes from the same numbers."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import flowtorch
from flowtorch.utils._pytree import tree_leaves

PAGE = (Path(__file__).parents[2] / "docs" / "transforms.md").read_text()
COMPARED = [
    "per_sample",
    "whole",
    "product",
    "meta_gradient",
    "before",
    "after",
    "kernel",
    "together",
    "apart",
    "jacobian",
    "third",
    "different",
    "same",
]


def run(library):
    scope = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        source = block.replace("flowtorch", library.__name__)
        exec(compile(source, f"transforms.md ({library.__name__})", "exec"), scope)
    return scope


@pytest.fixture(scope="module")
def scopes():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the reference traces linearize with a module that warns
        return run(flowtorch), run(torch)


@pytest.mark.parametrize("name", COMPARED)
def test_numbers(name, scopes):
    ours, theirs = (tree_leaves(list(s[name].values()) if isinstance(s[name], dict) else s[name]) for s in scopes)
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6, atol=1e-9)
