"""Pointwise kernels in Triton's interpreter against the numpy renderer.

Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_pointwise.py
"""

import numpy as np
import pytest

from flowtorch.codegen.dtypes import CATEGORY
from flowtorch.codegen.expression import parse
from flowtorch.codegen.functions import FUNCTIONS
from flowtorch.codegen.lowering import lower
from flowtorch.codegen.numpy_renderer import build, numpy_dtype

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
# No device function, or a dtype that Triton has not
MISSING = ("gcd", "complex")


def triton_kernel(program):
    from flowtorch.codegen.triton_kernel import TritonKernel

    return TritonKernel(program, "test")


def values(dtype, rng, shape):
    kind = numpy_dtype(dtype)
    if dtype == "bool":
        return rng.random(shape) > 0.5
    if kind.kind in "iu":
        array = rng.integers(0 if kind.kind == "u" else -9, 9, shape).astype(kind)
        array.flat[:4] = [0, 1, np.iinfo(kind).max, np.iinfo(kind).min]
        return array
    array = (rng.standard_normal(shape) * 3).astype(kind)
    array.flat[:12] = [0.0, -0.0, np.inf, -np.inf, np.nan, 0.5, 1.5, -2.5, 1.0, -1.0, 20.0, -20.0]
    return array


def assert_same(result, expected, message=""):
    assert result.dtype == expected.dtype and result.shape == expected.shape, message
    if result.dtype.kind in "biu":
        np.testing.assert_array_equal(result, expected, err_msg=message)
    else:
        rtol = {2: 2**-7 if result.dtype != np.float16 else 2**-10, 4: 2e-6, 8: 1e-13}[result.dtype.itemsize]
        wide = result.astype(np.float64), expected.astype(np.float64)
        atol = rtol if message == "digamma" else rtol / 100  # its root amplifies any error
        np.testing.assert_allclose(*wide, rtol=rtol, atol=atol, err_msg=message)
        zero = (wide[0] == 0) & (wide[1] == 0)
        np.testing.assert_array_equal(np.signbit(result[zero]), np.signbit(expected[zero]), err_msg=message)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_function_agrees_with_numpy(dtype):
    """All functions of a dtype as the outputs of one kernel."""
    functions = [
        f
        for f in FUNCTIONS.values()
        if CATEGORY[dtype] in f.accepts and f.rule != "cast" and f.name not in MISSING
        if not (f.name == "nextafter" and "16" in dtype)
    ]
    names = tuple("abc")
    trees = [parse(f"{f.name}({', '.join(names[: f.arity])})", names) for f in functions]
    stored = [None if f.rule == "bool" or CATEGORY[dtype] != "f" else dtype for f in functions]
    program = lower(trees, dict.fromkeys(names, dtype), {}, stored)
    rng = np.random.default_rng(0)
    arrays = [np.roll(values(dtype, rng, (5, 13)), 7 * k) for k in range(3)]
    results = zip(functions, triton_kernel(program)(*arrays), build(program)(*arrays), strict=True)
    for function, result, expected in results:
        if function.name in ("floor_divide", "trunc_divide", "remainder", "fmod") and CATEGORY[dtype] == "i":
            # dividing by zero, and the quotient that overflows, are not defined
            defined = (arrays[1] != 0) & ((arrays[1] + 1 != 0) | (arrays[0] >= 0))
            result, expected = result[defined], expected[defined]
        assert_same(result, expected, function.name)


LAYOUTS = {
    "contiguous": lambda make: (make(40), make(40)),
    "transposed alike": lambda make: (make(8, 5).T, make(8, 5).T),
    "one element": lambda make: (make(5, 8), make(1)),
    "row": lambda make: (make(5, 8), make(8)),
    "column": lambda make: (make(5, 8), make(5, 1)),
    "outer": lambda make: (make(5, 1), make(8)),
    "sliced": lambda make: (make(10, 16)[::2, ::2], make(5, 8)),
    "sliced rows": lambda make: (make(10, 8)[::2], make(5, 8)),
    "transposed": lambda make: (make(8, 5).T, make(5, 8)),
    "reversed": lambda make: (make(5, 8)[::-1, ::-1], make(5, 8)),
    "three dimensions": lambda make: (make(4, 3, 2).transpose(1, 0, 2), make(4, 1)),
    "four dimensions": lambda make: (make(2, 3, 4, 5)[:, ::2, :, ::2], make(4, 1)),
    "scalars": lambda make: (make(), make()),
    "empty": lambda make: (make(0, 3), make(3)),
}


@pytest.mark.parametrize("elements", [None, 16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout, elements):
    """One program, and many small ones with a masked last one."""
    rng = np.random.default_rng(1)
    program = lower([parse("a - 2 * b", ("a", "b"))], dict.fromkeys("ab", "float32"))
    arrays = LAYOUTS[layout](lambda *shape: rng.standard_normal(shape).astype(np.float32))
    result, expected = triton_kernel(program)(*arrays, elements=elements), build(program)(*arrays)
    assert_same(result, expected)


@pytest.mark.parametrize("right", DTYPES)
@pytest.mark.parametrize("left", ["uint8", "int64", "bfloat16", "float32", "bool"])
def test_mixed_dtypes(left, right):
    rng = np.random.default_rng(2)
    program = lower([parse("where(a > b, a + b, a * b)", ("a", "b"))], {"a": left, "b": right})
    arrays = values(left, rng, (4, 7)), values(right, rng, (7,) if right == "bool" else (4, 7))
    assert_same(triton_kernel(program)(*arrays), build(program)(*arrays))


def test_scalars_keep_their_type():
    program = lower([parse("a * s + n", ("a",), ("s", "n"))], {"a": "float64"}, {"s": "float64", "n": "int64"})
    kernel = triton_kernel(program)
    result = kernel(np.ones(3), 0.1, 2**40)
    np.testing.assert_array_equal(result, np.full(3, 0.1 + 2**40))
    program = lower([parse("where(flag, a, -a)", ("a",), ("flag",))], {"a": "float32"}, {"flag": "bool"})
    np.testing.assert_array_equal(triton_kernel(program)(np.ones(3, np.float32), False), -np.ones(3, np.float32))


def test_a_fused_backward_has_several_outputs():
    trees = [parse(text, ("g", "x", "y")) for text in ("g * y", "g * x")]
    program = lower(trees, dict.fromkeys(("g", "x", "y"), "float16"), {}, ["float16", "float16"])
    rng = np.random.default_rng(3)
    arrays = [rng.standard_normal((3, 5)).astype(np.float16) for _ in range(3)]
    for result, expected in zip(triton_kernel(program)(*arrays), build(program)(*arrays), strict=True):
        assert_same(result, expected)


def test_plans_and_kernels_are_reused():
    program = lower([parse("a + b", ("a", "b"))], dict.fromkeys("ab", "float32"))
    kernel = triton_kernel(program)
    a = np.ones((4, 4), np.float32)
    for _ in range(3):
        kernel(a, a)
    kernel(a, a.T)
    assert len(kernel.plans) == 2
    from flowtorch.array.cuda import kernel_module

    pointwise = kernel_module("pointwise")
    before = pointwise.build.cache_info().misses
    kernel(np.ones((2, 8), np.float32), np.ones((2, 8), np.float32))
    assert pointwise.build.cache_info().misses == before  # another shape of the same class and size


def test_dtypes_without_kernels_are_refused_by_name():
    with pytest.raises(NotImplementedError, match="complex64"):
        triton_kernel(lower([parse("a + a", ("a",))], {"a": "complex64"}))
    with pytest.raises(NotImplementedError, match="float8_e5m2"):
        triton_kernel(lower([parse("a + a", ("a",))], {"a": "float8_e5m2"}))
