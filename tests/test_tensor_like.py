"""Classes with ``__torch_function__`` that are no tensors are asked under the name of the function that was called."""

import subprocess
import sys

import pytest

PROGRAM = """
import {lib} as torch

class Diagonal:
    def __init__(self, values):
        self.values = values

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return function.__name__.removeprefix("linalg_"), [t.__name__ for t in types]

d = Diagonal(torch.ones(2))
print(torch.add(d, 1), torch.matmul(torch.ones(2, 2), d))
for call in (lambda: torch.svd(d), lambda: torch.linalg.eigh(d), lambda: torch.isclose(d, d), lambda: torch.diagonal(d),
             lambda: torch.linalg.cholesky(d), lambda: torch.inverse(d), lambda: torch.logdet(d),
             lambda: torch.var_mean(d), lambda: torch.nn.functional.cross_entropy(d, d),
             lambda: torch.stack([d, d]), lambda: torch.numel(d)):
    print(call())
"""


@pytest.mark.parametrize("native", ["0", "1"])
def test_composites_ask_too(native, tmp_path):
    ours, theirs = (
        subprocess.run([sys.executable, "-c", PROGRAM.format(lib=lib)], capture_output=True, text=True, check=True,
                       env={"FLOWTORCH_NATIVE": native, "PATH": "", "PYTHONPATH": ":".join(sys.path)})
        for lib in ("flowtorch", "torch")
    )  # fmt: skip
    assert ours.stdout == theirs.stdout
