"""The errors of functions and reductions, in units of the last place: a small part of benchmarks/accuracy.py."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import flowtorch

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import accuracy
import accuracy_report

MP, TABLE = accuracy.functions()
TABLE = {f.name: f for f in TABLE}
LIMITS = {
    "exp": 2, "expm1": 1, "log10": 1, "tan": 1, "asin": 1, "cosh": 1, "atan2": 1, "erfinv": 3, "erfc": 4,
    "special.ndtr": 6, "special.log_ndtr": 6, "special.erfcx": 12, "sigmoid": 3, "tanh": 2,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LIMITS)
def test_functions_stay_within_units(name, dtype):
    row = accuracy.measure(MP, TABLE[name], flowtorch, torch, dtype, 60)
    assert row["points"] > 20
    assert row["ours"]["max"] <= LIMITS[name]
    assert not row["special"]


@pytest.mark.parametrize("f", ["cumsum", "sum", "mean"])
@pytest.mark.parametrize("shape", [(70_000, 3), (3, 70_000)])
def test_long_sums_do_not_gather_errors(f, shape):
    x = np.random.default_rng(0).random(shape, dtype=np.float32)
    dim = int(shape[1] > shape[0])
    got = getattr(flowtorch, f)(flowtorch.from_numpy(x), dim)
    last = (got.select(dim, -1) if f == "cumsum" else got).numpy()
    exact = [math.fsum(v.astype(np.float64)) for v in np.moveaxis(x, dim, 0).T]
    exact = np.array(exact) / (x.shape[dim] if f == "mean" else 1)
    assert np.abs(last - exact).max() <= 4 * np.spacing(np.float32(exact.max()))


def test_around_their_zeros_logit_and_lgamma_keep_their_digits():
    x = 0.5 + np.linspace(-1e-3, 1e-3, 101)
    exact = np.array([float(TABLE["logit"].exact(MP.mpf(v))) for v in x])
    assert np.allclose(flowtorch.logit(flowtorch.from_numpy(x)).numpy(), exact, rtol=1e-15, atol=0)
    for near in (1, 2):
        x = near + np.linspace(-0.1, 0.1, 100)
        exact = np.array([float(TABLE["lgamma"].exact(MP.mpf(v))) for v in x])
        assert np.allclose(flowtorch.lgamma(flowtorch.from_numpy(x)).numpy(), exact, rtol=4e-15, atol=0)


def test_the_page_names_what_is_out_of_bounds():
    row = {"name": "exp", "dtype": "float32", "ours": {"max": 9.0, "p99.9": 5.0}, "theirs": {"max": 1, "p99.9": 0.5},
           "special": []}
    assert accuracy_report.verdict(row) == "over 4 units, behind torch"
    page = accuracy_report.page({"functions": [row], "reductions": [], "torch": "0", "points": 1})
    assert "0 of 1 rows" in page
