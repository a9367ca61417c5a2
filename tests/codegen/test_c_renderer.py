"""Generated C kernels against numpy, and the cache of compiled libraries.

Run: python -m pytest tests/codegen/test_c_renderer.py   (needs a C compiler)
"""

import math
import os
import stat
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from flowtorch.codegen import native
from flowtorch.codegen.c_renderer import CKernel, render
from flowtorch.codegen.expression import parse
from flowtorch.codegen.functions import FUNCTIONS
from flowtorch.codegen.lowering import lower
from flowtorch.codegen.numpy_renderer import build, numpy_dtype

pytestmark = pytest.mark.skipif(native.compiler() is None, reason="no C compiler")


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    native.cache_folder.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOWTORCH_CACHE_DIR", str(folder))
        yield folder
    native.cache_folder.cache_clear()


def values(dtype, rng, shape):
    kind = numpy_dtype(dtype)
    if dtype == "bool":
        return rng.random(shape) > 0.5
    if kind.kind in "iu":
        array = rng.integers(0 if kind.kind == "u" else -20, 20, shape).astype(kind)
        array.flat[:4] = [0, 1, np.iinfo(kind).max, np.iinfo(kind).min]
        return array
    array = (rng.standard_normal(shape) * 4).astype(kind)
    array.flat[:12] = [0.0, -0.0, np.inf, -np.inf, np.nan, 0.5, 1.5, -2.5, 1e-30, 90.0, -90.0, 1.0]
    return array


def ulps(result, expected):
    """The largest distance in units in the last place of the result's type; NaN and infinities must agree."""
    exact = (result == expected) | (np.isnan(result) & np.isnan(expected))
    left, right = result[~exact].astype(np.float64), expected[~exact].astype(np.float64)
    if not left.size:
        return 0.0
    assert np.isfinite(left).all() and np.isfinite(right).all()
    return float(np.max(np.abs(left - right) / np.spacing(np.abs(expected[~exact])).astype(np.float64)))


DTYPES = {
    "b": ["bool"],
    "i": ["uint8", "int8", "int64"],
    "f": ["bfloat16", "float16", "float32", "float64"],
    "c": [],
}
MISSING = ("erfinv", "digamma", "complex")
# Where the reference is itself off: scipy's erfc in its tail, numpy's float64 tanh
LOOSE = {
    ("erfc", "float64"): 64,
    ("tanh", "float64"): 4,
    ("lgamma", "float64"): 16,
    ("lgamma", "float32"): 16,
}


def all_functions(category):
    return [f for f in FUNCTIONS.values() if category in f.accepts and f.rule != "cast" and f.name not in MISSING]


@pytest.mark.parametrize("dtype", [name for names in DTYPES.values() for name in names])
def test_every_function_agrees_with_numpy(dtype):
    category = next(c for c, names in DTYPES.items() if dtype in names)
    rng = np.random.default_rng(0)
    functions = [f for f in all_functions(category) if not (f.name == "nextafter" and "16" in dtype)]
    inputs = dict.fromkeys("abc", dtype)
    trees = [parse(f"{f.name}({', '.join('abc'[: f.arity])})", tuple("abc")) for f in functions]
    wanted = [None if f.rule == "bool" or category != "f" else dtype for f in functions]
    program = lower(trees, inputs, {}, wanted)
    arrays = [values(dtype, rng, (7, 9)) for _ in "abc"]
    for k, array in enumerate(arrays):
        arrays[k] = np.roll(array, k * 5)
    results = zip(functions, CKernel(program)(*arrays), build(program)(*arrays), strict=True)
    for function, result, expected in results:
        assert result.dtype == expected.dtype and result.shape == expected.shape
        if result.dtype.kind in "biu":
            if function.name in ("floor_divide", "trunc_divide", "remainder", "fmod") and category == "i":
                defined = arrays[1] != 0
                result, expected = result[defined], expected[defined]
            np.testing.assert_array_equal(result, expected, err_msg=function.name)
        else:
            if function.name == "lgamma":  # its zeros amplify any error
                away = ~(np.abs(expected) < 0.5)
                result, expected = result[away], expected[away]
            assert ulps(result, expected) <= LOOSE.get((function.name, dtype), 2), function.name


EXPRESSIONS = {
    "sigmoid": "1 / (1 + exp(-a))",
    "gelu": "0.5 * a * (1 + erf(a * sqrt(0.5)))",
    "leaky_relu": "where(a > 0, a, slope * a)",
    "addcmul": "a + slope * b * c",
    "smooth": "where(abs(a - b) < slope, 0.5 * (a - b) ** 2 / slope, abs(a - b) - 0.5 * slope)",
}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions_on_every_layout(name, dtype):
    tree = parse(EXPRESSIONS[name], tuple("abc"), ("slope",))
    parameters = {"slope": "float64" if dtype == "float64" else "float32"}
    program = lower([tree], dict.fromkeys("abc", dtype), parameters, [dtype])
    kernel, reference = CKernel(program), build(program)
    rng = np.random.default_rng(1)

    def make(*shape):
        return rng.standard_normal(shape).astype(numpy_dtype(dtype))

    layouts = [
        (make(33), make(33), make(33)),
        (make(33), make(1), make(33)),
        (make(5, 7).T, make(5, 7).T, make(5, 7).T),
        (make(5, 7).T, make(7, 5), make(7, 1)),
        (make(10, 14)[::2, ::2], make(7), make()),
        (make(2, 3, 4)[:, ::-1], make(3, 1), make(2, 1, 1)),
        (make(0, 4), make(4), make(1)),
        (make(), make(), make()),
    ]
    for arrays in layouts:
        result, expected = kernel(*arrays, 0.3), reference(*arrays, 0.3)
        assert result.shape == expected.shape and result.dtype == expected.dtype
        epsilon = {"bfloat16": 2**-8, "float16": 2**-11, "float32": 2**-23, "float64": 2**-52}[dtype]
        np.testing.assert_allclose(
            result.astype(np.float64), expected.astype(np.float64), rtol=3 * epsilon, atol=3 * epsilon
        )


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("exp", -103, 88.7), ("log", 1e-44, 1e38), ("tanh", -10, 10), ("erf", -4.5, 4.5)],
)
def test_own_float32_functions_are_within_two_ulp_of_the_truth(name, low, high):
    kernel = CKernel(lower([parse(f"{name}(a)", ("a",))], {"a": "float32"}))
    grid = np.linspace(low, high, 20001) if name != "log" else np.logspace(math.log10(low), math.log10(high), 20001)
    x = np.concatenate([grid, np.linspace(1e-6, 2, 4001), -np.linspace(1e-6, 2, 4001)]).astype(np.float32)
    x = x[x > 0] if name == "log" else x
    truth = np.array([getattr(math, name)(v) for v in x.tolist()])
    result = kernel(x).astype(np.float64)
    spacing = np.spacing(np.abs(truth).astype(np.float32)).astype(np.float64)
    assert np.max(np.abs(result - truth) / spacing) <= 2


def test_scalars_keep_all_their_bits():
    program = lower([parse("a + n", ("a",), ("n",))], {"a": "int64"}, {"n": "int64"})
    assert CKernel(program)(np.array([1]), 2**60 + 1)[0] == 2**60 + 2
    program = lower([parse("a + n", ("a",), ("n",))], {"a": "float64"}, {"n": "float64"})
    assert CKernel(program)(np.array([0.0]), 0.1)[0] == 0.1


def test_in_place_and_several_outputs():
    program = lower([parse(text, ("a", "b")) for text in ("a + b", "a - b")], {"a": "float32", "b": "float32"})
    a, b = np.arange(100, dtype=np.float32), np.ones(100, np.float32)
    total, difference = CKernel(program)(a, b)
    np.testing.assert_array_equal(total, a + 1)
    np.testing.assert_array_equal(difference, a - 1)
    single = CKernel(lower([parse("a * b", ("a", "b"))], {"a": "float32", "b": "float32"}))
    single.run([a, a, a], (100,), ((1,), (1,), (1,)), ())
    np.testing.assert_array_equal(a, np.arange(100, dtype=np.float32) ** 2)


def test_subnormals_survive_in_the_process():
    """A library built with -ffast-math would flush them to zero in numpy too."""
    CKernel(lower([parse("a * 2", ("a",))], {"a": "float32"}))(np.ones(3, np.float32))
    assert np.float32(1e-40) * np.float32(0.5) != 0


def test_wrong_dtypes_and_types_without_c_are_refused():
    kernel = CKernel(lower([parse("a + 1", ("a",))], {"a": "float32"}))
    with pytest.raises(TypeError, match="a must be float32, not float64"):
        kernel(np.ones(3))
    with pytest.raises(NotImplementedError, match="complex64"):
        render(lower([parse("a + 1", ("a",))], {"a": "complex64"}))


def test_low_precision_conversions_are_exact():
    every = np.arange(2**16, dtype=np.uint16)
    for kind in (np.dtype(ml_dtypes.bfloat16), np.dtype(np.float16)):
        up = CKernel(lower([parse("cast(a, float32)", ("a",))], {"a": kind.name}))
        wide = up(every.view(kind))
        np.testing.assert_array_equal(wide, every.view(kind).astype(np.float32))
        down = CKernel(lower([parse(f"cast(a, {kind.name})", ("a",))], {"a": "float32"}))
        rng = np.random.default_rng(2)
        x = rng.integers(0, 2**32, 100_000, dtype=np.uint32).view(np.float32)
        with np.errstate(all="ignore"):
            x = np.concatenate([x, wide, np.nextafter(wide, np.float32(0)), wide * np.float32(1 + 2**-9)])
            expected = x.astype(kind)
        result = down(x)
        number = ~np.isnan(x)
        np.testing.assert_array_equal(result.view(np.uint16)[number], expected.view(np.uint16)[number])
        assert np.isnan(result[~number]).all()


def test_libraries_are_cached_privately_and_shared_between_processes(own_cache):
    source = "int answer(void) { return 42; }\n"
    path = native.build(source)
    assert path.is_relative_to(own_cache) and native.load(source).answer() == 42
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    built = path.stat().st_mtime_ns
    code = f"from flowtorch.codegen import native; print(native.build({source!r}))"
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert again == str(path) and path.stat().st_mtime_ns == built
    assert native.build(source + "\n") != path


def test_a_shared_cache_folder_is_not_trusted(tmp_path, monkeypatch):
    (tmp_path / "native").mkdir()
    os.chmod(tmp_path / "native", 0o777)
    monkeypatch.setenv("FLOWTORCH_CACHE_DIR", str(tmp_path))
    folder = Path(native.cache_folder.__wrapped__())
    assert folder != tmp_path / "native" and stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_errors_of_the_compiler_are_reported():
    with pytest.raises(native.BuildError, match="refused a generated kernel"):
        native.build("this is not C")
