"""The float32 functions of vector.h, with the processor's own vectors and with the general code, over all of float32.

Run: python -m pytest tests/native/test_vector.py   (needs a C compiler)
"""

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy import special

from flowtorch.codegen import folders
from flowtorch.native import cache

pytestmark = pytest.mark.skipif(folders.compiler() is None, reason="no C compiler")
EXACT = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "tanh": np.tanh,
    "erf": special.erf,
    "sigmoid": lambda x: np.where(x < -88.72283, 0, special.expit(x)),
    "normal": lambda x: special.erfc(-x / np.sqrt(2)),
}
# in units in the last place
LARGEST = {"exp": 1.1, "expm1": 1.1, "log": 1.0, "tanh": 2.4, "erf": 2.1, "sigmoid": 2.5, "normal": 4.6}


@pytest.fixture(scope="module", params=[[], ["-DFLOWTORCH_GENERIC"]], ids=["own", "general"])
def functions(request, tmp_path_factory):
    library = tmp_path_factory.mktemp("vector") / "vector.so"
    include = [f"-I{cache.HERE}", f"-I{cache.CODEGEN}"]
    source = str(Path(__file__).with_name("vector.c"))
    subprocess.run(
        [folders.compiler(), *cache.FLAGS, *request.param, "-shared", *include, source, "-o", library, "-lm"],
        check=True,
    )
    return ctypes.CDLL(str(library))


def call(functions, name, x):
    y = np.empty_like(x)
    getattr(functions, f"on_{name}")(
        ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data), ctypes.c_long(x.size)
    )
    return y


@pytest.mark.parametrize("name", EXACT)
def test_accuracy(functions, name):
    bits = np.arange(0, 2**32, 4099, dtype=np.uint64).astype(np.uint32)
    near = np.random.default_rng(0).uniform(-20, 20, 1 << 18).astype(np.float32)
    x = np.concatenate([bits[: bits.size // 16 * 16].view(np.float32), near])
    y = call(functions, name, x)
    with np.errstate(all="ignore"):
        exact = EXACT[name](x.astype(np.float64))
        rounded = exact.astype(np.float32)
        np.testing.assert_array_equal(np.isnan(y), np.isnan(rounded))
        finite = np.isfinite(rounded)
        np.testing.assert_array_equal(y[~finite], rounded[~finite])
        error = np.abs(y[finite] - exact[finite]) / np.spacing(np.abs(rounded[finite]))
    assert error.max() <= LARGEST[name], (error.max(), x[finite][error.argmax()])


@pytest.mark.parametrize("name", ["tanh", "erf"])
def test_odd_functions_keep_the_sign_of_zero(functions, name):
    y = call(functions, name, np.array([0.0, -0.0] * 8, np.float32))
    assert list(np.signbit(y)) == [False, True] * 8 and not y.any()
